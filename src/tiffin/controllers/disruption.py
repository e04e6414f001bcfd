"""Pod disruption budgets: how many of the pods they guard may go now, which is what the eviction API asks.

Healthy pods are ready ones that are not being deleted, less those that the eviction API just let go (`status.disruptedPods`, for
two minutes). How many there should be is asked of the pods' controllers, unless the budget gives a number itself. Where one of them
cannot say, because it has no scale or is not there, nothing may go, and a condition tells why.

Source: Kubernetes' disruption controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tiffin.controllers import catalog
from tiffin.controllers import pods as p
from tiffin.controllers import resources as r
from tiffin.controllers.autoscaling import replicas_at, scale_paths
from tiffin.controllers.config import Config
from tiffin.controllers.rollout import scaled_value, wanted
from tiffin.controllers.writing import changed
from tiffin.machinery.object import (
    Key,
    Object,
    Resource,
    controller_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, PolicyRule, RecordEvent, View, Watch, no_keys

BUDGETS = r.POD_DISRUPTION_BUDGETS
SCALED: dict[tuple[str, str], Resource] = {
    ("apps", "ReplicaSet"): r.REPLICA_SETS,
    ("apps", "Deployment"): r.DEPLOYMENTS,
    ("apps", "StatefulSet"): r.STATEFUL_SETS,
    ("", "ReplicationController"): r.REPLICATION_CONTROLLERS,
}
EXPECTED_GONE = timedelta(minutes=2)


class Uncounted(Exception):
    """Why nobody knows how many pods there should be."""


class Need(NamedTuple):
    """How many pods there should be, how many must be healthy, and the pods whose number nobody knows."""

    expected: int
    healthy: int
    unmanaged: Sequence[Object] = ()


def selector(budget: Object) -> Selector:
    return from_label_selector(dig(budget, "spec", "selector"))


def pod_keys(pod: Object, view: View) -> Iterable[Key]:
    return [key_of(b) for b in view.list(BUDGETS, namespace_of(pod)) if selector(b).matches(labels_of(pod))]


def namespace_keys(owner: Object, view: View) -> Iterable[Key]:
    """Every budget of the namespace: any of them may guard this workload's pods."""
    return [key_of(budget) for budget in view.list(BUDGETS, namespace_of(owner))]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    budget = view.get(BUDGETS, *key)
    if budget is None or is_deleting(budget):
        return Changes()
    chosen = selector(budget)
    pods = [pod for pod in view.list(r.PODS, key.namespace) if chosen.matches(labels_of(pod))]
    try:
        need = _need(budget, pods, view)
    except Uncounted as error:
        return Changes(_refused(budget, str(error), now))
    disrupted = _still_expected(budget, pods, now)
    healthy = [pod for pod in pods if not is_deleting(pod) and name_of(pod) not in disrupted and p.is_ready(pod)]
    status = _status(budget, need, len(healthy), disrupted, now)
    events = list(_events(budget, pods, need, chosen))
    ends = [parse_time(time) + EXPECTED_GONE - now for time in disrupted.values()]
    writes = changed(BUDGETS, budget, budget | {"status": status}, "status")
    # Told when something changed; the budget's every look would say it again.
    return Changes([*events, *writes] if writes else (), min(ends, default=None))


def _need(budget: Object, pods: Sequence[Object], view: View) -> Need:
    maximum, minimum = dig(budget, "spec", "maxUnavailable"), dig(budget, "spec", "minAvailable")
    if maximum is None and not isinstance(minimum, str):
        return Need(len(pods), minimum or 0)
    expected, unmanaged = _expected_scale(pods, view)
    if maximum is not None:
        return Need(expected, max(0, expected - scaled_value(maximum, expected, True)), unmanaged)
    return Need(expected, scaled_value(minimum, expected, True), unmanaged)


def _expected_scale(pods: Sequence[Object], view: View) -> tuple[int, list[Object]]:
    """The replicas wanted by all controllers of these pods, and the pods that have none. Raises Uncounted."""
    sizes: dict[str, int] = {}
    unmanaged = []
    for pod in pods:
        reference = controller_of(pod)
        if reference is None:
            unmanaged.append(pod)
        elif owner := _owner(pod, view):
            # A replica set's deployment counts, not the replica set.
            top = _owner(owner, view) or owner
            sizes[uid_of(top)] = wanted(top)
        else:
            sizes[reference["uid"]] = _custom_scale(pod, reference, view)
    return sum(sizes.values()), unmanaged


def _custom_scale(pod: Object, reference: Object, view: View) -> int:
    """The replicas of a controller of another kind than ours. Raises Uncounted."""
    version, kind = reference["apiVersion"], reference["kind"]
    group = version.rpartition("/")[0]
    if (group, kind) not in SCALED:
        holding = catalog.of_kind(group, kind, view)
        if holding is None:
            raise Uncounted(f'no matches for kind "{kind}" in version "{version}"')
        paths = scale_paths(holding, view)
        if paths is None:
            raise Uncounted(f"{holding.resource.group_resource} does not implement the scale subresource")
        owner = view.get(holding.resource, namespace_of(pod), reference["name"])
        if owner and uid_of(owner) == reference["uid"]:
            return replicas_at(owner, paths)
    raise Uncounted(f'found no controllers for pod "{name_of(pod)}"')


def _owner(obj: Object, view: View) -> Object | None:
    reference = controller_of(obj)
    if not reference:
        return None
    resource = SCALED.get((reference.get("apiVersion", "").rpartition("/")[0], reference.get("kind", "")))
    owner = view.get(resource, namespace_of(obj), reference["name"]) if resource else None
    return owner if owner and uid_of(owner) == reference.get("uid") else None


def _still_expected(budget: Object, pods: Sequence[Object], now: datetime) -> dict[str, str]:
    """Pods that were let go and are still there, not longer than two minutes ago."""
    there = {name_of(pod) for pod in pods if not is_deleting(pod)}
    recorded = dig(budget, "status", "disruptedPods", default={})
    return {name: time for name, time in recorded.items() if name in there and parse_time(time) + EXPECTED_GONE > now}


def _status(budget: Object, need: Need, healthy: int, disrupted: dict[str, str], now: datetime) -> Object:
    allowed = max(0, healthy - need.healthy) if need.expected > 0 else 0
    generation = meta(budget).get("generation", 0)
    before = p.condition(budget, "DisruptionAllowed")
    value, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    since = before["lastTransitionTime"] if before and before["status"] == value else format_time(now)
    told = {"type": "DisruptionAllowed", "status": value, "observedGeneration": generation, "lastTransitionTime": since, "reason": reason, "message": ""}
    status = {"disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": need.healthy, "expectedPods": need.expected}
    conditions = dig(p.with_condition(budget, told), "status", "conditions")
    return {"observedGeneration": generation, **({"disruptedPods": disrupted} if disrupted else {}), **status, "conditions": conditions}


def _refused(budget: Object, error: str, now: datetime) -> Sequence[Change]:
    """Nothing may go while nobody knows how many pods there should be."""
    before = budget.get("status") or {}
    old = p.condition(budget, "DisruptionAllowed")
    since = old["lastTransitionTime"] if old and old["status"] == "False" else format_time(now)
    condition = {
        "type": "DisruptionAllowed", "status": "False", "observedGeneration": before.get("observedGeneration", 0), "lastTransitionTime": since,
        "reason": "SyncFailed", "message": error,
    }  # fmt: skip
    conditions = dig(p.with_condition(budget, {k: v for k, v in condition.items() if v != 0}), "status", "conditions")
    counts = {name: before.get(name, 0) for name in ("currentHealthy", "desiredHealthy", "expectedPods")}
    status = before | counts | {"disruptionsAllowed": 0, "conditions": conditions}
    writes = changed(BUDGETS, budget, budget | {"status": status}, "status")
    told = RecordEvent(budget, "Warning", "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {error}")
    return (told, *writes) if writes else ()


def _events(budget: Object, pods: Sequence[Object], need: Need, chosen: Selector) -> Iterable[Change]:
    if not pods:
        yield RecordEvent(budget, "Normal", "NoPods", "No matching pods found")
    if need.unmanaged:
        yield RecordEvent(
            budget, "Warning", "UnmanagedPods",
            f"Pods selected by this PodDisruptionBudget (selector: {chosen}) were found to be unmanaged. As a result, the status of the PDB "
            'cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" '
            "field of the PDB to an integer value.",
        )  # fmt: skip


def discover(view: View) -> list[Watch]:
    """Watches of the custom resources that have a scale."""
    return [Watch(h.resource, keys=namespace_keys) for h in catalog.custom(view) if h.namespaced and scale_paths(h, view) is not None]


def controller(config: Config) -> Controller:
    workloads = tuple(Watch(resource, keys=namespace_keys, changed=lambda old, new: wanted(old) != wanted(new)) for resource in SCALED.values())
    watches = (Watch(BUDGETS), Watch(r.PODS, keys=pod_keys), Watch(r.CUSTOM_RESOURCE_DEFINITIONS, keys=no_keys), *workloads)
    rules = (
        PolicyRule(("apps",), ("deployments", "replicasets", "statefulsets"), ("get", "list", "watch")),
        PolicyRule(("",), ("pods", "replicationcontrollers"), ("get", "list", "watch")),
        PolicyRule(("*",), ("*",), ("get", "list", "watch")),
        PolicyRule(("policy",), ("poddisruptionbudgets",), ("get", "list", "watch")),
        PolicyRule(("policy",), ("poddisruptionbudgets/status",), ("patch", "update")),
        r.EVENTS_RULE,
    )
    return Controller(
        "disruption-controller", watches, reconcile, rules, component="controllermanager", discover=discover, discovers=r.CUSTOM_RESOURCE_DEFINITIONS)
