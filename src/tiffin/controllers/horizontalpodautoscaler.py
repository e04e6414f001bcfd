"""HorizontalPodAutoscalers: keep the replicas of their target within bounds, and tell how far metrics say how many there should be.

Rules:
* An autoscaler is looked at 15 seconds after it came or changed, and every 15 seconds from then on.
* Beyond `minReplicas` and `maxReplicas` the target is scaled at once. A target of no replicas is left alone: that is how to switch it off.
* Between the bounds metrics decide. They are read from an API of metrics, which this server does not have: an autoscaler says so of its
  first metric, in a condition, and of every metric in an event.

Source: Kubernetes' horizontal pod autoscaler, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import autoscaling as a
from tiffin.controllers import catalog
from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS_RULE, HORIZONTAL_POD_AUTOSCALERS, PODS
from tiffin.controllers.writing import status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, dig, is_deleting, key_of, labels_of, name_of, namespace_of
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.controller import Change, Changes, Controller, Later, Patch, PolicyRule, RecordEvent, View, Watch, no_keys

HPAS = HORIZONTAL_POD_AUTOSCALERS
PERIOD = timedelta(seconds=15)


def late_keys(hpa: Object, view: View) -> Iterable[Key | Later]:
    return (Later(key_of(hpa), PERIOD),)


def is_changed(old: Object, new: Object) -> bool:
    return old.get("spec") != new.get("spec")


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    hpa = view.get(HPAS, *key)
    if hpa is None or is_deleting(hpa):
        return Changes()
    sync = Sync(hpa, view, now)
    return Changes(sync.changes(), PERIOD, sync.failed)


class Sync:
    """One look at an autoscaler: its events and conditions, and perhaps another size of its target."""

    def __init__(self, hpa: Object, view: View, now: datetime) -> None:
        self._hpa, self._view, self._now = hpa, view, now
        self._status: Object = {"desiredReplicas": 0, "currentMetrics": None} | (hpa.get("status") or {})
        self._events: list[Change] = []
        self._reason = ""

    def changes(self) -> Sequence[Change]:
        try:
            target = a.target_of(self._hpa, self._view)
        except a.NoScale as error:
            self._say("FailedGetScale", str(error))
            self._condition("AbleToScale", "False", "FailedGetScale", f"the HPA controller was unable to get the target's current scale: {error}")
            return self._written()
        self._condition("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
        low, high = dig(self._hpa, "spec", "minReplicas", default=1), self._hpa["spec"]["maxReplicas"]
        if target.replicas == 0 and low != 0:
            self._condition("ScalingActive", "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
            self._count(0, 0)
        elif target.replicas > high:
            return self._scaled(target, high, "Current number of replicas above Spec.MaxReplicas")
        elif target.replicas < low:
            return self._scaled(target, low, "Current number of replicas below Spec.MinReplicas")
        else:
            self._measure(target)
        return self._written()

    def _say(self, reason: str, message: str) -> None:
        self._events.append(RecordEvent(self._hpa, "Warning", reason, message))

    def _condition(self, type: str, status: str, reason: str, message: str) -> None:
        before = p.condition({"status": self._status}, type)
        since = before["lastTransitionTime"] if before and before["status"] == status else format_time(self._now)
        told = {"type": type, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        self._status = p.with_condition({"status": self._status}, told)["status"]

    def _count(self, current: int, desired: int, metrics: list[Object] | None = None) -> None:
        kept = {name: self._status[name] for name in ("lastScaleTime", "conditions") if name in self._status}
        self._status = kept | {"desiredReplicas": desired, "currentMetrics": metrics} | ({"currentReplicas": current} if current else {})

    def _measure(self, target: a.Target) -> None:
        """Say why metrics do not tell how many replicas there should be."""
        metrics = dig(self._hpa, "spec", "metrics", default=())
        error, statuses = self._unselected(target), None
        if not error:
            statuses = [{"type": ""} for _ in metrics]
            errors = [a.unmeasured(metric, namespace_of(self._hpa)) for metric in metrics]
            for each in errors:
                self._say(each.reason, each.message)
            first = errors[0]
            self._condition("ScalingActive", "False", first.reason, f"the HPA was unable to compute the replica count: {first.message}")
            error = f"invalid metrics ({len(errors)} invalid out of {len(errors)}), first error is: {first.outcome}"
        self._count(target.replicas, self._status.get("desiredReplicas", 0), statuses)
        self._say("FailedComputeMetricsReplicas", error)

    def _unselected(self, target: a.Target) -> str:
        """Why the pods of the target cannot be told from others, "" if they can."""
        if not target.selector_text:
            self._say("SelectorRequired", "selector is required")
            self._condition("ScalingActive", "False", "InvalidSelector", "the HPA target's scale is missing a selector")
            return "selector is required"
        claimants = self._claimants(target)
        if len(claimants) < 2:
            return ""
        error = f"pods by selector {target.selector_text} are controlled by multiple HPAs: [{' '.join(claimants)}]"
        self._say("AmbiguousSelector", error)
        self._condition("ScalingActive", "False", "AmbiguousSelector", error)
        return error

    def _claimants(self, target: a.Target) -> list[str]:
        """The autoscalers whose targets select pods of this one's."""
        namespace = namespace_of(self._hpa)
        others = [other for other in self._view.list(HPAS, namespace) if not is_deleting(other)]
        if len(others) < 2:
            return []
        pods = [pod for pod in self._view.list(PODS, namespace) if target.selector.matches(labels_of(pod))]
        found = []
        for other in others:
            selector = a.selector_of(other, self._view)
            if selector and any(selector.matches(labels_of(pod)) for pod in pods):
                found.append(f"{namespace}/{name_of(other)}")
        return sorted(found)

    def _scaled(self, target: a.Target, size: int, reason: str) -> Sequence[Change]:
        self._count(target.replicas, self._status.get("desiredReplicas", 0))
        self._reason = f"New size: {size}; reason: {reason}"
        body = {"spec": {"replicas": size}}

        def told(answer: Object) -> Sequence[Change]:
            self._condition("AbleToScale", "True", "SucceededRescale", f"the HPA controller was able to update the target scale to {size}")
            self._count(target.replicas, size)
            self._status["lastScaleTime"] = format_time(self._now)
            return (RecordEvent(self._hpa, "Normal", "SuccessfulRescale", self._reason), *self._written())

        return (Patch(target.resource, namespace_of(self._hpa), target.name, body, subresource="scale", ignore_missing=False, then=told),)

    def _written(self) -> Sequence[Change]:
        return (*self._events, *status_changed(HPAS, self._hpa, self._status))

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        if not isinstance(change, Patch) or change.subresource != "scale":
            return ()
        self._say("FailedRescale", f"{self._reason}; error: {error.message}")
        self._condition("AbleToScale", "False", "FailedUpdateScale", f"the HPA controller was unable to update the target scale: {error.message}")
        return self._written()


def discover(view: View) -> list[Watch]:
    """Watches of custom resources that are scaled."""
    found = {a.holding_of(hpa, view) for hpa in view.list(HPAS)}
    return [Watch(h.resource, keys=no_keys) for h in found if h is not None and h.resource not in a.BUILTIN and h not in catalog.builtin()]


def controller(config: Config) -> Controller:
    watches = (
        Watch(HPAS, keys=late_keys, changed=is_changed),
        *(Watch(resource, keys=no_keys) for resource in a.BUILTIN),
        Watch(PODS, keys=no_keys),
        Watch(CUSTOM_RESOURCE_DEFINITIONS, keys=no_keys),
        Watch(catalog.API_SERVICES, keys=no_keys),
    )
    rules = (
        PolicyRule(("autoscaling",), ("horizontalpodautoscalers",), ("get", "list", "watch")),
        PolicyRule(("autoscaling",), ("horizontalpodautoscalers/status",), ("patch", "update")),
        PolicyRule(("*",), ("*/scale",), ("get", "patch", "update")),
        PolicyRule(("*",), ("*",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("horizontal-pod-autoscaler", watches, reconcile, rules, discover=discover, discovers=HPAS)
