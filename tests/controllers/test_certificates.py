"""Certificate requests: which are approved without a person, what signers refuse, when requests go; and join tokens."""
from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import bootstrapsigner, csrapproving, csrcleaner, csrnodes, csrsigning, tokencleaner
from tiffin.controllers.certificates import Asked, Unreadable, client_fault, kubelet_client_fault, kubelet_serving_fault
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CERTIFICATE_REQUESTS, CONFIG_MAPS, NODES, SECRETS, SUBJECT_ACCESS_REVIEWS
from tiffin.machinery.object import Object, Resource, dig
from tiffin.machinery.timestamps import format_time

NODE = {"common_name": "system:node:n", "organizations": ["system:nodes"]}
NETWORK = {"common_name": "system:kube-proxy", "organizations": ["system:node-proxiers"]}
CLIENT, SERVING = ("digital signature", "client auth"), ("digital signature", "key encipherment", "server auth")
BOOTSTRAPPER = {"username": "system:bootstrap:abcdef", "groups": ["system:bootstrappers"]}
ITSELF = {"username": "system:node:n", "groups": ["system:nodes"]}


def read(pem: bytes) -> Asked:
    """Requests of these tests are JSON."""
    try:
        fields: dict[str, Any] = orjson.loads(pem)
    except orjson.JSONDecodeError as error:
        raise Unreadable("no request") from error
    return Asked(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})  # type: ignore[arg-type]


def sign(pem: bytes, usages: Sequence[str], life: timedelta) -> bytes:
    return orjson.dumps({"usages": list(usages), "seconds": life.total_seconds()})


CONFIG = Config(
    read_request=read, sign_certificate=sign, certificate_end=lambda pem: datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
    server_hosts=frozenset(("10.199.0.1", "127.0.0.1", "kubernetes", "kubernetes.default.svc", "localhost")))


def request(asked: Any, signer: str = "kube-apiserver-client-kubelet", usages: Sequence[str] = CLIENT, who: Any = BOOTSTRAPPER, **more: Any) -> Object:
    spec = {"request": base64.b64encode(orjson.dumps(asked)).decode(), "signerName": f"kubernetes.io/{signer}", "usages": list(usages), **who}
    spec |= more.pop("spec", {})
    return made(CERTIFICATE_REQUESTS, "r", namespace="", spec=spec, **more)


class Approvers(Cluster):
    """With a server that answers access reviews: the rights given, by subresource."""

    def __init__(self, *rights: str) -> None:
        super().__init__(csrapproving, csrnodes, config=CONFIG, kubelet=False)
        create = self.client.create

        async def answered(resource: Resource, namespace: str, obj: Object, **more: str) -> Object:
            if resource != SUBJECT_ACCESS_REVIEWS:
                return await create(resource, namespace, obj, **more)
            what = obj["spec"]["resourceAttributes"]
            assert (what["group"], what["resource"], what["verb"]) == ("certificates.k8s.io", "certificatesigningrequests", "create")
            return obj | {"metadata": {}, "status": {"allowed": what["subresource"] in rights}}

        self.client.create = answered  # type: ignore[method-assign, assignment]


def decision(cluster: Cluster) -> tuple[str, str]:
    conditions = dig(cluster.one(CERTIFICATE_REQUESTS, "r", ""), "status", "conditions", default=[])
    return (conditions[0]["type"], conditions[0]["reason"]) if conditions else ("", "")


ALL = ("nodeclient", "selfnodeclient", "nodenetwork")
APPROVED = ("Approved", "AutoApproved")


@pytest.mark.parametrize(
    "csr, rights, expected",
    [
        (request(NODE), ("nodeclient",), APPROVED),
        (request(NODE), ("selfnodeclient",), ("", "")),
        (request(NODE, who=ITSELF), ("selfnodeclient",), APPROVED),
        (request(NODE, who=ITSELF), ("nodeclient",), APPROVED),
        (request(NODE, usages=SERVING), ALL, ("", "")),
        (request(NODE, signer="kube-apiserver-client"), ALL, ("", "")),
        (request({"common_name": "admin", "organizations": ["system:masters"]}), ALL, ("", "")),
        (request(NODE | {"dns_names": ["x"]}), ALL, ("", "")),
        (request(NETWORK, signer="kube-apiserver-client"), ("nodenetwork",), APPROVED),
        (request(NETWORK, signer="kube-apiserver-client"), ("nodeclient",), ("", "")),
        (request(NETWORK | {"organizations": ["system:node-proxiers", "system:masters"]}, signer="kube-apiserver-client"), ALL, ("", "")),
        (request(NETWORK | {"dns_names": ["x"]}, signer="kube-apiserver-client"), ALL, ("", "")),
        (request(NETWORK, signer="kube-apiserver-client", usages=SERVING), ALL, ("", "")),
        (request(NETWORK), ALL, ("", "")),
    ],
)
async def test_who_is_approved(csr: Object, rights: tuple[str, ...], expected: tuple[str, str]) -> None:
    async with Approvers(*rights) as c:
        await c.create(CERTIFICATE_REQUESTS, csr)
        assert decision(c) == expected


@pytest.mark.parametrize("who, ready, expected", [(BOOTSTRAPPER, "True", ("Denied", "NodeExists")), (ITSELF, "True", APPROVED), (BOOTSTRAPPER, "Unknown", APPROVED)])
async def test_nobody_becomes_a_node_that_lives(who: Any, ready: str, expected: tuple[str, str]) -> None:
    async with Approvers(*ALL) as c:
        await c.create(NODES, made(NODES, "n", namespace="", status={"conditions": [{"type": "Ready", "status": ready}]}))
        await c.create(CERTIFICATE_REQUESTS, request(NODE, who=who))
        assert decision(c) == expected


@pytest.mark.parametrize(
    "asked, who, is_approved",
    [
        ({"dns_names": ["n"], "addresses": ["10.0.0.1"]}, ITSELF, True),
        ({"dns_names": ["n.lan"]}, ITSELF, True),
        ({"addresses": ["10.0.0.1", "10.0.0.2"]}, ITSELF, False),
        ({"dns_names": ["kubernetes"]}, ITSELF, False),
        ({"dns_names": ["n"]}, BOOTSTRAPPER, False),
        ({"dns_names": ["n"]}, {"username": "system:node:n", "groups": []}, False),
        ({"dns_names": ["n"], "emails": ["a@b"]}, ITSELF, False),
    ],
)
async def test_a_node_serves_only_under_its_own_names(asked: Any, who: Any, is_approved: bool) -> None:
    async with Approvers() as c:
        await c.create(CERTIFICATE_REQUESTS, request(NODE | asked, "kubelet-serving", SERVING, who))
        assert decision(c) == ("", ""), "the node is not known yet"
        addresses = [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n.lan"}]
        await c.create(NODES, made(NODES, "n", namespace="", status={"addresses": addresses}))
        assert decision(c) == (APPROVED if is_approved else ("", ""))


TAKEN: list[dict[str, list[str]]] = [
    *({"dns_names": [name]} for name in ("kubernetes", "kubernetes.default.svc", "localhost", "a.localhost", "hook.default.svc", "hook.default.svc.cluster.local", "*.lan", "other",
                                         "KUBERNETES", "kubernetes.")),
    *({"addresses": [address]} for address in ("10.199.0.1", "::ffff:10.199.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "0.0.0.0", "10.0.0.2", "224.0.0.1")),
]  # fmt: skip


@pytest.mark.parametrize("asked", TAKEN)
async def test_a_node_that_says_it_has_what_is_others_gets_no_certificate_for_it(asked: dict[str, list[str]]) -> None:
    """A node writes its own addresses: with the API server's or a Service's it could pass for them."""
    claimed = [*asked.get("dns_names", []), *asked.get("addresses", [])][0]
    async with Approvers() as c:
        other = [{"type": "InternalIP", "address": "10.0.0.2"}]
        await c.create(NODES, made(NODES, "other", namespace="", status={"addresses": other}))
        type = "Hostname" if "dns_names" in asked else "InternalIP"
        await c.create(NODES, made(NODES, "n", namespace="", status={"addresses": [{"type": type, "address": claimed}]}))
        await c.create(CERTIFICATE_REQUESTS, request(NODE | asked, "kubelet-serving", SERVING, ITSELF))
        assert decision(c) == ("", "")


async def test_a_node_of_a_servers_name_gets_no_certificate_for_it() -> None:
    async with Approvers() as c:
        name = "kubernetes.default.svc"
        await c.create(NODES, made(NODES, name, namespace="", status={"addresses": []}))
        asked = {"common_name": f"system:node:{name}", "organizations": ["system:nodes"], "dns_names": [name]}
        await c.create(CERTIFICATE_REQUESTS, request(asked, "kubelet-serving", SERVING, {"username": f"system:node:{name}", "groups": ["system:nodes"]}))
        assert decision(c) == ("", "")


@pytest.mark.parametrize(
    "signer, asked, usages, fault",
    [
        ("kube-apiserver-client", {"common_name": "jane"}, CLIENT, ""),
        ("kube-apiserver-client", {"common_name": "jane"}, ("server auth",), "invalid usage for client certificate: server auth"),
        ("kube-apiserver-client", {"common_name": "jane"}, ("digital signature",), "missing required usage for client certificate: client auth"),
        ("kube-apiserver-client-kubelet", {"common_name": "jane"}, CLIENT, "subject organization is not system:nodes"),
        ("kubelet-serving", NODE, SERVING, "DNS or IP subjectAltName is required"),
        ("legacy-unknown", {"common_name": "jane"}, ("code signing",), ""),
    ],
)
async def test_signers_keep_to_their_rules(signer: str, asked: Any, usages: Sequence[str], fault: str) -> None:
    async with Cluster(csrsigning, config=CONFIG, kubelet=False) as c:
        await c.create(CERTIFICATE_REQUESTS, request(asked, signer, usages, status={"conditions": [{"type": "Approved", "status": "True"}]}))
        status = c.one(CERTIFICATE_REQUESTS, "r", "")["status"]
        assert ("certificate" in status) == (not fault)
        assert [x.get("message") for x in status["conditions"] if x["type"] == "Failed" and x["reason"] == "SignerValidationFailure"] == ([fault] if fault else [])


@pytest.mark.parametrize("asked, granted", [(None, 365 * 86400), (60, 600), (3600, 3600), (10**9, 365 * 86400)])
async def test_how_long_a_certificate_lives(asked: int | None, granted: int) -> None:
    spec = {"expirationSeconds": asked} if asked else {}
    async with Cluster(csrsigning, config=CONFIG, kubelet=False) as c:
        await c.create(CERTIFICATE_REQUESTS, request({}, "kube-apiserver-client", CLIENT, status={"conditions": [{"type": "Approved", "status": "True"}]}, spec=spec))
        certificate = orjson.loads(base64.b64decode(c.one(CERTIFICATE_REQUESTS, "r", "")["status"]["certificate"]))
        assert certificate == {"usages": list(CLIENT), "seconds": granted}


@pytest.mark.parametrize("conditions", [[], [{"type": "Denied", "status": "True"}], [{"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]])
async def test_what_is_not_approved_is_not_signed(conditions: list[Object]) -> None:
    async with Cluster(csrsigning, config=CONFIG, kubelet=False) as c:
        await c.create(CERTIFICATE_REQUESTS, request({}, "kube-apiserver-client", CLIENT, status={"conditions": conditions}))
        assert "certificate" not in c.one(CERTIFICATE_REQUESTS, "r", "")["status"]


def test_rules_of_kubelet_certificates() -> None:
    node = Asked("system:node:n", ("system:nodes",))
    assert kubelet_client_fault(node, CLIENT) == kubelet_client_fault(node, (*CLIENT, "key encipherment")) == ""
    assert kubelet_client_fault(node, ("client auth",)) == "usages did not match [client auth digital signature key encipherment]"
    assert kubelet_client_fault(Asked("n", ("system:nodes",)), CLIENT) == "subject common name does not begin with system:node:"
    assert kubelet_client_fault(Asked("system:node:n", ("system:nodes",), addresses=("1.2.3.4",)), CLIENT) == "IP subjectAltNames are not allowed"
    assert kubelet_serving_fault(Asked("system:node:n", ("system:nodes", "a"), ("n",)), SERVING) == "subject organization is not system:nodes"
    assert kubelet_serving_fault(Asked("system:node:n", ("system:nodes",), ("n",), uris=("spiffe://x",)), SERVING) == "URI subjectAltNames are not allowed"
    assert client_fault(("client auth",)) == ""


@pytest.mark.parametrize(
    "status, hours",
    [
        ({}, 24),
        ({"conditions": [{"type": "Denied", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}]}, 1),
        ({"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}]}, 1),
        ({"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}], "certificate": "eA=="}, 0.5),
    ],
)
async def test_requests_go(status: Object, hours: float) -> None:
    async with Cluster(csrcleaner, config=CONFIG, kubelet=False) as c:
        await c.create(CERTIFICATE_REQUESTS, request({}, status=status))
        await c.clock.advance(hours * 3600 - 60)
        assert c.names(CERTIFICATE_REQUESTS) == ["r"]
        await c.clock.advance(120)
        assert c.names(CERTIFICATE_REQUESTS) == []


# ---- join tokens


def token(id: str = "abcdef", secret: str = "0123456789abcdef", **data: str) -> Object:
    fields = {"token-id": id, "token-secret": secret, "usage-bootstrap-signing": "true", **{name.replace("_", "-"): value for name, value in data.items()}}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()}
    return made(SECRETS, f"bootstrap-token-{id}", namespace="kube-system", type="bootstrap.kubernetes.io/token", data=encoded)


async def test_expired_tokens_go() -> None:
    async with Cluster(tokencleaner, kubelet=False) as c:
        await c.create(SECRETS, token())
        await c.create(SECRETS, token("expire", expiration=format_time(c.clock.now() + timedelta(hours=1))))
        await c.create(SECRETS, token("broken", expiration="tomorrow"))
        other = made(SECRETS, "bootstrap-token-other1", namespace="default", type="bootstrap.kubernetes.io/token", data={"expiration": "eA=="})
        await c.create(SECRETS, other)
        assert sorted(c.names(SECRETS)) == ["bootstrap-token-abcdef", "bootstrap-token-expire", "bootstrap-token-other1"]
        await c.clock.advance(3601)
        assert sorted(c.names(SECRETS)) == ["bootstrap-token-abcdef", "bootstrap-token-other1"]


async def test_discovery_is_signed_by_every_good_token() -> None:
    async with Cluster(bootstrapsigner, kubelet=False) as c:
        await c.create(CONFIG_MAPS, made(CONFIG_MAPS, "cluster-info", namespace="kube-public", data={"kubeconfig": "apiVersion: v1\n", "jws-kubeconfig-gone00": "x"}))

        def signatures() -> dict[str, str]:
            data = c.one(CONFIG_MAPS, "cluster-info", "kube-public")["data"]
            return {name: value for name, value in data.items() if name != "kubeconfig"}

        assert signatures() == {}
        for obj in (token(), token("nosign", usage_bootstrap_signing="false"), token("old000", expiration="2001-01-01T00:00:00Z"), token("short0", "x")):
            await c.create(SECRETS, obj)
        # HMAC-SHA256 of "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.YXBpVmVyc2lvbjogdjEK" with the token's secret.
        assert signatures() == {"jws-kubeconfig-abcdef": bootstrapsigner.signature("apiVersion: v1\n", "abcdef", "0123456789abcdef")}
        assert signatures()["jws-kubeconfig-abcdef"].startswith("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..")
        await c.delete(SECRETS, "bootstrap-token-abcdef", "kube-system")
        assert signatures() == {}
