"""What may change in a pod: by an ordinary update, by `/resize` and by `/ephemeralcontainers`.

A pod's spec is fixed but for images, deadline, added tolerations and removed gates; a pod that still waits at its gates may be
narrowed to fewer nodes (KEP-3838).
"""
from __future__ import annotations

from typing import Any

from tiffin.api.core.podspec.annotations import APP_ARMOR, MIRROR, validate_pod_annotations, validate_profiles_match
from tiffin.api.core.podspec.resources import is_sidecar, quality_of_service
from tiffin.api.core.podspec.scheduling import shown_node_terms, validate_tolerations
from tiffin.api.core.podspec.validation import validate_pod_spec, validate_pods_only
from tiffin.api.differences import difference
from tiffin.api.kind import Context, dns_subdomain_name
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig, meta
from tiffin.machinery.validation import validate_object_meta

_UPDATABLE = (
    "`spec.containers[*].image`", "`spec.initContainers[*].image`", "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)
_ADDITIONS = "only additions are allowed (no mutations or deletions)"
_LABEL_ADDITIONS = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
_TERMS = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_RESIZABLE = ("cpu", "memory")

Spec = dict[str, Any]


def validate_metadata_and_spec(pod: Object) -> list[FieldError]:
    """What every write of a pod checks beyond its metadata."""
    spec, annotations = pod.get("spec") or {}, meta(pod).get("annotations") or {}
    errors = validate_pod_annotations(annotations, spec, "metadata.annotations")
    errors += validate_pod_spec(spec, "spec", meta(pod).get("name") or "")
    return errors + validate_pods_only(spec, "spec")


def validate_create(pod: Object, context: Context) -> list[FieldError]:
    errors = validate_metadata_and_spec(pod)
    spec = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errors.append(f.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(f.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors + validate_profiles_match(meta(pod).get("annotations") or {}, spec, "spec")


def _validate_whole(new: Object, old: Object) -> list[FieldError]:
    """The new pod on its own; metadata is looked at again, which shows in the causes."""
    return validate_object_meta(meta(new), namespaced=True, name_validator=dns_subdomain_name) + validate_metadata_and_spec(new)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """An ordinary update."""
    errors = _validate_whole(new, old) + validate_annotation_updates(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            return [*errors, f.forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
        errors += _validate_images(spec.get(field) or (), f"spec.{field}")
    deadline_errors, stop = _validate_deadline(spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"))
    errors += deadline_errors
    if stop:
        return errors
    errors += _validate_tolerations(spec, before) + _validate_gates(spec, before)
    return errors if spec == before else errors + _validate_fixed(spec, before)


def _validate_images(containers: Any, path: str) -> list[FieldError]:
    errors = []
    for index, container in enumerate(containers):
        image = container.get("image") or ""
        if not image:
            errors.append(f.required(f"{path}[{index}].image"))
        if image != image.strip():
            errors.append(f.invalid(f"{path}[{index}].image", image, "must not have leading or trailing whitespace"))
    return errors


def _validate_deadline(new: int | None, old: int | None) -> tuple[list[FieldError], bool]:
    """The deadline may be set or shortened; the flag tells whether to look no further."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        removed = [f.invalid(path, None, "must not update from a positive integer to nil value")] if old is not None else []
        return removed, False
    if not 0 <= new < 2**31:
        return [f.invalid(path, new, "must be between 0 and 2147483647, inclusive")], True
    if old is not None and old < new:
        return [f.invalid(path, new, "must be less than or equal to previous value")], True
    return [], False


def _validate_tolerations(spec: Spec, before: Spec) -> list[FieldError]:
    kept = [_without_seconds(t) for t in spec.get("tolerations") or ()]
    if any(_without_seconds(t) not in kept for t in before.get("tolerations") or ()):
        return [f.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")]
    return validate_tolerations(spec.get("tolerations"), "spec.tolerations")


def _without_seconds(toleration: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in toleration.items() if k != "tolerationSeconds" and v}


def _validate_gates(spec: Spec, before: Spec) -> list[FieldError]:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    added = {gate.get("name") or "": index for index, gate in enumerate(spec.get("schedulingGates") or ()) if gate.get("name") not in known}
    words = "only deletion is allowed, but found new scheduling gate"
    return [f.forbidden(f"spec.schedulingGates[{index}].name", f"{words} '{name}'") for name, index in added.items()]


def _validate_fixed(spec: Spec, before: Spec) -> list[FieldError]:
    """All that may differ is made equal; what still differs is refused, with the difference."""
    errors: list[FieldError] = []
    munged = dict(spec)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            munged[field] = [{**c, "image": o.get("image")} for c, o in zip(spec[field], before[field])]
    _keep(munged, before, "activeDeadlineSeconds", "tolerations", "schedulingGates")
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        _keep(munged, before, "terminationGracePeriodSeconds")
    if before.get("schedulingGates"):
        errors += _validate_narrowing(spec, before)
        _keep(munged, before, "nodeSelector")
        munged["affinity"] = _with_node_affinity(spec.get("affinity"), dig(before, "affinity", "nodeAffinity"))
        if not munged["affinity"] and not before.get("affinity"):
            _keep(munged, before, "affinity")
    if munged != before:
        detail = f"pod updates may not change fields other than {','.join(_UPDATABLE)}\n{difference(munged, before)}"
        errors.append(f.forbidden("spec", detail))
    return errors


def _keep(spec: Spec, before: Spec, *fields: str) -> None:
    for field in fields:
        spec.pop(field, None)
        if field in before:
            spec[field] = before[field]


def _with_node_affinity(affinity: dict[str, Any] | None, node_affinity: Any) -> dict[str, Any]:
    return {k: v for k, v in ((affinity or {}) | {"nodeAffinity": node_affinity}).items() if v is not None}


def _validate_narrowing(spec: Spec, before: Spec) -> list[FieldError]:
    """A pod at its gates may get more node labels and more requirements, never fewer."""
    errors = []
    selector, known = spec.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in known.items()):
        errors.append(f.invalid("spec.nodeSelector", selector, _LABEL_ADDITIONS))
    required = dig(spec, "affinity", "nodeAffinity", _REQUIRED, "nodeSelectorTerms", default=[])
    required_before = dig(before, "affinity", "nodeAffinity", _REQUIRED, "nodeSelectorTerms", default=[])
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}"
    if not required_before:
        return errors
    if len(required) != len(required_before):
        return [*errors, f.invalid(f"{path}.nodeSelectorTerms", shown_node_terms(required or None), _TERMS)]
    for index, (term, term_before) in enumerate(zip(required, required_before)):
        if not _is_narrower(term, term_before):
            errors.append(f.invalid(f"{path}.nodeSelectorTerms[{index}]", (shown_node_terms([term]) or [])[0], _ADDITIONS))
    return errors


def _is_narrower(term: Spec, before: Spec) -> bool:
    """Whether a term has all the requirements it had, in front. A term without any matches nothing, and stays so."""
    fields = ("matchExpressions", "matchFields")
    if not any(before.get(field) for field in fields):
        return not any(term.get(field) for field in fields)
    return all((before.get(field) or []) == (term.get(field) or [])[: len(before.get(field) or ())] for field in fields)


def validate_annotation_updates(new: Object, old: Object) -> list[FieldError]:
    """Annotations that mark mirror pods and AppArmor profiles neither come, change nor go; all are checked once more, as in Kubernetes."""
    after, before = meta(new).get("annotations") or {}, meta(old).get("annotations") or {}
    errors = []
    for key in sorted({*after, *before}):
        what = "AppArmor annotations" if key.startswith(APP_ARMOR) else "mirror pod annotation" if key == MIRROR else ""
        if what and after.get(key) != before.get(key):
            verb = "remove or update" if key in before else "add"
            errors.append(f.forbidden(f"metadata.annotations[{key}]", f"may not {verb} {what}"))
    return errors + validate_pod_annotations(after, new.get("spec") or {}, "metadata.annotations")


# --- subresources --------------------------------------------------------------------------------------------------------


def validate_resize(new: Object, old: Object, context: Context) -> list[FieldError]:
    """`/resize`: cpu and memory of regular containers and sidecars only, and the quality of service stays (KEP-1287)."""
    errors = _validate_whole(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if MIRROR in (meta(old).get("annotations") or {}):
        return [f.forbidden("", "static pods cannot be resized")]
    if dig(before, "os", "name") == "windows":
        return [f.forbidden("", "windows pods cannot be resized")]
    quality = dig(old, "status", "qosClass") or quality_of_service(before)
    if quality_of_service(spec) != quality:
        errors.append(f.invalid("spec", dig(new, "status", "qosClass", default=""), "Pod QOS Class may not change as a result of resizing"))
    if not _can_be_resized(old.get("status") or {}):
        errors.append(f.forbidden("spec", "Pod running on node without support for resize"))
    misplaced = [e for field in ("containers", "initContainers") for e in _validate_order(spec.get(field) or (), before.get(field) or (), field)]
    if misplaced:
        return errors + misplaced
    return errors + _validate_removals(spec, before) + _validate_mutable(spec, before)


def _can_be_resized(status: dict[str, Any]) -> bool:
    """Nodes that can resize tell the resources of running containers; while none runs, nothing is known."""
    running = next((s for s in status.get("containerStatuses") or () if dig(s, "state", "running") is not None), None)
    return running is None or running.get("resources") is not None


def _validate_order(containers: Any, before: Any, field: str) -> list[FieldError]:
    if len(containers) != len(before):
        return [f.forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")]
    return [
        f.forbidden(f"spec.{field}[{index}].name", f"{field} may not be renamed or reordered on resize")
        for index, (container, known) in enumerate(zip(containers, before)) if container.get("name") != known.get("name")
    ]


def _validate_removals(spec: Spec, before: Spec) -> list[FieldError]:
    errors = []
    for field in ("initContainers", "containers"):
        for index, (container, known) in enumerate(zip(spec.get(field) or (), before.get(field) or ())):
            for kind in ("requests", "limits") if field == "containers" or is_sidecar(known) else ():
                if set(dig(known, "resources", kind, default=())) - set(dig(container, "resources", kind, default=())):
                    errors.append(f.forbidden(f"spec.{field}[{index}].resources.{kind}", f"resource {kind} cannot be removed"))
    return errors


def _validate_mutable(spec: Spec, before: Spec) -> list[FieldError]:
    errors = []
    for container, known in zip(spec.get("containers") or (), before.get("containers") or ()):
        if _without_resizable(container) != _without_resizable(known):
            errors.append(f.forbidden("spec", "only cpu and memory resources are mutable"))
    for container, known in zip(spec.get("initContainers") or (), before.get("initContainers") or ()):
        if not is_sidecar(known):
            if container != known:
                errors.append(f.forbidden("spec", "resources for non-sidecar init containers are immutable"))
        elif _without_resizable(container) != _without_resizable(known):
            errors.append(f.forbidden("spec", "only cpu and memory resources for sidecar containers are mutable"))
    return errors


def _without_resizable(container: Spec) -> Spec:
    """A container without its cpu and memory."""
    resources = container.get("resources") or {}
    rest = {
        kind: {name: value for name, value in quantities.items() if name not in _RESIZABLE} if kind in ("limits", "requests") else quantities
        for kind, quantities in resources.items()
    }
    return {**container, "resources": {kind: value for kind, value in rest.items() if value}}


def validate_ephemeral_containers(new: Object, old: Object, context: Context) -> list[FieldError]:
    """`/ephemeralcontainers`: they are added and then neither change nor go."""
    if MIRROR in (meta(old).get("annotations") or {}):
        return [f.forbidden("", "static pods do not support ephemeral containers")]
    errors = _validate_whole(new, old) + validate_annotation_updates(new, old)
    path = "spec.ephemeralContainers"
    given = {c.get("name"): c for c in dig(new, "spec", "ephemeralContainers", default=())}
    for known in dig(old, "spec", "ephemeralContainers", default=()):
        name = f.shown(known.get("name") or "")
        if known.get("name") not in given:
            errors.append(f.forbidden(path, f"existing ephemeral containers {name} may not be removed\n"))
        elif given[known.get("name")] != known:
            changes = difference(given[known.get("name")], known)
            errors.append(f.forbidden(path, f"existing ephemeral containers {name} may not be changed\n{changes}"))
    return errors
