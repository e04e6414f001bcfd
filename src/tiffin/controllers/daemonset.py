"""DaemonSets: one pod on every node it fits, replaced node by node when the template changes.

Rules:
* Each pod is made for one node, by a required node affinity to its name; the scheduler binds it.
* Rolling without surge, an old pod goes when so many are available that one may be missing; one that is not available goes at once.
  With surge, the old pod stays until the new one beside it is available.
* A failed pod is deleted ten seconds after it ended, so that one that always fails does not spin.

Source: Kubernetes' DaemonSet controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.history import History, history
from tiffin.controllers.jobpolicy import ended_at
from tiffin.controllers.nodefit import Fit, daemon_tolerations, fit
from tiffin.controllers.owners import claim, orphan_index, owner_keys
from tiffin.controllers.replicas import batches, pod_from
from tiffin.controllers.resources import CONTROLLER_REVISIONS, DAEMON_SETS, EVENTS_RULE, NODES, PODS
from tiffin.controllers.rollout import scaled_value
from tiffin.controllers.writing import compact, status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import (
    Key,
    Object,
    annotations_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    replaced,
    uid_of,
)
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, RecordEvent, Together, View, Watch, no_keys

HASH = "controller-revision-hash"
GENERATION, GENERATION_LABEL = "deprecated.daemonset.template.generation", "pod-template-generation"
BURST = 250
FAILED_POD_REST = timedelta(seconds=10)


def selector(daemon_set: Object) -> Selector:
    return from_label_selector(dig(daemon_set, "spec", "selector"))


def all_keys(node: Object, view: View) -> Iterable[Key]:
    return [key_of(daemon_set) for daemon_set in view.list(DAEMON_SETS)]


def placement(node: Object) -> object:
    """What of a node decides which daemons run on it."""
    return labels_of(node), dig(node, "spec", "taints"), is_deleting(node)


def target(pod: Object) -> str:
    """The node a daemon pod is on, or made for."""
    if name := p.node_name(pod):
        return name
    required = dig(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms", default=())
    fields = [f for term in required for f in term.get("matchFields") or () if f.get("key") == "metadata.name"]
    return next((f["values"][0] for f in fields if f.get("values")), "")


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    daemon_set = view.get(DAEMON_SETS, *key)
    if daemon_set is None:
        return Changes()
    if selector(daemon_set).is_everything:
        warning = "This daemon set is selecting all pods. A non-empty selector is required."
        return Changes((RecordEvent(daemon_set, "Warning", "SelectingAll", warning),))
    if is_deleting(daemon_set):
        return Changes()
    past = history(daemon_set, selector(daemon_set), view, HASH)
    claimed = claim(PODS, daemon_set, selector(daemon_set), view)
    plan = Plan(daemon_set, past, claimed.objects, view.list(NODES), now)
    plan.manage()
    if dig(daemon_set, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate" and not plan.deletions and not plan.missing:
        plan.roll()
    return Changes([*past.changes, *claimed.patches, *plan.changes()], plan.again(), plan.failed)


class OnNode(NamedTuple):
    """A node, how the daemon fits it, and the daemon's pods there, oldest first."""

    node: Object
    fit: Fit
    pods: list[Object]


class Plan:
    """Which pods a daemon set should gain and lose, and its status."""

    def __init__(self, daemon_set: Object, past: History, pods: Sequence[Object], nodes: Sequence[Object], now: datetime) -> None:
        self.daemon_set, self.past, self.now = daemon_set, past, now
        self.min_ready: int = dig(daemon_set, "spec", "minReadySeconds", default=0)
        spec = dig(daemon_set, "spec", "template", "spec", default={})
        by_node: dict[str, list[Object]] = {}
        for pod in sorted(pods, key=lambda pod: (p.created(pod), name_of(pod))):
            if not (p.is_finished(pod) and is_deleting(pod)):
                by_node.setdefault(target(pod), []).append(pod)
        self.pods = pods
        self.nodes = [OnNode(node, fit(spec, node), by_node.pop(name_of(node), [])) for node in sorted(nodes, key=name_of)]
        self.homeless = [pod for pods in by_node.values() for pod in pods if not p.node_name(pod) and not is_deleting(pod)]
        """Pods made for a node that has gone, and not yet bound: no one else will clear them away."""
        self.missing: list[Object] = []
        """Nodes that need a pod."""
        self.deletions: list[Object] = []
        self.events: list[RecordEvent] = []
        self.waits: list[timedelta] = []
        self.surge, self.unavailable = self._limits()

    def _limits(self) -> tuple[int, int]:
        desired = sum(on.fit.should_run for on in self.nodes)
        rolling = dig(self.daemon_set, "spec", "updateStrategy", "rollingUpdate", default={})
        surge = scaled_value(rolling.get("maxSurge", 0), desired, True)
        unavailable = scaled_value(rolling.get("maxUnavailable", 1), desired, True)
        return surge, 1 if surge == unavailable == 0 else unavailable

    @property
    def hash(self) -> str:
        return labels_of(self.past.current).get(HASH, "")

    def is_new(self, pod: Object) -> bool:
        generation = annotations_of(self.daemon_set).get(GENERATION)
        labels = labels_of(pod)
        return labels.get(HASH) == self.hash or bool(generation and labels.get(GENERATION_LABEL) == generation and HASH not in labels)

    def is_available(self, pod: Object) -> bool:
        return p.is_available(pod, self.min_ready, self.now)

    def manage(self) -> None:
        """A pod where there is none, none where it does not fit, not two on one node."""
        self.deletions += self.homeless
        for on in self.nodes:
            if on.fit.should_run and not on.pods:
                self.missing.append(on.node)
            elif on.fit.may_stay:
                self._tidy(on)
            else:
                self.deletions += [pod for pod in on.pods if not is_deleting(pod)]

    def _tidy(self, on: OnNode) -> None:
        running = []
        for pod in on.pods:
            if is_deleting(pod):
                continue
            if p.is_finished(pod):
                self._clear(pod, name_of(on.node))
            else:
                running.append(pod)
        if len(running) > 1:
            keep = self._kept(running)
            self.deletions += [pod for pod in running if pod not in keep]

    def _kept(self, running: Sequence[Object]) -> list[Object]:
        """Of several pods on one node, the oldest; with surge, an old one too until the new one is available."""
        if not self.surge:
            return [running[0]]
        new = next((pod for pod in running if self.is_new(pod)), None)
        old = next((pod for pod in running if not self.is_new(pod)), None)
        if new is None or old is None:
            return [running[0]]
        return [new] if self.is_available(new) else [new, old] if self.is_available(old) else [new]

    def _clear(self, pod: Object, node: str) -> None:
        failed = p.phase(pod) == "Failed"
        rest = ended_at(pod) + FAILED_POD_REST - self.now
        if failed and rest > timedelta(0) and ended_at(pod) > p.created(pod):
            self.waits.append(rest)
            return
        state, verb, kind = ("failed", "kill", "Warning") if failed else ("succeeded", "delete", "Normal")
        message = f"Found {state} daemon pod {namespace_of(pod)}/{name_of(pod)} on node {node}, will try to {verb} it"
        self.events.append(RecordEvent(self.daemon_set, kind, "FailedDaemonPod" if failed else "SucceededDaemonPod", message))
        self.deletions.append(pod)

    def roll(self) -> None:
        """Replace pods of an old template, as many as the limits allow."""
        occupied = [(on, *self._old_and_new(on)) for on in self.nodes if on.fit.should_run]
        if self.surge:
            self._roll_with_surge(occupied)
        else:
            self._roll_in_place(occupied)

    def _old_and_new(self, on: OnNode) -> tuple[Object | None, Object | None]:
        there = [pod for pod in on.pods if not is_deleting(pod)]
        old = next((pod for pod in there if not self.is_new(pod)), None)
        return old, next((pod for pod in there if self.is_new(pod)), None)

    def _roll_in_place(self, occupied: Sequence[tuple[OnNode, Object | None, Object | None]]) -> None:
        lame: list[Object] = []
        candidates: list[Object] = []
        unavailable = 0
        for _, old, new in occupied:
            if old is not None and new is None:
                (candidates if self.is_available(old) else lame).append(old)
                unavailable += not self.is_available(old)
            elif new is None or not self.is_available(new):
                unavailable += 1
        self.deletions += lame + candidates[: max(0, self.unavailable - unavailable)]

    def _roll_with_surge(self, occupied: Sequence[tuple[OnNode, Object | None, Object | None]]) -> None:
        at_once: list[Object] = []
        candidates: list[Object] = []
        surging = 0
        for on, old, new in occupied:
            if old is None:
                continue
            if new is None:
                (candidates if self.is_available(old) else at_once).append(on.node)
            elif self.is_available(new):
                self.deletions.append(old)
            else:
                surging += 1
        self.missing += at_once + candidates[: max(0, self.surge - surging)]

    def changes(self) -> list[Change]:
        changes: list[Change] = [*self.events]
        if self.deletions:
            changes.append(Together([self._deletion(pod) for pod in self.deletions[:BURST]]))
        changes += batches([self._pod(node) for node in self.missing[:BURST]], self.daemon_set)
        used = {labels_of(pod).get(HASH, "") for pod in self.pods}
        live = [name_of(r) for r in self.past.revisions if labels_of(r).get(HASH, "") in used]
        changes += self.past.discard(dig(self.daemon_set, "spec", "revisionHistoryLimit", default=10), live)
        return [*changes, *status_changed(DAEMON_SETS, self.daemon_set, self._status())]

    def _deletion(self, pod: Object) -> Delete:
        told = RecordEvent(self.daemon_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), then=lambda answer: (told,))

    def _pod(self, node: Object) -> Object:
        pod = pod_from(dig(self.daemon_set, "spec", "template", default={}), self.daemon_set)
        labels = {**labels_of(pod), HASH: self.hash}
        if generation := annotations_of(self.daemon_set).get(GENERATION):
            labels[GENERATION_LABEL] = generation
        terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name_of(node)]}]}]
        path = ("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
        placed = replaced(replaced(pod, path, terms), ("metadata", "labels"), labels)
        return replaced(placed, ("spec", "tolerations"), daemon_tolerations(pod["spec"]))

    def _status(self) -> Object:
        wanted = [on for on in self.nodes if on.fit.should_run]
        oldest = [on.pods[0] for on in wanted if on.pods]
        ready = [pod for pod in oldest if p.is_ready(pod)]
        available = sum(self.is_available(pod) for pod in ready)
        return {
            "currentNumberScheduled": len(oldest),
            "numberMisscheduled": sum(bool(on.pods) for on in self.nodes if not on.fit.should_run),
            "desiredNumberScheduled": len(wanted),
            "numberReady": len(ready),
            **compact(
                {
                    "observedGeneration": meta(self.daemon_set).get("generation", 0),
                    "updatedNumberScheduled": sum(self.is_new(pod) for pod in oldest),
                    "numberAvailable": available,
                    "numberUnavailable": len(wanted) - available,
                    "collisionCount": self.past.collisions,
                }
            ),
        }

    def again(self) -> timedelta | None:
        soon = p.next_availability(self.pods, self.min_ready, self.now)
        return min([*self.waits, *([soon] if soon else [])], default=None)

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        match change:
            case Create(resource=resource) if resource == PODS:
                return (RecordEvent(self.daemon_set, "Warning", "FailedCreate", f"Error creating: {error.message}"),)
            case Delete(resource=resource) if resource == PODS:
                return (RecordEvent(self.daemon_set, "Warning", "FailedDelete", f"Error deleting: {error.message}"),)
            case _:
                return ()


def controller(config: Config) -> Controller:
    watches = (
        Watch(DAEMON_SETS),
        Watch(PODS, keys=owner_keys(DAEMON_SETS, "DaemonSet", selector), indexes={"orphan": orphan_index}),
        Watch(NODES, keys=all_keys, changed=lambda old, new: placement(old) != placement(new)),
        Watch(CONTROLLER_REVISIONS, keys=no_keys, indexes={"orphan": orphan_index}),
    )
    rules = (
        PolicyRule(("apps",), ("daemonsets",), ("get", "list", "watch")),
        PolicyRule(("apps",), ("daemonsets/status",), ("patch", "update")),
        PolicyRule(("apps",), ("daemonsets/finalizers",), ("update",)),
        PolicyRule(("",), ("nodes",), ("list", "watch")),
        PolicyRule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        PolicyRule(("apps",), ("controllerrevisions",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("daemon-set-controller", watches, reconcile, rules, component="daemonset-controller")
