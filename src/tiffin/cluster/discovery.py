"""What a machine that wants to join has to know, and how it can trust it.

The server publishes, for everybody, ConfigMap kube-public/cluster-info: where it is and its certificate authority, signed with each
join token. Whoever joins knows a token and the digest of the authority's key, by another way than the network: so a signature by the
token says that the information comes from this cluster, the digest that the token's other holders did not make it up.
What else a node needs, the ranges and the addresses behind the server, is for those who have a token: kube-system/tiffin-config.

Source: Kubernetes documentation "Authenticating with Bootstrap Tokens", kubeadm's token-based discovery.
"""
from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tiffin.client.client import Client
from tiffin.cluster.jointokens import split
from tiffin.controllers.bootstrapsigner import CLUSTER_INFO, KUBECONFIG, SIGNATURE, signature
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

CONFIG_MAPS = Resource("", "v1", "configmaps")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
CONFIG_NAMESPACE, CONFIG_NAME = "kube-system", "tiffin-config"
_READERS = {
    CLUSTER_INFO: ("tiffin:cluster-info", ("system:unauthenticated", "system:authenticated")),
    (CONFIG_NAMESPACE, CONFIG_NAME): ("tiffin:config", ("system:bootstrappers", "system:nodes")),
}


class Untrusted(Exception):
    """What the server says of itself does not agree with what was known before."""


@dataclass(frozen=True)
class Facts:
    """What a node is told of its cluster; networks in CIDR notation. `node_network` is behind the server, empty where there is none."""

    server: str
    pods: str
    services: str
    dns: str
    domain: str
    node_network: str
    lease_seconds: int


def cluster_info(server: str, ca: bytes) -> str:
    """The kubeconfig that is published: JSON, which is YAML."""
    import orjson

    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    return orjson.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": cluster}]}, option=orjson.OPT_INDENT_2).decode()


async def publish(client: Client, facts: Facts, ca: bytes) -> None:
    """Writes both ConfigMaps and who may read them; what is right already is left alone."""
    await _write(client, *CLUSTER_INFO, {KUBECONFIG: cluster_info(facts.server, ca)})
    await _write(client, CONFIG_NAMESPACE, CONFIG_NAME, {name: str(value) for name, value in asdict(facts).items()})
    for (namespace, name), (role, groups) in _READERS.items():
        for resource, obj in _access(namespace, name, role, groups):
            try:
                await client.create(resource, namespace, obj)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise


def facts_of(config_map: Object) -> Facts:
    """The facts as they were published. Raises `Untrusted` for what is none."""
    data: dict[str, Any] = config_map.get("data") or {}
    try:
        return Facts(**{**data, "lease_seconds": int(data["lease_seconds"])})
    except (TypeError, KeyError, ValueError) as error:
        raise Untrusted(f"the server's ConfigMap {CONFIG_NAMESPACE}/{CONFIG_NAME} is not what this tiffin knows: {error}") from error


def verified_authority(config_map: Object, token: str, digests: Iterable[str]) -> bytes:
    """The authority (PEM) that cluster-info tells of, once token and digests vouch for it. Raises `Untrusted`.

    `digests` are `sha256:HEX`; one of them has to be right. None at all: the token's signature has to do.
    """
    import yaml

    from tiffin.net.certrequest import key_digest

    data = config_map.get("data") or {}
    content = data.get(KUBECONFIG, "")
    id, secret = split(token)
    signed = data.get(f"{SIGNATURE}{id}")
    if signed is None:
        raise Untrusted(f"the server knows no token {id} that may sign: it has expired, was withdrawn, or was made without the usage signing")
    if not hmac.compare_digest(signed, signature(content, id, secret)):
        raise Untrusted("the server's information is not signed with this token: the token is wrong, or this is another cluster")
    try:
        kubeconfig = yaml.safe_load(content)
        ca = base64.b64decode(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"], validate=True)
        digest = key_digest(ca)
    except (yaml.YAMLError, ValueError, TypeError, LookupError) as error:
        raise Untrusted(f"the server's information cannot be read: {error}") from error
    wanted = [text.lower() for text in digests]
    if wanted and digest not in wanted:
        raise Untrusted(f"the cluster's certificate authority is another: its key has the digest {digest}, which was not among those given")
    return ca


async def _write(client: Client, namespace: str, name: str, data: dict[str, str]) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}
    try:
        await client.create(CONFIG_MAPS, namespace, config_map)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        await client.patch(CONFIG_MAPS, namespace, name, {"data": data})


def _access(namespace: str, name: str, role: str, groups: Iterable[str]) -> Iterable[tuple[Resource, Object]]:
    version, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    metadata = {"name": role, "namespace": namespace}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}]
    yield ROLES, {"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules}
    subjects = [{"kind": "Group", "apiGroup": group, "name": each} for each in groups]
    reference = {"apiGroup": group, "kind": "Role", "name": role}
    yield ROLE_BINDINGS, {"apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": subjects}
