"""ResourceClaim: devices for pods. The spec never changes; who may use the devices is in the status."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.resource.allocation import allocated_devices, device_id, status_errors
from tiffin.api.resource.requests import claim_spec_errors, default_claim_spec, default_tolerations, request_names
from tiffin.api.strategy import OWNED_METADATA, creates_with_status, keep, keep_metadata, updates_spec
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object, dig, is_deleting
from tiffin.machinery.table import age, name


def default(obj: Object) -> None:
    default_claim_spec(obj.setdefault("spec", {}))
    status = obj.setdefault("status", {})
    for result in dig(status, "allocation", "devices", "results", default=[]):
        default_tolerations(result.get("tolerations"))


def prepare_status(new: Object, old: Object, context: Context) -> None:
    """A status update changes nothing else; what drivers reported of devices goes when the devices are given back."""
    keep(new, old, "spec")
    keep_metadata(new, old, *OWNED_METADATA)
    status = new["status"] = dict(new.get("status") or {})
    gone = allocated_devices(old.get("status") or {}) - allocated_devices(status)
    reported = [device for device in status.pop("devices", None) or () if device_id(device) not in gone]
    if reported:
        status["devices"] = reported


def validate(obj: Object, context: Context) -> list[FieldError]:
    return claim_spec_errors(obj.get("spec") or {}, "spec")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    if new.get("spec") == old.get("spec"):
        return []
    shown = {part.capitalize(): dig(new, "spec", "devices", part) for part in ("requests", "constraints", "config")}
    return [invalid("spec", {"Devices": shown}, "field is immutable")]


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    known = request_names(new.get("spec") or {})
    return status_errors(new.get("status") or {}, old.get("status") or {}, is_deleting(new), known, "status")


def state_text(obj: Object) -> str:
    deleted = ["deleted"] if is_deleting(obj) else []
    if dig(obj, "status", "allocation") is None:
        return ",".join(deleted or ["pending"])
    return ",".join([*deleted, "allocated", *(["reserved"] if dig(obj, "status", "reservedFor") else [])])


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), state_text(obj), age(obj, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    schema="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    metadata_checks="mu",
    returns_deleted=True,
    subresources=(
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status(generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("State"), AGE),
    row=row,
)
