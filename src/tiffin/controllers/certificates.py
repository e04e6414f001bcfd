"""What the controllers of CertificateSigningRequests share: what a request asks for, which conditions it has, who may ask for what.

Source: Kubernetes documentation "Certificates and Certificate Signing Requests"; the wording of refusals as observed.
"""
from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiffin.machinery.object import Object, dig
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.controller import PolicyRule

GROUP = "certificates.k8s.io"
DOMAIN = "kubernetes.io"
CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY = (
    f"{DOMAIN}/{name}" for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving", "legacy-unknown")
)
APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
NODE_GROUP, NODE_PREFIX = "system:nodes", "system:node:"

RULES = (
    PolicyRule((GROUP,), ("certificatesigningrequests",), ("delete", "get", "list", "watch")),
    PolicyRule((GROUP,), ("certificatesigningrequests/approval", "certificatesigningrequests/status"), ("update",)),
    PolicyRule((GROUP,), ("signers",), ("approve",), (KUBELET_CLIENT,)),
    PolicyRule((GROUP,), ("signers",), ("sign",), (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY)),
    PolicyRule(("authorization.k8s.io",), ("subjectaccessreviews",), ("create",)),
    PolicyRule(("", "events.k8s.io"), ("events",), ("create", "patch", "update")),
)
"""Rights of the one identity that approves, signs and clears away, as in Kubernetes."""


class Unreadable(Exception):
    """The request is not a PKCS #10 request, or its own signature is wrong."""


@dataclass(frozen=True)
class Asked:
    """What a PKCS #10 request asks for: subject and alternative names."""

    common_name: str = ""
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


ReadRequest = Callable[[bytes], Asked]
"""Reads a request in PEM. Raises `Unreadable`."""


def nothing_read(pem: bytes) -> Asked:
    """For clusters whose server signs nothing."""
    raise Unreadable("this server reads no certificate requests")


def request_of(csr: Object) -> bytes:
    """The request, PEM."""
    return base64.b64decode(dig(csr, "spec", "request", default=""))


def usages_of(csr: Object) -> Sequence[str]:
    return list(dig(csr, "spec", "usages", default=()))


def signer_of(csr: Object) -> str:
    return str(dig(csr, "spec", "signerName", default=""))


def conditions(csr: Object) -> dict[str, Object]:
    """The conditions by type; a request has none but those that are true."""
    return {c["type"]: c for c in dig(csr, "status", "conditions", default=()) if c.get("status", "True") != "False"}


def is_open(csr: Object) -> bool:
    """Nobody has decided yet, and there is no certificate."""
    return not conditions(csr).keys() & {APPROVED, DENIED} and not dig(csr, "status", "certificate")


def with_condition(csr: Object, type: str, reason: str, message: str, now: datetime) -> Object:
    """The request with one condition more."""
    status = dict(csr.get("status") or {})
    added = {"type": type, "status": "True", "reason": reason, "message": message, "lastUpdateTime": format_time(now)}
    return csr | {"status": status | {"conditions": [*status.get("conditions", ()), added]}}


def kubelet_client_fault(asked: Asked, usages: Sequence[str]) -> str:
    """Why this is no request for a kubelet's client certificate; empty when it is one."""
    return next(_kubelet_client_faults(asked, usages), "")


def kubelet_serving_fault(asked: Asked, usages: Sequence[str]) -> str:
    """Why this is no request for a kubelet's serving certificate; empty when it is one."""
    return next(_kubelet_serving_faults(asked, usages), "")


def client_fault(usages: Sequence[str]) -> str:
    """Why these are no usages of a client certificate; empty when they are."""
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _kubelet_client_faults(asked: Asked, usages: Sequence[str]) -> Iterator[str]:
    if asked.organizations != (NODE_GROUP,):
        yield f"subject organization is not {NODE_GROUP}"
    for names, title in ((asked.dns_names, "DNS"), (asked.emails, "Email"), (asked.addresses, "IP"), (asked.uris, "URI")):
        if names:
            yield f"{title} subjectAltNames are not allowed"
    if not asked.common_name.startswith(NODE_PREFIX):
        yield f"subject common name does not begin with {NODE_PREFIX}"
    yield from _usage_faults(usages, "client auth")


def _kubelet_serving_faults(asked: Asked, usages: Sequence[str]) -> Iterator[str]:
    if asked.organizations != (NODE_GROUP,):
        yield f"subject organization is not {NODE_GROUP}"
    if not asked.dns_names and not asked.addresses:
        yield "DNS or IP subjectAltName is required"
    for names, title in ((asked.emails, "Email"), (asked.uris, "URI")):
        if names:
            yield f"{title} subjectAltNames are not allowed"
    yield from _usage_faults(usages, "server auth")
    if not asked.common_name.startswith(NODE_PREFIX):
        yield f"subject common name does not begin with {NODE_PREFIX}"


def _usage_faults(usages: Sequence[str], purpose: str) -> Iterator[str]:
    """Key encipherment is for RSA keys and may be left out."""
    if set(usages) - {"key encipherment"} != {"digital signature", purpose}:
        yield f"usages did not match [{' '.join(sorted(('digital signature', 'key encipherment', purpose)))}]"
