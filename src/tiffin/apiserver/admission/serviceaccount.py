"""ServiceAccount: every pod runs as an account of its namespace, and gets that account's token mounted.

The token comes as a projected volume `kube-api-access-…` of a bound token, the cluster's certificate authority and the
namespace. A mirror pod cannot use any of it: its kubelet made it, and the API server must not lend it rights.
Source: Kubernetes documentation "Managing Service Accounts", "Configure Service Accounts for Pods".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.authz.node import of_volume, referenced
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, annotations_of, dig

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
"""The life of mounted tokens: an odd number, by which the server knows tokens that old clients may fail to renew."""

_DEFAULT = "default"
_PATIENCE = 1.5
"""Seconds to wait for the default account of a new namespace."""

_PREFIX = "kube-api-access-"
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccount(Plugin):
    """`suffix` gives the random end of the volume's name."""

    resources = ("pods",)

    def __init__(self, reader: Reader, suffix: Callable[[], str]) -> None:
        self._reader, self._suffix = reader, suffix

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        if a.operation != "CREATE" or a.subresource or obj is None or _MIRROR in annotations_of(obj):
            return None
        spec = obj["spec"]
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = _DEFAULT
        if spec["serviceAccountName"] == _DEFAULT and self._reader.get(SERVICE_ACCOUNTS, a.namespace, _DEFAULT) is None:
            return self._complete_later(a, obj)
        self._complete(a, obj)
        return None

    async def _complete_later(self, a: AdmissionAttributes, obj: Object) -> None:
        """In a namespace made a moment ago the default account is about to come."""
        await self._reader.appears(SERVICE_ACCOUNTS, a.namespace, _DEFAULT, _PATIENCE)
        self._complete(a, obj)

    def _complete(self, a: AdmissionAttributes, obj: Object) -> None:
        spec, account = obj["spec"], self._account(a, obj)
        if _automounts(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": reference.get("name", "")} for reference in account["imagePullSecrets"]]

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if (
            obj is None
            or (a.operation == "UPDATE" and a.subresource != "ephemeralcontainers")
            or (a.operation == "CREATE" and a.subresource)
        ):
            return
        if _MIRROR in annotations_of(obj):
            self._check_mirror(a, obj)
            return
        account = self._account(a, obj)
        if annotations_of(account).get(_ENFORCE, "").lower() in ("1", "t", "true"):
            self._check_secrets(a, obj, account)

    def _account(self, a: AdmissionAttributes, obj: Object) -> Object:
        name = obj["spec"].get("serviceAccountName") or _DEFAULT
        account = self._reader.get(SERVICE_ACCOUNTS, a.namespace, name)
        if account is None:
            message = f'error looking up service account {a.namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden(a, obj, message)
        return account

    def _mount_token(self, spec: dict[str, Any]) -> None:
        """Adds the volume, unless every container has something of its own where it would be mounted."""
        volumes = spec.get("volumes") or []
        existing = next((v["name"] for v in volumes if v["name"].startswith(_PREFIX) and "projected" in v), "")
        name = existing or self._free_name({v["name"] for v in volumes})
        mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
        needed = False
        for kind in ("initContainers", "containers"):
            for container in spec.get(kind) or ():
                if not any(m.get("mountPath") == MOUNT_PATH for m in container.get("volumeMounts") or ()):
                    container["volumeMounts"] = [*(container.get("volumeMounts") or ()), dict(mount)]
                    needed = True
        if needed and not existing:
            spec["volumes"] = [*volumes, {"name": name, "projected": _token_volume()}]

    def _free_name(self, taken: set[str]) -> str:
        while (name := _PREFIX + self._suffix()) in taken:
            pass
        return name

    @staticmethod
    def _check_mirror(a: AdmissionAttributes, obj: Object) -> None:
        if obj["spec"].get("serviceAccountName"):
            raise forbidden(a, obj, "a mirror pod may not reference service accounts")
        if any(resource == "secrets" for resource, _ in referenced(obj)):
            raise forbidden(a, obj, "a mirror pod may not reference secrets")
        for volume in obj["spec"].get("volumes") or ():
            if any("serviceAccountToken" in source for source in dig(volume, "projected", "sources", default=())):
                raise forbidden(a, obj, "a mirror pod may not use ServiceAccountToken volume projections")

    @staticmethod
    def _check_secrets(a: AdmissionAttributes, obj: Object, account: Object) -> None:
        """An account may ask that its pods use no secrets but those it lists.

        Other than in Kubernetes, which looks at secret volumes only, this goes for every volume that names one: projections, drivers.
        """
        name, spec = account["metadata"]["name"], obj["spec"]
        mountable = {reference.get("name") for reference in account.get("secrets") or ()}
        ending = f"is not allowed because service account {name} does not reference that"
        for volume in spec.get("volumes") or ():
            for resource, secret in of_volume(obj, volume):
                if resource == "secrets" and secret and secret not in mountable:
                    raise forbidden(a, obj, f'volume with secret.secretName="{secret}" {ending} secret')
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            for container in spec.get(kind) or ():
                for found in _container_secrets(container):
                    if found not in mountable:
                        where = f'container {container["name"]} references secret.secretName="{found}" which'
                        raise forbidden(a, obj, f"{where} {ending} secret")
        pulls = {reference.get("name") for reference in account.get("imagePullSecrets") or ()}
        for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
            if reference.get("name") not in pulls:
                raise forbidden(a, obj, f'imagePullSecrets[{index}].name="{reference.get("name")}" {ending} imagePullSecret')


def _container_secrets(container: Object) -> list[str]:
    env = [dig(variable, "valueFrom", "secretKeyRef", "name") for variable in container.get("env") or ()]
    return [name for name in (*env, *(dig(s, "secretRef", "name") for s in container.get("envFrom") or ())) if name]


def _automounts(account: Object, spec: dict[str, Any]) -> bool:
    """The pod decides, else its account, else yes."""
    for choice in (spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")):
        if choice is not None:
            return bool(choice)
    return True


def _token_volume() -> dict[str, Any]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }
