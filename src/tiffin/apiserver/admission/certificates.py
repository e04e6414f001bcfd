"""Certificate signing requests: who may approve, who may sign, and what no user certificate may claim.

Source: Kubernetes documentation "Certificates and Certificate Signing Requests", authorization.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.authz.attributes import Attributes, Decision
from tiffin.apiserver.user import MASTERS, User
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, dig
from tiffin.net.pki import InvalidRequest, parse_request, subject

Authorize = Callable[[Attributes], Decision]

GROUP = "certificates.k8s.io"
REQUESTS = f"certificatesigningrequests.{GROUP}"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def may_use_signer(authorize: Authorize, user: User, verb: str, signer: str) -> bool:
    """Whether the user has `verb` (approve, sign, attest) for the signer, by its name or for its whole domain."""
    names = (signer, f"{signer.partition('/')[0]}/*")
    return any(authorize(Attributes(user, verb, GROUP, "*", "signers", name=name)).allowed for name in names)


def requested_subject(csr: Object) -> tuple[str, tuple[str, ...]]:
    """Common name and organizations the request asks for. Raises InvalidRequest."""
    try:
        pem = base64.b64decode(dig(csr, "spec", "request", default=""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("PEM block type must be CERTIFICATE REQUEST") from error
    return subject(parse_request(pem).subject)


class CertificateApproval(Plugin):
    """Approving takes the right to approve for the signer."""

    resources = (REQUESTS,)
    operations = ("UPDATE",)

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource != "approval" or old is None:
            return
        signer = old["spec"].get("signerName", "")
        if not may_use_signer(self._authorize, a.user, "approve", signer):
            raise forbidden(a, obj, f"user not permitted to approve requests with signerName {shown(signer)}")


class CertificateSigning(Plugin):
    """Writing a certificate, or that it failed, takes the right to sign for the signer."""

    resources = (REQUESTS,)
    operations = ("UPDATE",)

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource != "status" or old is None or obj is None:
            return
        if all(dig(old, "status", field) == dig(obj, "status", field) for field in ("certificate", "conditions")):
            return
        signer = old["spec"].get("signerName", "")
        if not may_use_signer(self._authorize, a.user, "sign", signer):
            raise forbidden(a, obj, f"user not permitted to sign requests with signerName {shown(signer)}")


class CertificateSubjectRestriction(Plugin):
    """Nobody becomes an administrator by certificate."""

    resources = (REQUESTS,)
    operations = ("CREATE",)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.subresource or obj is None or dig(obj, "spec", "signerName") != CLIENT_SIGNER:
            return
        try:
            organizations = requested_subject(obj)[1]
        except InvalidRequest as error:
            raise forbidden(a, obj, f"unable to parse csr: {error}") from error
        if MASTERS in organizations:
            raise forbidden(a, obj, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
