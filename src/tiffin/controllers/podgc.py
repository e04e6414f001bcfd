"""Pods that nobody else would clear away: finished ones beyond a limit, those of nodes that are gone, and deleted ones without a node.

A pod whose node is not there is looked at 40 seconds later, and the server itself is asked then: a node may be registered anew.
The key without a name stands for the sweep of finished pods.

Source: Kubernetes' pod garbage collector, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.resources import NODES, PODS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, key_of, meta, name_of, namespace_of, uid_of
from tiffin.runtime.controller import Absent, Change, Changes, Controller, Delete, Later, PolicyRule, Together, View, Watch

SWEEP = Key("", "")
SWEEP_DELAY, QUARANTINE = timedelta(seconds=20), timedelta(seconds=40)
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def node_index(pod: Object) -> Iterable[str]:
    """The index "node": the node the pod is bound to."""
    return (node,) if (node := p.node_name(pod)) else ()


def pod_keys(pod: Object, view: View) -> Iterable[Key | Later]:
    node = p.node_name(pod)
    if p.is_finished(pod):
        yield Later(SWEEP, SWEEP_DELAY)
    if node and view.get(NODES, "", node) is None:
        yield Later(key_of(pod), QUARANTINE)
    elif is_deleting(pod) and (not node or _is_out_of_service(view.get(NODES, "", node))):
        yield key_of(pod)


def node_keys(node: Object, view: View) -> Iterable[Key | Later]:
    if view.get(NODES, "", name_of(node)) is None:
        yield from (Later(key_of(pod), QUARANTINE) for pod in view.by_index(PODS, "node", name_of(node)))
    elif _is_out_of_service(node):
        yield from (key_of(pod) for pod in view.by_index(PODS, "node", name_of(node)) if is_deleting(pod))


def _is_out_of_service(node: Object | None) -> bool:
    """A node that is not ready, and an administrator vouches that it is down."""
    tainted = any(taint.get("key") == OUT_OF_SERVICE for taint in dig(node, "spec", "taints", default=()))
    return node is not None and tainted and not p.is_ready(node)


def reconcile(threshold: int, key: Key, view: View, now: datetime) -> Changes:
    if key == SWEEP:
        return _sweep(threshold, view)
    pod = view.get(PODS, *key)
    if pod is None:
        return Changes()
    name = p.node_name(pod)
    node = view.get(NODES, "", name) if name else None
    if name and node is None:
        disrupted = p.disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists", now)
        return Changes((Absent(NODES, "", name), *_remove(pod, disrupted)))
    if is_deleting(pod) and (not name or _is_out_of_service(node)) and not _is_removed(pod):
        return Changes(_remove(pod, pod))
    return Changes()


def _is_removed(pod: Object) -> bool:
    """All we can do was done; a finalizer holds the rest."""
    return p.is_finished(pod) and meta(pod).get("deletionGracePeriodSeconds") == 0


def _remove(pod: Object, told: Object) -> Sequence[Change]:
    """Say that it failed, unless it finished in time, and delete it without grace."""
    failed = told if p.is_finished(pod) else told | {"status": told.get("status", {}) | {"phase": "Failed"}}
    deletion = Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_period=0)
    return (*changed(PODS, pod, failed, "status", guarded=False), deletion)


def _sweep(threshold: int, view: View) -> Changes:
    """Delete the oldest finished pods beyond the threshold."""
    finished = [pod for pod in view.list(PODS) if p.is_finished(pod) and not is_deleting(pod)]
    excess = sorted(finished, key=lambda pod: (p.created(pod), name_of(pod)))[: max(0, len(finished) - threshold)] if threshold > 0 else []
    deletions = [Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_period=0) for pod in excess]
    return Changes((Together(deletions),) if deletions else ())


def controller(config: Config) -> Controller:
    watches = (Watch(PODS, keys=pod_keys, indexes={"node": node_index}), Watch(NODES, keys=node_keys))
    rules = (
        PolicyRule(("",), ("pods",), ("delete", "list", "watch")),
        PolicyRule(("",), ("nodes",), ("get", "list", "watch")),
        PolicyRule(("",), ("pods/status",), ("patch",)),
    )
    return Controller("pod-garbage-collector", watches, lambda key, view, now: reconcile(config.terminated_pod_threshold, key, view, now), rules)
