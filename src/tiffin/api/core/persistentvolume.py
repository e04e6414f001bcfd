"""PersistentVolume: a piece of storage. Its source and mode never change; the status says when its phase did."""
from __future__ import annotations

import posixpath
from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.persistentvolumeclaim import CLASS_ANNOTATION, class_of
from tiffin.api.core.podspec.defaults import default_remote_volume
from tiffin.api.core.podspec.nodelabels import node_term_warnings
from tiffin.api.core.podspec.scheduling import shown_node_terms, validate_node_selector
from tiffin.api.core.volumes import ACCESS_MODES, VOLUME_MODES, access_modes_text
from tiffin.api.core.volumesources import SOURCES, source_errors
from tiffin.api.differences import difference
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME, UNSET
from tiffin.api.strategy import keep
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, name_of
from tiffin.machinery.table import age, name
from tiffin.machinery.timestamps import format_time

FINAL_NAMES = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}
"""Labels of nodes by the names they had first."""
_OLD_ANNOTATIONS = {
    CLASS_ANNOTATION: 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_RETIRED = {
    "scaleIO": ("scaleIO", "v1.16", "v1.22"), "storageos": ("storageOS", "v1.22", "v1.25"), "cephfs": ("cephfs", "v1.28", "v1.31"),
    "photonPersistentDisk": ("photonPersistentDisk", "v1.11", "v1.16"), "rbd": ("rbd", "v1.28", "v1.31"),
    "glusterfs": ("glusterfs", "v1.25", "v1.26"),
}


def default(obj: Object) -> None:
    spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
    status["phase"] = status.get("phase") or "Pending"
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec.setdefault("volumeMode", "Filesystem")
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")
    default_remote_volume(spec)


def prepare_for_create(obj: Object, context: Context) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": format_time(context.now)}


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")


def prepare_status(new: Object, old: Object, context: Context) -> None:
    """The time of a change of phase is now, unless the writer names another one."""
    keep(new, old, "spec")
    after, before = new.setdefault("status", {}), old.get("status") or {}
    time, was = after.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if after.get("phase") != before.get("phase") and (time is None or time == was):
        after["lastPhaseTransitionTime"] = format_time(context.now)
    elif time is None and was is not None:
        after["lastPhaseTransitionTime"] = was


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = _mode_errors(spec.get("accessModes") or []) + _capacity_errors(spec.get("capacity") or {})
    policy, volume_mode = spec.get("persistentVolumeReclaimPolicy"), spec.get("volumeMode")
    if policy and policy not in RECLAIM_POLICIES:
        errors.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES))
    errors += _affinity_errors(spec.get("nodeAffinity")) + source_errors(spec, name_of(obj), "spec")
    if policy == "Recycle" and posixpath.normpath(dig(spec, "hostPath", "path", default=".")) == "/":
        errors.append(forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"))
    if spec.get("storageClassName"):
        errors += named(spec["storageClassName"], "spec.storageClassName", names.is_dns1123_subdomain)
    if volume_mode is not None and volume_mode not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", volume_mode, VOLUME_MODES))
    return errors + _attributes_class_errors(spec)


def _mode_errors(modes: list[str]) -> list[FieldError]:
    errors = [] if modes else [required("spec.accessModes")]
    errors += [not_supported("spec.accessModes", mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES and mode != "ReadWriteOncePod" for mode in modes):
        errors.append(forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes"))
    return errors


def _capacity_errors(capacity: dict[str, str]) -> list[FieldError]:
    errors = [] if capacity else [required("spec.capacity")]
    if set(capacity) != {"storage"}:
        errors.append(not_supported("spec.capacity", capacity, ("storage",)))
    for resource, amount in sorted(capacity.items()):
        if quantity.sign(amount) < 0:
            errors.append(invalid(f"spec.capacity[{resource}]", quantity.to_int(amount), "must be a valid resource quantity"))
        if quantity.sign(amount) <= 0:
            errors.append(invalid(f"spec.capacity[{resource}]", amount, "must be greater than zero"))
    return errors


def _affinity_errors(affinity: dict[str, Any] | None) -> list[FieldError]:
    if affinity is None:
        return []
    if affinity.get("required") is None:
        return [required("spec.nodeAffinity.required", "must specify required node constraints")]
    return validate_node_selector(affinity["required"], "spec.nodeAffinity.required")


def _attributes_class_errors(spec: dict[str, Any]) -> list[FieldError]:
    called, path = spec.get("volumeAttributesClassName"), "spec.volumeAttributesClassName"
    if called is None:
        return []
    errors = named(called, path, names.is_dns1123_subdomain) if called else [required(path, "an empty string is disallowed")]
    if spec.get("csi") is None:
        errors.append(required("spec.csi", "has to be specified when using volumeAttributesClassName"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    after, before = new.get("spec") or {}, old.get("spec") or {}
    errors = validate(new, context)
    source, known = _source_of(after), _source_of(before)
    if "controllerExpandSecretRef" not in (known.get("csi") or {}):  # may be added later
        source |= {kind: {k: v for k, v in value.items() if k != "controllerExpandSecretRef"} for kind, value in source.items() if kind == "csi"}
    if source != known:
        detail = f"spec.persistentvolumesource is immutable after creation\n{difference(source, known)}"
        errors.append(forbidden("spec.persistentvolumesource", detail))
    errors += immutable(after.get("volumeMode"), before.get("volumeMode"), "volumeMode")
    if before.get("nodeAffinity") is not None and not _is_renamed(after.get("nodeAffinity"), before["nodeAffinity"]):
        detail = "field is immutable, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", _shown_affinity(after.get("nodeAffinity")), detail))
    if before.get("volumeAttributesClassName") is not None and after.get("volumeAttributesClassName") is None:
        errors.append(forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden"))
    return errors


def _source_of(spec: dict[str, Any]) -> dict[str, Any]:
    return {source: spec[source] for source in SOURCES if spec.get(source) is not None}


def _shown_affinity(affinity: dict[str, Any] | None) -> dict[str, Any] | None:
    if affinity is None:
        return None
    needed = affinity.get("required")
    return {"Required": None if needed is None else {"NodeSelectorTerms": shown_node_terms(needed.get("nodeSelectorTerms"))}}


def _is_renamed(affinity: dict[str, Any] | None, before: dict[str, Any]) -> bool:
    """Whether an affinity is as before, but for labels of nodes that have got their final names."""
    return affinity == before or affinity == _with_final_names(before, affinity)


def _with_final_names(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        same = {key: _with_final_names(value, after.get(key)) for key, value in before.items()}
        if "operator" in before and FINAL_NAMES.get(before.get("key") or "") == after.get("key"):
            same["key"] = after["key"]
        return same
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [_with_final_names(one, other) for one, other in zip(before, after)]
    return before


def warnings(new: Object, old: Object | None) -> list[str]:
    spec, annotations = new.get("spec") or {}, annotations_of(new)
    found = [f"metadata.annotations[{key}]: {words}" for key, words in _OLD_ANNOTATIONS.items() if key in annotations]
    for index, term in enumerate(dig(spec, "nodeAffinity", "required", "nodeSelectorTerms", default=())):
        found += node_term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", check_values=False)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use "
            "dynamic provisioning.")
    for source, (called, deprecated, removed) in _RETIRED.items():
        if spec.get(source) is not None:
            found.append(f"spec.{called}: deprecated in {deprecated}, non-functional in {removed}+")
    return found


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        name(obj), dig(spec, "capacity", "storage", default="0"), access_modes_text(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""), "Terminating" if is_deleting(obj) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "", class_of(obj),
        spec.get("volumeAttributesClassName") or UNSET, status.get("reason", ""), age(obj, now), spec.get("volumeMode") or UNSET,
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    schema="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    metadata_checks="mm",
    returns_deleted=True,
    namespaced=False,
    short_names=("pv",),
    subresources=(
        Subresource("status", updates_object=True, prepare=prepare_status),
    ),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Capacity"), Column("Access Modes"), Column("Reclaim Policy"), Column("Status"), Column("Claim"), Column("StorageClass"),
        Column("VolumeAttributesClass"), Column("Reason"), AGE, Column("VolumeMode", priority=1),
    ),
    row=row,
)
