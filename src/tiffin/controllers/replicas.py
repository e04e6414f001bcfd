"""Keeping a number of pods of one template: the engine of ReplicaSets and ReplicationControllers.

Rules:
* Pods are made in batches of 1, 2, 4, …: a template that is refused is refused once, not five hundred times. At most 500 pods are
  made or deleted at a time.
* The status says what was seen before this look; the pods made now are counted at the next.
* A refusal becomes an event and the condition ReplicaFailure; the condition goes with the next success.

Source: Kubernetes' ReplicaSet controller, as documented and observed.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiffin.controllers import pods as p
from tiffin.controllers.owners import claim, controller_reference, orphan_index, owner_keys
from tiffin.controllers.resources import EVENTS_RULE, PODS
from tiffin.controllers.writing import compact, status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, Resource, dig, is_deleting, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.machinery.selectors import Selector
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, RecordEvent, Together, View, Watch

BURST = 500


@dataclass(frozen=True, slots=True)
class Flavor:
    """What differs between the kinds that keep replicas."""

    name: str
    resource: Resource
    kind: str
    selector: Callable[[Object], Selector]
    counts_terminating: bool
    """Its status has `terminatingReplicas`."""
    related: Callable[[Object, View], Sequence[Object]]
    """The sets that share nodes with this one: pods on nodes crowded by them go first."""


def controller_of_flavor(flavor: Flavor) -> Controller:
    watches = (
        Watch(flavor.resource),
        Watch(PODS, keys=owner_keys(flavor.resource, flavor.kind, flavor.selector), indexes={"orphan": orphan_index}),
    )
    group, plural = flavor.resource.group, flavor.resource.plural
    rules = (
        PolicyRule((group,), (plural,), ("get", "list", "update", "watch")),
        PolicyRule((group,), (f"{plural}/status",), ("patch", "update")),
        PolicyRule((group,), (f"{plural}/finalizers",), ("update",)),
        PolicyRule(("",), ("pods",), ("create", "delete", "get", "list", "patch", "watch")),
        EVENTS_RULE,
    )
    return Controller(flavor.name, watches, lambda key, view, now: reconcile(flavor, key, view, now), rules)


def reconcile(flavor: Flavor, key: Key, view: View, now: datetime) -> Changes:
    """Adopt and release, make or delete pods, and say so in the status."""
    owner = view.get(flavor.resource, *key)
    if owner is None:
        return Changes()
    claimed = claim(PODS, owner, flavor.selector(owner), view)
    active = [pod for pod in claimed.objects if p.is_active(pod)]
    changes: list[Change] = list(claimed.patches)
    if not is_deleting(owner):
        changes += _scaling(flavor, owner, active, view, now)
    status = _status(flavor, owner, active, claimed.objects, now)
    changes += status_changed(flavor.resource, owner, _without_failure(status))
    wait = p.next_availability(active, dig(owner, "spec", "minReadySeconds", default=0), now)
    return Changes(changes, wait, lambda change, error: _failed(flavor, owner, status, change, error, now))


def replicas(owner: Object) -> int:
    """The number wanted; a set that does not say wants one."""
    return dig(owner, "spec", "replicas", default=1)


def _scaling(flavor: Flavor, owner: Object, active: Sequence[Object], view: View, now: datetime) -> list[Change]:
    missing = replicas(owner) - len(active)
    if missing > 0:
        return batches([_pod(owner) for _ in range(min(missing, BURST))], owner)
    if missing < 0:
        ranked = p.by_deletion_preference(active, _crowding(flavor, owner, active, view), now)
        return [Together([_deletion(owner, pod) for pod in ranked[: min(-missing, BURST)]])]
    return []


def batches(pods: Sequence[Object], owner: Object) -> list[Change]:
    """Creations in batches that double, each begun only when the one before was accepted."""
    changes: list[Change] = []
    start, size = 0, 1
    while start < len(pods):
        batch = pods[start : start + size]
        changes.append(Together([creation(owner, pod) for pod in batch]))
        start, size = start + size, size * 2
    return changes


def creation(owner: Object, pod: Object) -> Create:
    return Create(PODS, pod, then=lambda stored: (RecordEvent(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(stored)}"),))


def _deletion(owner: Object, pod: Object) -> Delete:
    told = RecordEvent(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
    return Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), then=lambda answer: (told,))


def _pod(owner: Object) -> Object:
    return pod_from(dig(owner, "spec", "template", default={}), owner)


def pod_from(template: Object, owner: Object) -> Object:
    """A pod of this template, named by the server after its owner."""
    given = {name: meta(template)[name] for name in ("labels", "annotations", "finalizers") if meta(template).get(name)}
    metadata = {"generateName": f"{name_of(owner)}-", "namespace": namespace_of(owner), **given, "ownerReferences": [controller_reference(owner)]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def _crowding(flavor: Flavor, owner: Object, active: Sequence[Object], view: View) -> dict[str, int]:
    """For each pod, how many active pods of this set and its relatives share its node."""
    uids = {uid_of(owner)} | {uid_of(relative) for relative in flavor.related(owner, view)}
    pods = [pod for uid in uids for pod in view.by_index(PODS, "owner", uid) if p.is_active(pod)]
    per_node = Counter(dig(pod, "spec", "nodeName", default="") for pod in pods)
    return {uid_of(pod): per_node[node] for pod in active if (node := dig(pod, "spec", "nodeName", default=""))}


def _status(flavor: Flavor, owner: Object, active: Sequence[Object], claimed: Sequence[Object], now: datetime) -> Object:
    """The status for these pods, with the conditions it has now."""
    template_labels = dig(owner, "spec", "template", "metadata", "labels", default={})
    min_ready = dig(owner, "spec", "minReadySeconds", default=0)
    status = {
        "replicas": len(active),
        **compact(
            {
                "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
                "readyReplicas": sum(map(p.is_ready, active)),
                "availableReplicas": sum(p.is_available(pod, min_ready, now) for pod in active),
            }
        ),
    }
    if flavor.counts_terminating:
        status["terminatingReplicas"] = sum(map(p.is_terminating, claimed))
    status["observedGeneration"] = meta(owner).get("generation", 0)
    conditions = dig(owner, "status", "conditions", default=[])
    return status | ({"conditions": conditions} if conditions else {})


def _without_failure(status: Object) -> Object:
    remaining = [c for c in status.get("conditions", ()) if c["type"] != "ReplicaFailure"]
    return {name: value for name, value in status.items() if name != "conditions"} | ({"conditions": remaining} if remaining else {})


def _failed(flavor: Flavor, owner: Object, status: Object, change: Change, error: ApiError, now: datetime) -> Sequence[Change]:
    """What to say when a pod could not be made or deleted."""
    match change:
        case Create():
            reason, verb = "FailedCreate", "creating"
        case Delete():
            reason, verb = "FailedDelete", "deleting"
        case _:
            return ()
    told = RecordEvent(owner, "Warning", reason, f"Error {verb}: {error.message}")
    if any(c["type"] == "ReplicaFailure" for c in status.get("conditions", ())):
        return (told, *status_changed(flavor.resource, owner, status))
    failure = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": format_time(now), "reason": reason, "message": error.message}
    return (told, *status_changed(flavor.resource, owner, status | {"conditions": [*status.get("conditions", ()), failure]}))
