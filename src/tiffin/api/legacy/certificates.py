"""certificates.k8s.io/v1beta1, served from 1.6 to 1.21: the signer need not be named, and conditions were true without saying so.

The signer that a request without one meant follows from its usages: node names of clients and of servers have signers of their own, by
what the request itself says, and everything else is for the legacy signer. Source: the defaults of Kubernetes 1.19.
"""
from __future__ import annotations

import base64
import binascii

from tiffin.api.certificates.certificatesigningrequest import LEGACY_SIGNER
from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired
from tiffin.machinery.object import Object, dig

_V1BETA1 = Package(
    "certificates.v1beta1", "certificates.k8s.io", "v1beta1", "certificates.v1", ("CertificateSigningRequest",),
    {"CertificateSigningRequestSpec": {"signerName": "*s"}, "CertificateSigningRequestCondition": {"status": "s=v1.ConditionStatus;"}})


def _default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("usages"):
        spec["usages"] = ["digital signature", "key encipherment"]
    if not spec.get("signerName"):
        spec["signerName"] = _signer(spec)
    for condition in dig(obj, "status", "conditions", default=()):
        condition["status"] = condition.get("status") or "True"


def _signer(spec: Object) -> str:
    usages = set(spec.get("usages") or ())
    kind = next((kind for kind in _NODE_SIGNERS if usages - {"key encipherment"} == {"digital signature", kind}), "")
    return _NODE_SIGNERS[kind] if kind and _asks_for_node(spec, kind) else LEGACY_SIGNER


_NODE_SIGNERS = {"client auth": "kubernetes.io/kube-apiserver-client-kubelet", "server auth": "kubernetes.io/kubelet-serving"}
"""Signers of nodes' certificates by the usage they are for."""


def _asks_for_node(spec: Object, kind: str) -> bool:
    """Whether the request itself is one of a node: its organisation and name; for a server also names it is reached by, for a client none."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
        organisations, names = ([a.value for a in request.subject.get_attributes_for_oid(oid)] for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME))
        try:
            reached = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            reached = []
    except (ValueError, binascii.Error):
        return False  # validation will say what is wrong with it
    node = organisations == ["system:nodes"] and len(names) == 1 and str(names[0]).startswith("system:node:")
    if kind == "client auth":
        return node and not reached
    served = [n for n in reached if isinstance(n, (x509.DNSName, x509.IPAddress))]
    return node and bool(served) and len(served) == len(reached)


PACKAGES = (_V1BETA1,)
VERSIONS = (Retired("certificatesigningrequests.certificates.k8s.io", _V1BETA1, "1.19", "1.22", default=_default),)
