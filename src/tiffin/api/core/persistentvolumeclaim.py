"""PersistentVolumeClaim: a request for storage. Its spec is fixed but for the volume it gets, and the size asked for once bound.

A data source is kept only where it is a claim or a snapshot; `dataSource` and `dataSourceRef` mirror each other.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.resources import is_native
from tiffin.api.core.volumes import ACCESS_MODES, VOLUME_MODES, access_modes_text
from tiffin.api.differences import difference
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME, UNSET
from tiffin.api.strategy import keep, updates_status
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, quoted, required
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, name

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_RESIZE_STATUSES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending",
)
_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def default_claim(claim: Object) -> None:
    """Defaults of a claim, also of one inside a StatefulSet."""
    claim.setdefault("metadata", {})
    spec, status = claim.setdefault("spec", {}), claim.setdefault("status", {})
    status["phase"] = status.get("phase") or "Pending"
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})


def _align_sources(spec: dict[str, Any], old: dict[str, Any]) -> None:
    """What of a data source is taken: a reference into another namespace is part of a feature that is off and is dropped, and
    where there is no reference, a source of an unknown kind as well."""
    if dig(spec, "dataSourceRef", "namespace") and old.get("dataSourceRef") is None:
        del spec["dataSourceRef"]
    in_use = old.get("dataSource") is not None or old.get("dataSourceRef") is not None
    source = spec.get("dataSource")
    if source is not None and not in_use and spec.get("dataSourceRef") is None and not _is_known_source(source):
        del spec["dataSource"]


def _mirror_sources(spec: dict[str, Any]) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {field: value for field, value in reference.items() if field != "namespace"}


def _is_known_source(source: dict[str, Any]) -> bool:
    pair = (source.get("apiGroup") or "", source.get("kind"))
    return pair in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def prepare_for_create(obj: Object, context: Context) -> None:
    obj["status"] = {"phase": "Pending"}
    _align_sources(obj["spec"], {})
    _mirror_sources(obj["spec"])


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    _align_sources(new["spec"], old.get("spec") or {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    return claim_spec_errors(obj.get("spec") or {}, "spec")


def claim_spec_warnings(spec: dict[str, Any], path: str) -> list[str]:
    """Sizes that are no whole number of bytes, in a claim's spec wherever it stands."""
    return [
        f"{path}.resources.{kind}[storage]: fractional byte value {quoted(size)} is invalid, must be an integer"
        for kind in ("requests", "limits") for size in (dig(spec, "resources", kind, "storage"),)
        if size is not None and quantity.is_fractional(size)
    ]


def warnings(new: Object, old: Object | None) -> list[str]:
    deprecated = CLASS_ANNOTATION in dig(new, "metadata", "annotations", default={})
    found = [f'metadata.annotations[{CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'] if deprecated else []
    return found + claim_spec_warnings(new.get("spec") or {}, "spec")


def claim_spec_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of a claim's spec: its own, a template's, or a pod's ephemeral volume's."""
    errors: list[FieldError] = []
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    errors += validate_label_selector(spec.get("selector"), f"{path}.selector")
    errors += [not_supported(f"{path}.accessModes", mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES and mode != "ReadWriteOncePod" for mode in modes):
        errors.append(forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes"))
    errors += _storage_errors(dig(spec, "resources", "requests", "storage"), f"{path}.resources[storage]")
    if spec.get("storageClassName"):
        errors += named(spec["storageClassName"], f"{path}.storageClassName", names.is_dns1123_subdomain)
    if spec.get("volumeMode") is not None and spec["volumeMode"] not in VOLUME_MODES:
        errors.append(not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES))
    errors += _source_errors(spec, path)
    if spec.get("volumeAttributesClassName"):
        errors += named(spec["volumeAttributesClassName"], f"{path}.volumeAttributesClassName", names.is_dns1123_subdomain)
    return errors


def _storage_errors(storage: str | None, path: str) -> list[FieldError]:
    if storage is None:
        return [required(path)]
    return [] if quantity.sign(storage) > 0 else [invalid(path, storage, "must be greater than zero")]


def _source_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    errors: list[FieldError] = []
    for field, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            errors += _one_source_errors(value, f"{path}.{field}")
    if source is not None and reference is not None:
        if reference.get("namespace"):
            detail = "may not be specified when dataSourceRef.namespace is specified"
            errors.append(invalid(path, {}, detail))
        elif any((source.get(f) or "") != (reference.get(f) or "") for f in ("apiGroup", "kind", "name")):
            errors.append(invalid(path, {}, "must match dataSourceRef"))
    return errors


def _one_source_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    errors = [required(f"{path}.{field}") for field in ("name", "kind") if not source.get(field)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        errors.append(invalid(path, source.get("kind") or "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
    return errors + (named(group, f"{path}.apiGroup", names.is_dns1123_subdomain) if group else [])


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    had, has = annotations_of(old).get(CLASS_ANNOTATION), annotations_of(new).get(CLASS_ANNOTATION)
    if not _moves_class(before, after, had, has) and (had or "") != (has or ""):
        errors.append(invalid(f"metadata.annotations.{CLASS_ANNOTATION}", has or "", "field is immutable"))
    bound = dig(new, "status", "phase") == "Bound"
    munged, known = _comparable(after, before, had, bound), _comparable(before, before, had, bound)
    if munged != known:
        errors.append(forbidden("spec", f"{_FIXED}\n{difference(munged, known)}"))
    size, held = dig(after, "resources", "requests", "storage", default="0"), dig(old, "status", "capacity", "storage", default="0")
    was = dig(before, "resources", "requests", "storage", default="0")
    if quantity.compare(size, was) < 0 and quantity.compare(size, held) <= 0:
        errors.append(forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"))
    errors += immutable(after.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    return errors + _attributes_class_errors(after.get("volumeAttributesClassName"), before.get("volumeAttributesClassName"))


def _moves_class(before: dict[str, Any], after: dict[str, Any], had: str | None, has: str | None) -> bool:
    """Whether the storage class goes from the annotation into the field."""
    return had is not None and before.get("storageClassName") is None and after.get("storageClassName") == had and has in (None, had)


def _attributes_class_errors(after: str | None, before: str | None) -> list[FieldError]:
    if before is None or after:
        return []
    words = "update from non-nil value to nil is forbidden" if after is None else "update from non-nil value to an empty string is forbidden"
    return [forbidden("spec.volumeAttributesClassName", words)]


def _comparable(spec: dict[str, Any], before: dict[str, Any], had: str | None, bound: bool) -> dict[str, Any]:
    """A spec without what an update may change: a volume or class that was not set before, size and attributes of bound claims."""
    free = {"volumeAttributesClassName"} | ({"volumeName"} if not before.get("volumeName") else set())
    if before.get("storageClassName") is None and had in (None, spec.get("storageClassName")):
        free.add("storageClassName")
    rest = {field: value for field, value in spec.items() if field not in free}
    if bound and dig(rest, "resources", "requests") is not None:
        requests = {name: size for name, size in rest["resources"]["requests"].items() if name != "storage"}
        rest["resources"] = {**rest["resources"], "requests": requests}
    return rest


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    status = new.get("status") or {}
    errors: list[FieldError] = []
    for resource, amount in sorted((status.get("capacity") or {}).items()):
        errors += _basic_errors(amount, f"status.capacity[{resource}]")
    for resource, state in sorted((status.get("allocatedResourceStatuses") or {}).items()):
        errors += _key_errors(resource, "status.allocatedResourceStatuses")
        if state not in _RESIZE_STATUSES:
            errors.append(not_supported("status.allocatedResourceStatuses", resource, _RESIZE_STATUSES))
    for resource, amount in sorted((status.get("allocatedResources") or {}).items()):
        errors += _key_errors(resource, "status.allocatedResources") or _basic_errors(amount, f"status.allocatedResources[{resource}]")
    return errors


def _basic_errors(amount: str, path: str) -> list[FieldError]:
    return [invalid(path, quantity.to_int(amount), "must be a valid resource quantity")] if quantity.sign(amount) < 0 else []


def _key_errors(resource: str, path: str) -> list[FieldError]:
    """Of Kubernetes' own resources, a claim has only storage."""
    errors = named(resource, path, names.is_qualified_name)
    return errors or ([not_supported(path, resource, ("storage",))] if is_native(resource) and resource != "storage" else [])


def class_of(obj: Object) -> str:
    """The storage class of a claim or volume, by the older annotation where that is set."""
    annotations = dig(obj, "metadata", "annotations", default={})
    return annotations.get(CLASS_ANNOTATION) or dig(obj, "spec", "storageClassName", default="")


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    capacity = access = ""
    if spec.get("volumeName"):
        capacity, access = dig(status, "capacity", "storage", default="0"), access_modes_text(status.get("accessModes"))
    phase = "Terminating" if is_deleting(obj) else status.get("phase", "")
    return [
        name(obj), phase, spec.get("volumeName", ""), capacity, access, class_of(obj), spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now), spec.get("volumeMode") or UNSET,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    schema="io.k8s.api.core.v1.PersistentVolumeClaim",
    singular="persistentvolumeclaim",
    metadata_checks="mu",
    returns_deleted=True,
    short_names=("pvc",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default_claim,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Status"), Column("Volume"), Column("Capacity"), Column("Access Modes"), Column("StorageClass"),
        Column("VolumeAttributesClass"), AGE, Column("VolumeMode", priority=1),
    ),
    row=row,
)
