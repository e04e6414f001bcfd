"""CertificateSigningRequest: a request for a certificate, who asks, and what became of it.

The spec is what the requestor sent and who they are; it never changes, an attempt is ignored. Approval and denial are given
through `/approval` only, exclude each other and stay; the certificate comes through `/status` and stays too.
"""
from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

from tiffin.api.checks import named, not_supported
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import keep
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import NONE, age, name
from tiffin.machinery.timestamps import format_time, human_duration

LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
RETIRED = "certificates.k8s.io/v1beta1"
"""The version that took any usages, and in which requests for the legacy signer can still be made."""
SHORTEST = 600
APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"
USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)
_PEM_REQUEST, _PEM_CERTIFICATE = (
    re.compile(rb"^-----BEGIN %b-----\s[A-Za-z0-9+/=\s]+^-----END %b-----\s*$" % (block, block), re.MULTILINE)
    for block in (b"CERTIFICATE REQUEST", b"CERTIFICATE"))
_IDENTITY = ("username", "uid", "groups", "extra")


def default(obj: Object) -> None:
    spec, _ = obj.setdefault("spec", {}), obj.setdefault("status", {})
    if not spec.get("usages"):
        spec["usages"] = ["digital signature", "key encipherment"]


def prepare_for_create(obj: Object, context: Context) -> None:
    spec = obj["spec"]
    for field in _IDENTITY:
        spec.pop(field, None)
        if context.user_info.get(field):
            spec[field] = context.user_info[field]
    obj["status"] = {}


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec", "status")


def prepare_approval(new: Object, old: Object, context: Context) -> None:
    """Approval changes conditions only."""
    keep(new, old, "spec")
    status = new["status"] = dict(new.get("status") or {})
    keep(status, old.get("status") or {}, "certificate")
    _date_conditions(status, old, context)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec")
    new["status"] = dict(new.get("status") or {})
    _date_conditions(new["status"], old, context)


def _date_conditions(status: Object, old: Object, context: Context) -> None:
    now, before = format_time(context.now), {c.get("type"): c for c in dig(old, "status", "conditions", default=[])}
    dated = []
    for condition in status.get("conditions") or ():
        known = before.get(condition.get("type")) or {}
        same = known.get("status") == condition.get("status")
        moved = condition.get("lastTransitionTime") or (known.get("lastTransitionTime") if same else None) or now
        dated.append(condition | {"lastUpdateTime": condition.get("lastUpdateTime") or now, "lastTransitionTime": moved})
    if dated:
        status["conditions"] = dated


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if not _PEM_REQUEST.search(base64.b64decode(spec.get("request") or "")):
        errors.append(invalid("spec.request", spec.get("request") or None, "PEM block type must be CERTIFICATE REQUEST"))
    usages = spec.get("usages") or []
    retired = context.api_version == RETIRED
    if not usages:
        errors.append(required("spec.usages"))
    for index, usage in enumerate(() if retired else usages):
        if usage not in USAGES:
            errors.append(not_supported(f"spec.usages[{index}]", usage, USAGES))
        elif usage in usages[:index]:
            errors.append(duplicate(f"spec.usages[{index}]", usage))
    if not retired or spec.get("signerName") != LEGACY_SIGNER:
        errors += _signer_errors(spec.get("signerName") or "", "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST:
        words = f"may not specify a duration less than {SHORTEST} seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", seconds, words))
    return errors + _status_errors(obj.get("status") or {})


def _signer_errors(signer: str, path: str) -> list[FieldError]:
    if not signer:
        return [required(path)]
    if signer == LEGACY_SIGNER:
        return [invalid(path, signer, "the legacy signerName is not allowed via this API version")]
    if "/" not in signer:
        return [invalid(path, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    return named(signer, path, names.is_domain_prefixed_path)


def _status_errors(status: dict[str, Any]) -> list[FieldError]:
    conditions, certificate = status.get("conditions") or [], status.get("certificate")
    errors: list[FieldError] = []
    kinds = [condition.get("type") or "" for condition in conditions]
    for index, condition in enumerate(conditions):
        path, state = f"status.conditions[{index}]", condition.get("status") or ""
        if not kinds[index]:
            errors.append(required(f"{path}.type"))
        if not state:
            errors.append(required(f"{path}.status"))
        elif kinds[index] in (APPROVED, DENIED, FAILED) and state != "True":
            errors.append(not_supported(f"{path}.status", state, ("True",)))
        if kinds[index] and kinds[index] in kinds[:index]:
            errors.append(duplicate(f"{path}.type", kinds[index]))
    if APPROVED in kinds and DENIED in kinds:
        second = DENIED if kinds.index(DENIED) > kinds.index(APPROVED) else APPROVED
        errors.append(invalid("status.conditions", second, "Approved and Denied conditions are mutually exclusive"))
    if certificate and not _PEM_CERTIFICATE.search(base64.b64decode(certificate)):
        errors.append(invalid("status.certificate", "<certificate data>", "must contain at least one CERTIFICATE PEM block"))
    return errors


def _change_errors(new: Object, old: Object, may_decide: bool) -> list[FieldError]:
    after, before = ({c.get("type") for c in dig(obj, "status", "conditions", default=[])} for obj in (new, old))
    errors = []
    for kind in (APPROVED, DENIED, FAILED):
        if kind in before and kind not in after:
            errors.append(forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"'))
        if kind != FAILED and not may_decide and kind in after and kind not in before:
            errors.append(forbidden("status.conditions", f'updates may not add a condition of type "{kind}"'))
    issued = dig(old, "status", "certificate")
    if issued and dig(new, "status", "certificate") != issued:
        errors.append(forbidden("status.certificate", "updates may not modify existing certificate content"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return []


def validate_approval(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _status_errors(new.get("status") or {}) + _change_errors(new, old, True)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _status_errors(new.get("status") or {}) + _change_errors(new, old, False)


def condition_text(obj: Object) -> str:
    """`Pending`, `Approved,Issued`, `Denied`, `Approved,Failed`."""
    kinds = {c.get("type") for c in dig(obj, "status", "conditions", default=[])}
    decided = DENIED if DENIED in kinds else APPROVED if APPROVED in kinds else "Pending"
    parts = [decided, *([FAILED] if FAILED in kinds else []), *(["Issued"] if dig(obj, "status", "certificate") else [])]
    return ",".join(parts)


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    lasting = NONE if seconds is None else human_duration(seconds)
    return [name(obj), age(obj, now), spec.get("signerName") or NONE, spec.get("username") or "", lasting, condition_text(obj)]


KIND = Kind(
    group="certificates.k8s.io",
    version="v1",
    kind="CertificateSigningRequest",
    plural="certificatesigningrequests",
    schema="io.k8s.api.certificates.v1.CertificateSigningRequest",
    singular="certificatesigningrequest",
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", updates_object=True, prepare=prepare_approval, validate=validate_approval),
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status),
    ),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, AGE, Column("SignerName"), Column("Requestor"), Column("RequestedDuration"), Column("Condition")),
    row=row,
    field_selectors={"spec.signerName": lambda obj: dig(obj, "spec", "signerName", default="")},
)
