"""VolumeAttachment: a volume that is, or is to be, attached to a node. The spec never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named, needed
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.resource.identifiers import driver_errors
from tiffin.api.strategy import OWNED_METADATA, creates_with_status, updates_spec, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, forbidden, invalid, required, too_long
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

NOT_ATTACHED = {"attached": False}
LARGEST_METADATA, LONGEST_MESSAGE = 256 * 1024, 1024
_EXACTLY_ONE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def default(obj: Object) -> None:
    obj["status"] = NOT_ATTACHED | (obj.get("status") or {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    volume = dig(spec, "source", "persistentVolumeName")
    errors = driver_errors(spec.get("attacher"), "spec.attacher") + _object_errors(obj)
    return errors + (named(volume, "spec.source.persistentVolumeName", names.is_dns1123_subdomain) if volume is not None else [])


def _object_errors(obj: Object) -> list[FieldError]:
    """What is looked at in updates, too."""
    spec = obj.get("spec") or {}
    source, errors = spec.get("source") or {}, list[FieldError]()
    inline, volume = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and volume is None:
        errors.append(required("spec.source", _EXACTLY_ONE))
    elif inline is not None and volume is not None:
        errors.append(forbidden("spec.source", _EXACTLY_ONE))
    elif volume == "":
        errors.append(required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"))
    errors += named(spec.get("nodeName"), "spec.nodeName", names.is_dns1123_subdomain)
    return errors + status_errors(obj.get("status") or {}, "status")


def status_errors(status: dict[str, Any], path: str) -> list[FieldError]:
    """What a driver reports is bounded in size."""
    metadata = status.get("attachmentMetadata") or {}
    errors = []
    if sum(len(k.encode()) + len(v.encode()) for k, v in metadata.items()) > LARGEST_METADATA:
        errors.append(too_long(f"{path}.attachmentMetadata", LARGEST_METADATA))
    for field in ("attachError", "detachError"):
        if len(dig(status, field, "message", default="").encode()) > LONGEST_MESSAGE:
            errors.append(too_long(f"{path}.{field}.message", LARGEST_METADATA))
    return errors


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return status_errors(new.get("status") or {}, "status")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Kubernetes looks at the object of an update twice."""
    spec = new.get("spec") or {}
    errors = (needed(spec.get("attacher"), "spec.attacher") + _object_errors(new)) * 2
    if spec != (old.get("spec") or {}):
        source = {"PersistentVolumeName": dig(spec, "source", "persistentVolumeName"), "InlineVolumeSpec": dig(spec, "source", "inlineVolumeSpec")}
        shown = {"Attacher": spec.get("attacher", ""), "Source": source, "NodeName": spec.get("nodeName", "")}
        errors.append(invalid("spec", shown, "field is immutable"))
    return errors


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    volume = dig(spec, "source", "persistentVolumeName", default="")
    return [name(obj), spec.get("attacher", ""), volume, spec.get("nodeName", ""), dig(obj, "status", "attached", default=False), age(obj, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    schema="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    metadata_checks="mm",
    returns_deleted=True,
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(kept_metadata=OWNED_METADATA), validate=validate_status, resets=(("spec",), ("metadata",))),
    ),
    unconditional_update=False,
    default=default,
    prepare_for_create=creates_with_status(NOT_ATTACHED, generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Attacher", format="name"), Column("PV"), Column("Node"), Column("Attached", "boolean"), AGE),
    row=row,
)
