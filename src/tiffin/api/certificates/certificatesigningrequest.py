"""CertificateSigningRequest: a request for a certificate, who asks, and what became of it.

The spec is what the requestor sent and who they are; it never changes, an attempt is ignored. Approval and denial are given
through `/approval` only, exclude each other and stay; the certificate comes through `/status` and stays too.
"""
from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiffin.api.certificates.pem import certificates_fault, request_fault
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import keep
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, not_supported, quoted, required, too_long
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import NONE, age, name
from tiffin.machinery.timestamps import format_time, human_duration
from tiffin.machinery.validation import path_segment_name

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
LONGEST_DOMAIN, LONGEST_SIGNER = 253, 253 + 253 + 63 + 2
_STATES = ("False", "True", "Unknown")
_IDENTITY = ("username", "uid", "groups", "extra")


def default(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


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
    fault = request_fault(base64.b64decode(spec.get("request") or ""))
    if fault:
        errors.append(invalid("spec.request", spec.get("request") or None, fault))
    usages = spec.get("usages") or []
    retired = context.api_version == RETIRED
    if not usages:
        errors.append(required("spec.usages"))
    if not retired:
        errors += [not_supported(f"spec.usages[{i}]", usage, USAGES) for i, usage in enumerate(usages) if usage not in USAGES]
        errors += [duplicate(f"spec.usages[{i}]", usage) for i, usage in enumerate(usages) if usage in usages[:i]]
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
    domain, slash, rest = signer.partition("/")
    if not slash or "/" in rest:
        return [invalid(path, signer, "must be a fully qualified domain and path of the form 'example.com/signer-name'")]
    errors = [too_long(path, LONGEST_DOMAIN)] if len(domain.encode()) > LONGEST_DOMAIN else []
    errors += _label_errors(domain, path, names.is_dns1123_label)
    if "." not in domain:
        errors.append(invalid(path, domain, "should be a domain with at least two segments separated by dots"))
    errors += _label_errors(rest, path, names.is_dns1123_subdomain)
    return errors + ([too_long(path, LONGEST_SIGNER)] if len(signer.encode()) > LONGEST_SIGNER else [])


def _label_errors(part: str, path: str, check: Callable[[str], list[str]]) -> list[FieldError]:
    """The complaints of the first label of a part that has any."""
    for label in part.split("."):
        if complaints := check(label):
            return [invalid(path, part, f"validating label {quoted(label)}: {complaint}") for complaint in complaints]
    return []


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
        elif state not in (allowed := ("True",) if kinds[index] in (APPROVED, DENIED, FAILED) else _STATES):
            errors.append(not_supported(f"{path}.status", state, allowed))
        if kinds[index] and kinds[index] in kinds[:index]:
            errors.append(duplicate(f"{path}.type", kinds[index]))
    if APPROVED in kinds and DENIED in kinds:
        second = DENIED if kinds.index(DENIED) > kinds.index(APPROVED) else APPROVED
        errors.append(invalid("status.conditions", second, "Approved and Denied conditions are mutually exclusive"))
    fault = certificates_fault(base64.b64decode(certificate)) if certificate else ""
    return [*errors, invalid("status.certificate", "<certificate data>", fault)] if fault else errors


def _change_errors(new: Object, old: Object, may_decide: bool) -> list[FieldError]:
    after, before = (_conditions(obj) for obj in (new, old))
    errors = [
        forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in (APPROVED, DENIED, FAILED) if len(after.get(kind, ())) < len(before.get(kind, ()))
    ]
    for kind in () if may_decide else (APPROVED, DENIED):
        now, was = after.get(kind, []), before.get(kind, [])
        if len(now) > len(was):
            errors.append(forbidden("status.conditions", f'updates may not add a condition of type "{kind}"'))
        elif len(now) == len(was) and now != was:
            errors.append(forbidden("status.conditions", f'updates may not modify a condition of type "{kind}"'))
    issued = dig(old, "status", "certificate")
    if issued and dig(new, "status", "certificate") != issued:
        errors.append(forbidden("status.certificate", "updates may not modify existing certificate content"))
    return errors


def _conditions(obj: Object) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for condition in dig(obj, "status", "conditions", default=[]):
        found.setdefault(condition.get("type") or "", []).append(condition)
    return found


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
    metadata_checks="mu",
    namespaced=False,
    short_names=("csr",),
    subresources=(
        Subresource("approval", updates_object=True, prepare=prepare_approval, validate=validate_approval,
                    resets=(("spec",), ("status", "certificate"))),
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status),
    ),
    resets=(("spec",),),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=(NAME, AGE, Column("SignerName"), Column("Requestor"), Column("RequestedDuration"), Column("Condition")),
    row=row,
    field_selectors={"spec.signerName": lambda obj: dig(obj, "spec", "signerName", default="")},
)
