"""Attack 26: approving, signing and asking for certificates beyond one's rights."""

from __future__ import annotations

import base64

from admission_world import NODE, attempt, named
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiffin.apiserver.admission.certificates import CLIENT_SIGNER, CertificateApproval, CertificateSigning, CertificateSubjectRestriction
from tiffin.apiserver.admission.noderestriction import NodeRestriction
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.ports import MemoryReader
from tiffin.machinery.object import Object, Resource

REQUESTS = Resource("certificates.k8s.io", "v1", "certificatesigningrequests")


def csr(common_name: str = "jane", *organizations: str, signer: str = CLIENT_SIGNER) -> Object:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    name = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    return named("c", spec={"signerName": signer, "request": pem}, status={})


def granting(*signers: str):  # type: ignore[no-untyped-def]
    def authorize(a: Attributes) -> Decision:
        assert (a.group, a.resource) == ("certificates.k8s.io", "signers")
        return Decision(f"{a.verb} {a.name}" in signers)

    return authorize


def test_approval_takes_the_right_for_the_signer() -> None:
    old = csr()
    new = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    told = f'user not permitted to approve requests with signerName "{CLIENT_SIGNER}"'
    assert attempt(CertificateApproval(granting()), "UPDATE", REQUESTS, new, old, subresource="approval") == told
    for right in (f"approve {CLIENT_SIGNER}", "approve kubernetes.io/*"):
        assert attempt(CertificateApproval(granting(right)), "UPDATE", REQUESTS, new, old, subresource="approval") == ""
    assert attempt(CertificateApproval(granting(f"sign {CLIENT_SIGNER}")), "UPDATE", REQUESTS, new, old, subresource="approval") == told


def test_the_signer_of_the_stored_request_counts() -> None:
    old = csr()
    new = {**old, "spec": old["spec"] | {"signerName": "example.com/mine"}}
    plugin = CertificateApproval(granting("approve example.com/mine"))
    assert "not permitted" in attempt(plugin, "UPDATE", REQUESTS, new, old, subresource="approval")


def test_signing_takes_the_right_to_sign() -> None:
    old = csr()
    signed = {**old, "status": {"certificate": "x"}}
    told = f'user not permitted to sign requests with signerName "{CLIENT_SIGNER}"'
    assert attempt(CertificateSigning(granting()), "UPDATE", REQUESTS, signed, old, subresource="status") == told
    assert attempt(CertificateSigning(granting(f"sign {CLIENT_SIGNER}")), "UPDATE", REQUESTS, signed, old, subresource="status") == ""
    assert attempt(CertificateSigning(granting()), "UPDATE", REQUESTS, old, old, subresource="status") == ""


def test_nobody_becomes_an_administrator_by_certificate() -> None:
    plugin = CertificateSubjectRestriction()
    told = f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
    assert attempt(plugin, "CREATE", REQUESTS, csr("eve", "devs", "system:masters")) == told
    assert attempt(plugin, "CREATE", REQUESTS, csr("eve", "devs")) == ""
    assert attempt(plugin, "CREATE", REQUESTS, csr("eve", "system:masters", signer="example.com/x")) == ""
    broken = named("c", spec={"signerName": CLIENT_SIGNER, "request": "AAAA"})
    assert attempt(plugin, "CREATE", REQUESTS, broken).startswith("unable to parse csr")


def test_a_node_asks_for_certificates_of_its_own_name_only() -> None:
    plugin = NodeRestriction(MemoryReader())
    signer = "kubernetes.io/kubelet-serving"
    assert attempt(plugin, "CREATE", REQUESTS, csr("system:node:n1", "system:nodes", signer=signer), user=NODE) == ""
    told = "can only create a node CSR with CN=system:node:n1"
    assert attempt(plugin, "CREATE", REQUESTS, csr("system:node:n2", "system:nodes", signer=signer), user=NODE) == told
