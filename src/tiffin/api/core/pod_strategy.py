"""What the API itself writes into pods: their first status, what each subresource may change, and the generation.

A pod is created with status `Pending` and its quality of service, which never changes. The generation starts at 1 and moves
with the spec. `/status` keeps the spec, `/resize` takes nothing but resources, `/ephemeralcontainers` nothing but those.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.core.podspec.annotations import APP_ARMOR
from tiffin.api.core.podspec.resources import quality_of_service
from tiffin.api.core.podspec.security import validate_app_armor
from tiffin.api.kind import Context
from tiffin.api.strategy import keep, keep_metadata, next_generation, start_generation
from tiffin.machinery.object import Object, dig, meta
from tiffin.machinery.timestamps import format_time

_RESIZED = ("containers", "initContainers")
GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def prepare_for_create(pod: Object, context: Context) -> None:
    """The first status, and what annotations and label keys say put into the fields they stand for."""
    spec = pod["spec"]
    start_generation(pod, context)
    pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [{
            "type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": format_time(context.now),
            "reason": "SchedulingGated", "message": GATED_MESSAGE,
        }]
    _merge_label_keys(spec, meta(pod).get("labels") or {})
    _app_armor_fields(spec, meta(pod).get("annotations") or {})


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    _move_generation(new, old)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    """A status update keeps spec and owners; the quality of service outlives a status that leaves it out."""
    keep(new, old, "spec")
    keep_metadata(new, old, "ownerReferences")
    status = new["status"] = dict(new.get("status") or {})
    if not status.get("qosClass") and dig(old, "status", "qosClass"):
        status["qosClass"] = old["status"]["qosClass"]
    _keep_observed_generations(status, old.get("status") or {})
    _align_addresses(status)


def _keep_observed_generations(status: dict[str, Any], before: dict[str, Any]) -> None:
    """Clients that do not know them do not take them away: of the pod, and of each condition (there may be several of a type)."""
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    known: dict[str, list[int]] = {}
    for condition in before.get("conditions") or ():
        known.setdefault(condition.get("type") or "", []).append(condition.get("observedGeneration") or 0)
    if not any(map(any, known.values())):
        return
    for index, condition in enumerate(status.get("conditions") or ()):
        of_type = known.get(condition.get("type") or "")
        generation = of_type.pop(0) if of_type else 0
        if generation and not condition.get("observedGeneration"):
            status["conditions"][index] = {**condition, "observedGeneration": generation}


def prepare_resize(new: Object, old: Object, context: Context) -> None:
    """Only the resources of containers and of the pod are taken over; the rest of the pod stays as it is.

    Containers that are not the stored ones, in their order, are left for validation to refuse.
    """
    given = new.get("spec") or {}
    if any(len(given.get(field) or ()) != len(old["spec"].get(field) or ()) for field in _RESIZED):
        return
    _restore(new, old)
    spec = new["spec"]
    for field in _RESIZED:
        if spec.get(field):
            same = [c.get("name") for c in spec[field]] == [c.get("name") for c in given[field]]
            spec[field] = [_resized(c, wanted) for c, wanted in zip(spec[field], given[field])] if same else given[field]
    if given.get("resources") != spec.get("resources") and given.get("resources") is not None:
        spec["resources"] = given["resources"]
    _move_generation(new, old)


def _resized(container: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    taken = {key: wanted[key] for key in ("resources", "resizePolicy") if key in wanted}
    return {k: v for k, v in container.items() if k not in ("resources", "resizePolicy")} | taken


def prepare_ephemeral_containers(new: Object, old: Object, context: Context) -> None:
    given = (new.get("spec") or {}).get("ephemeralContainers")
    _restore(new, old)
    if given:
        new["spec"]["ephemeralContainers"] = given
    else:
        new["spec"].pop("ephemeralContainers", None)
    _move_generation(new, old)


def _restore(new: Object, old: Object) -> None:
    """The whole stored pod, but for what identifies the version the client means."""
    identity = {key: meta(new)[key] for key in ("resourceVersion", "uid") if key in meta(new)}
    new.clear()
    new.update(old, metadata={**old["metadata"], **identity}, spec=dict(old["spec"]))


def _move_generation(new: Object, old: Object) -> None:
    if new.get("spec") != old.get("spec"):
        next_generation(new, old)


def _align_addresses(status: dict[str, Any]) -> None:
    """`podIP` is the first of `podIPs`; where they differ, the older field counts."""
    address, addresses = status.get("podIP") or "", status.get("podIPs") or []
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address and addresses[0].get("ip"):
        status["podIP"] = addresses[0]["ip"]


def grace_period(pod: Object, asked: int | None) -> int:
    """Seconds until a deleted pod is killed: as asked or as its spec says; none for pods that do not run anywhere."""
    period = asked if asked is not None else dig(pod, "spec", "terminationGracePeriodSeconds", default=0)
    if not dig(pod, "spec", "nodeName") or dig(pod, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    return period if period >= 0 else 1


# --- fields that stand for others ----------------------------------------------------------------------------------------


def _merge_label_keys(spec: dict[str, Any], labels: dict[str, str]) -> None:
    """`matchLabelKeys` become requirements of the selector beside them, with the values the pod itself has (KEP-3633, KEP-3243)."""
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_into_selector(constraint, labels)
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = dig(spec, "affinity", kind, default={})
        for term in affinity.get(_REQUIRED) or ():
            _merge_into_selector(term, labels)
        for weighted in affinity.get(_PREFERRED) or ():
            _merge_into_selector(weighted.get("podAffinityTerm") or {}, labels)


def _merge_into_selector(owner: dict[str, Any], labels: dict[str, str]) -> None:
    selector = owner.get("labelSelector")
    if selector is None:
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        known = [key for key in owner.get(field) or () if key in labels]
        if known:
            added = [{"key": key, "operator": operator, "values": [labels[key]]} for key in known]
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or ()), *added]


def _app_armor_fields(spec: dict[str, Any], annotations: dict[str, str]) -> None:
    """AppArmor profiles in annotations, the form before 1.30, are put into the fields of the containers."""
    if not any(key.startswith(APP_ARMOR) for key in annotations) or dig(spec, "os", "name") == "windows":
        return
    of_pod = dig(spec, "securityContext", "appArmorProfile")
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            profile = _app_armor_profile(annotations.get(APP_ARMOR + (container.get("name") or "")))
            context = container.get("securityContext") or {}
            if profile is not None and profile != of_pod and context.get("appArmorProfile") is None and not validate_app_armor(profile, ""):
                container["securityContext"] = {**context, "appArmorProfile": profile}


def _app_armor_profile(text: str | None) -> dict[str, str] | None:
    if text == "runtime/default":
        return {"type": "RuntimeDefault"}
    if text == "unconfined":
        return {"type": "Unconfined"}
    if text and text.startswith("localhost/"):
        return {"type": "Localhost", "localhostProfile": text.removeprefix("localhost/")}
    return None
