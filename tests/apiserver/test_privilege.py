"""Attack 26, over the API: nobody gets beyond their own rights by a role, a binding, another's name, a certificate or a token."""
from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.apiserver.inprocess import NOBODY, InProcess
from tiffin.machinery.object import Object
from tiffin.net.http import Request

RBAC, GROUP = "/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
WHO = 'user "nobody" (groups=["system:authenticated"])'
LACKING = "is attempting to grant RBAC permissions not currently held:\n"


async def grant(api: InProcess, *rules: Object) -> None:
    """Gives the user nobody these rights in the whole cluster."""
    await api.made(f"{RBAC}/clusterroles", {"metadata": {"name": "own"}, "rules": list(rules)})
    await api.made(f"{RBAC}/clusterrolebindings", {
        "metadata": {"name": "own"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "own"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": GROUP}]})


def rule(verbs: list[str], resources: list[str], group: str = "", **more: Any) -> Object:
    return {"verbs": verbs, "apiGroups": [group], "resources": resources, **more}


WRITE_RBAC = rule(["*"], ["roles", "rolebindings", "clusterroles", "clusterrolebindings"], GROUP)
NO_ESCALATION = {**WRITE_RBAC, "verbs": ["create", "update", "patch", "get"]}


async def test_a_role_grants_what_its_author_has(api: InProcess) -> None:
    await grant(api, NO_ESCALATION, rule(["get"], ["pods", "secrets"], resourceNames=["mine"]), rule(["list"], ["pods"]))
    roles = f"{RBAC}/namespaces/default/roles"
    within = {"metadata": {"name": "r"}, "rules": [rule(["list"], ["pods"]), rule(["get"], ["secrets"], resourceNames=["mine"])]}
    assert (await api.post(roles, within, token=NOBODY)).status == 201
    beyond = {"metadata": {"name": "s"}, "rules": [rule(["get", "delete"], ["pods"]), rule(["get"], ["secrets"])]}
    answer = await api.post(roles, beyond, token=NOBODY)
    expected = f'roles.{GROUP} "s" is forbidden: {WHO} {LACKING}' \
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "delete"]}\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    assert (answer.status, answer.message) == (403, expected)
    wider = await api.patch(f"{roles}/r", {"rules": [rule(["*"], ["*"], "*")]}, token=NOBODY)
    assert wider.status == 403 and wider.message.endswith('{APIGroups:["*"], Resources:["*"], Verbs:["*"]}')
    urls = {"metadata": {"name": "u"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]}
    answer = await api.post(f"{RBAC}/clusterroles", urls, token=NOBODY)
    assert answer.status == 403 and answer.message.endswith('{NonResourceURLs:["/metrics"], Verbs:["get"]}')


async def test_a_binding_hands_on_what_its_author_has(api: InProcess) -> None:
    await grant(api, NO_ESCALATION)
    binding = {"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
               "subjects": [{"kind": "User", "name": "nobody", "apiGroup": GROUP}]}  # fmt: skip
    answer = await api.post(f"{RBAC}/clusterrolebindings", binding, token=NOBODY)
    expected = f'clusterrolebindings.{GROUP} "b" is forbidden: {WHO} {LACKING}' \
        '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}'
    assert (answer.status, answer.message) == (403, expected)
    assert (await api.post(f"{RBAC}/namespaces/default/rolebindings", binding, token=NOBODY)).status == 403
    applied = await api.patch(f"{RBAC}/clusterrolebindings/own", {"subjects": [*binding["subjects"], {"kind": "Group", "name": "x", "apiGroup": GROUP}]}, token=NOBODY)
    assert applied.status == 200  # its own rights, handed on


async def test_another_name_takes_the_right_to_bear_it(api: InProcess) -> None:
    await grant(api, rule(["impersonate"], ["users"], resourceNames=["jane"]), rule(["get"], ["pods"]))
    # that one works makes the others' refusals speak of the same way to impersonate
    assert "cannot list" in (await api.get("/api/v1/namespaces/default/pods", token=NOBODY, impersonate_user="jane")).message
    for headers, part in (
        ({"impersonate_user": "admin"}, '"admin"'), ({"impersonate_user": "jane", "impersonate_group": "system:masters"}, "groups"),
        ({"impersonate_user": "jane", "impersonate_uid": "1"}, "uids"), ({"impersonate_user": "jane", "impersonate_extra_scopes": "all"}, "userextras/scopes"),
        ({"impersonate_user": "system:serviceaccount:kube-system:default"}, "serviceaccounts"),
    ):
        answer = await api.get("/api/v1/namespaces/default/pods", token=NOBODY, **headers)
        assert answer.status == 403 and answer.message and part in answer.message, answer.message


def request_for(*organizations: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])).sign(key, hashes.SHA256())
    return base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


async def test_a_certificate_takes_somebody_with_the_right_to_approve(api: InProcess) -> None:
    group = "certificates.k8s.io"
    await grant(api, rule(["create"], ["certificatesigningrequests"], group), rule(["update", "patch"], ["certificatesigningrequests/approval"], group))
    requests = f"/apis/{group}/v1/certificatesigningrequests"
    spec = {"signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "request": request_for("system:masters")}
    masters = await api.post(requests, {"metadata": {"name": "m"}, "spec": spec}, token=NOBODY)
    assert masters.status == 403 and "system:masters" in masters.message
    forged = {"metadata": {"name": "c"}, "spec": {**spec, "request": request_for("dev"), "username": "admin", "groups": ["system:masters"]}}
    made = await api.post(requests, forged, token=NOBODY)
    assert made.status == 201 and made.object["spec"]["username"] == "nobody" and "system:masters" not in made.object["spec"]["groups"]
    approved = made.object | {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "x", "message": "y"}]}}
    answer = await api.put(f"{requests}/c/approval", approved, token=NOBODY)
    assert answer.status == 403 and 'not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"' in answer.message


async def test_a_token_takes_the_right_to_make_it(api: InProcess) -> None:
    await grant(api, rule(["get", "list", "create"], ["serviceaccounts"]))
    accounts = "/api/v1/namespaces/kube-system/serviceaccounts"
    answer = await api.post(f"{accounts}/default/token", {}, token=NOBODY)
    assert (answer.status, answer.message) == (403, (
        'serviceaccounts "default" is forbidden: User "nobody" cannot create resource "serviceaccounts/token" in API group "" in the namespace "kube-system"'))


async def test_a_token_ends_with_what_it_is_bound_to(api: InProcess) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api.made(accounts, {"metadata": {"name": "sa"}})
    await api.made("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    bound = {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}}}
    token = (await api.post(f"{accounts}/sa/token", bound)).object["status"]["token"]
    plain = (await api.post(f"{accounts}/sa/token", {})).object["status"]["token"]
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    assert (await api.post(who, review, token=token)).status == 201
    await api.delete("/api/v1/namespaces/default/secrets/s")
    assert (await api.post(who, review, token=token)).status == 401 and (await api.post(who, review, token=plain)).status == 201
    await api.delete(f"{accounts}/sa")
    await api.made(accounts, {"metadata": {"name": "sa"}})  # another of the same name
    assert (await api.post(who, review, token=plain)).status == 401
    for_others = (await api.post(f"{accounts}/sa/token", {"spec": {"audiences": ["vault"]}})).object["status"]["token"]
    assert (await api.post(who, review, token=for_others)).status == 401


async def test_the_servers_own_certificate_for_nodes_opens_nothing_but_nodes(api: InProcess) -> None:
    """A node may name any address as its own; were the server brought to ask itself, it would ask as somebody with few rights."""
    pair = api.assembly.options.pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client")
    der = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).public_bytes(serialization.Encoding.DER)
    for path, status in {"/api/v1/secrets": 403, "/api/v1/nodes": 200, f"{RBAC}/clusterroles": 403, "/metrics": 403, "/api/v1/pods": 403}.items():
        response = await api.assembly.api.handle(Request("GET", path, {}, b"", "127.0.0.1", der))
        assert response.status == status, path
