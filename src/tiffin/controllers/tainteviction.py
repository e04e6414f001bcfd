"""Pods on nodes with NoExecute taints: deleted at once, or when their toleration has run out.

An eviction that was to come and comes no more, because the taint or the pod went, is told: a key that begins with "spared/" stands for that.
A taint counts from its `timeAdded`, or from when we first saw it; for a pod that came later, from its creation.

Source: Kubernetes' taint eviction controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.podgc import node_index
from tiffin.controllers.resources import EVENTS_RULE, NODES, PODS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, key_of, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.controller import Change, Changes, Controller, Delete, PolicyRule, RecordEvent, View, Watch

NEVER = timedelta.max
SPARED = "spared/"
REASON = "DeletionByTaintManager"


def evicting(node: Object | None) -> list[Object]:
    """The node's NoExecute taints."""
    return [taint for taint in dig(node, "spec", "taints", default=()) if taint.get("effect") == "NoExecute"]


def pod_keys(pod: Object, view: View) -> Iterable[Key]:
    node = p.node_name(pod)
    taints = evicting(view.get(NODES, "", node)) if node else []
    if not taints:
        return ()
    if view.get(PODS, *key_of(pod)) is None and is_awaited(pod, taints) and not _is_evicted(pod):
        return (spared_key(pod),)
    return (key_of(pod),)


def node_keys(node: Object, view: View) -> Iterable[Key]:
    """The node's pods; those that only waited for their time, where all taints are gone."""
    current = view.get(NODES, "", name_of(node))
    pods = view.by_index(PODS, "node", name_of(node))
    if current is not None and not evicting(current):
        return [spared_key(pod) for pod in pods if is_awaited(pod, evicting(node)) and not is_deleting(pod)]
    return [key_of(pod) for pod in pods]


def spared_key(pod: Object) -> Key:
    return Key(namespace_of(pod), SPARED + name_of(pod))


def is_awaited(pod: Object, taints: Sequence[Object]) -> bool:
    """Whether the pod bears all these taints, but one of them only for a while."""
    times = [tolerated_for(pod, taint) for taint in taints]
    return None not in times and any(time != NEVER for time in times)


def _is_evicted(pod: Object) -> bool:
    return (p.condition(pod, "DisruptionTarget") or {}).get("reason") == REASON


def tolerates(toleration: Object, taint: Object) -> bool:
    """Source: core/v1 Toleration.ToleratesTaint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def tolerated_for(pod: Object, taint: Object) -> timedelta | None:
    """How long the pod bears the taint, NEVER ending if it does for good; None if not at all."""
    matching = [t for t in dig(pod, "spec", "tolerations", default=()) if tolerates(t, taint)]
    if not matching:
        return None
    return min(NEVER if t.get("tolerationSeconds") is None else timedelta(seconds=max(0, t["tolerationSeconds"])) for t in matching)


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    if key.name.startswith(SPARED):
        return Changes((_told(key.namespace, key.name.removeprefix(SPARED), "Cancelling deletion of Pod"),))
    pod = view.get(PODS, *key)
    if pod is None or is_deleting(pod) or not p.node_name(pod):
        return Changes()
    node = view.get(NODES, "", p.node_name(pod))
    moments = [_moment(pod, taint, view, now) for taint in evicting(node)]
    bounded = [moment for moment in moments if moment is not None]
    if not bounded:
        return Changes()
    if min(bounded) > now:
        return Changes(requeue_after=min(bounded) - now)
    return Changes(_eviction(pod, now))


def _moment(pod: Object, taint: Object, view: View, now: datetime) -> datetime | None:
    """When this taint drives the pod away, None for never."""
    tolerated = tolerated_for(pod, taint)
    if tolerated is None:
        return now
    if tolerated == NEVER:
        return None
    seen = view.observed(NODES, "", p.node_name(pod), "noexecute") or now
    return max(parse_time(taint["timeAdded"]) if taint.get("timeAdded") else seen, p.created(pod)) + tolerated


def _eviction(pod: Object, now: datetime) -> Sequence[Change]:
    told = _told(namespace_of(pod), name_of(pod), "Marking for deletion Pod")
    disrupted = p.disruption(pod, REASON, "Taint manager: deleting due to NoExecute taint", now)
    patches = changed(PODS, pod, disrupted, "status", guarded=False)
    return (told, *patches, Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod)))


def _told(namespace: str, name: str, what: str) -> RecordEvent:
    named = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}}
    return RecordEvent(named, "Normal", "TaintManagerEviction", f"{what} {namespace}/{name}")


def controller(config: Config) -> Controller:
    watches = (
        Watch(PODS, keys=pod_keys, indexes={"node": node_index}),
        Watch(NODES, keys=node_keys, observes={"noexecute": evicting}, changed=lambda old, new: evicting(old) != evicting(new)),
    )
    rules = (
        PolicyRule(("",), ("pods",), ("delete", "get", "list", "watch")),
        PolicyRule(("",), ("pods/status",), ("patch",)),
        PolicyRule(("",), ("nodes",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("taint-eviction-controller", watches, reconcile, rules)
