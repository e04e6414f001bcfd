"""Nodes that fall silent: their conditions become Unknown, their pods not ready, and taints keep others away or drive pods off.

Rules:
* A node lives while its Lease is renewed or its status changes. Both are timed by when *we* saw them change, so neither clocks that
  differ nor a server that was down let a node look dead.
* Conditions become NoSchedule taints: not-ready, unreachable, memory-pressure, disk-pressure, pid-pressure, network-unavailable,
  unschedulable. Not ready and unreachable are NoExecute taints too, and carry the time.
* A node that comes or goes is told in an event. Keys with a namespace, which holds the node's UID, stand for that.
* Nobody is driven off while every node of the cluster seems silent, or most of a small zone: then it is more likely our own fault.

Source: Kubernetes' node lifecycle controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.podgc import node_index
from tiffin.controllers.resources import EVENTS_RULE, LEASES, NODES, PODS
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, labels_of, meta, name_of, replaced, uid_of
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, PolicyRule, RecordEvent, View, Watch, no_keys

LEASE_NAMESPACE = "kube-node-lease"
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
TAINT_OF_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
OURS = {*TAINT_OF_CONDITION.values(), UNSCHEDULABLE}
WATCHED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
MIRRORED_LABELS = (("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch"))
DISRUPTION_RETRY = timedelta(seconds=10)
"""How often a silent node is looked at while nobody may be driven off it."""
SMALL_ZONE, UNHEALTHY_SHARE = 50, 0.55
NEW = timedelta(minutes=1)


def heartbeat(node: Object) -> object:
    """What changes when the kubelet posts status."""
    return (p.condition(node, "Ready") or {}).get("lastHeartbeatTime")


def renewal(lease: Object) -> object:
    return dig(lease, "spec", "renewTime")


def readiness(node: Object) -> str:
    """Status of the Ready condition: "True", "False", "Unknown", or "" before the first."""
    return (p.condition(node, "Ready") or {}).get("status", "")


def registration_keys(node: Object, view: View) -> Iterable[Key]:
    return (Key(uid_of(node), name_of(node)),)


def _registered(uid: str, name: str, view: View, now: datetime) -> Sequence[RecordEvent]:
    """What is said of a node that came, or went; nothing of one that was there before us."""
    named = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
    node = view.get(NODES, "", name)
    if node is not None and uid_of(node) == uid:
        told = RecordEvent(named, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        return (told,) if now - p.created(node) < NEW else ()
    return (RecordEvent(named, "Normal", "RemovingNode", f"Node {name} event: Removing Node {name} from Controller"),)


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    if key.namespace:
        return Changes(_registered(*key, view, now))
    node = view.get(NODES, *key)
    if node is None or is_deleting(node):
        return Changes()
    silence_ends = _deadline(config, node, view, now)
    judged = node if now < silence_ends else _silenced(node, now)
    changes: list[Change] = list(changed(NODES, node, judged, "status"))
    changes += _not_ready_pods(judged, view, now)
    # A status patch moves the node's version on: taints then follow when the cache shows it.
    if judged is node:
        changes += changed(NODES, node, _labelled(_tainted(node, view, now)))
    if silence_ends > now:
        return Changes(changes, silence_ends - now)
    return Changes(changes, DISRUPTION_RETRY if _is_disrupted(judged, view) else None)


def _deadline(config: Config, node: Object, view: View, now: datetime) -> datetime:
    """When the node counts as silent unless it is heard of before."""
    if not readiness(node):
        return p.created(node) + config.node_startup_grace
    posted = view.observed(NODES, "", name_of(node), "heartbeat") or now
    renewed = view.observed(LEASES, LEASE_NAMESPACE, name_of(node), "renewal") or posted
    return max(posted, renewed) + config.node_monitor_grace


def _silenced(node: Object, now: datetime) -> Object:
    """The node with conditions that nobody vouches for any more."""
    for type in WATCHED_CONDITIONS:
        before = p.condition(node, type)
        if before is None:
            never = {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
            since = {"lastHeartbeatTime": meta(node).get("creationTimestamp"), "lastTransitionTime": format_time(now)}
            node = p.with_condition(node, {"type": type, "status": "Unknown", **since, **never})
        elif before.get("status") != "Unknown":
            stopped = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
            node = p.with_condition(node, before | {"status": "Unknown", "lastTransitionTime": format_time(now), **stopped})
    return node


def _not_ready_pods(node: Object, view: View, now: datetime) -> Sequence[Change]:
    """Pods of a node that is not ready are not ready; one that said so itself since the node went is believed."""
    if readiness(node) in ("True", ""):
        return ()
    went = parse_time((p.condition(node, "Ready") or {}).get("lastTransitionTime") or format_time(now))
    ready = [pod for pod in view.by_index(PODS, "node", name_of(node)) if p.is_ready(pod) and (p.ready_since(pod) or went) <= went]
    changes: list[Change] = []
    if ready:
        changes.append(RecordEvent(_named(node), "Normal", "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady"))
    for pod in ready:
        condition = (p.condition(pod, "Ready") or {}) | {"status": "False", "lastTransitionTime": format_time(now)}
        changes += changed(PODS, pod, p.with_condition(pod, condition), "status")
        changes.append(RecordEvent(pod, "Warning", "NodeNotReady", "Node is not ready"))
    return changes


def _named(node: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name_of(node), "uid": uid_of(node)}}


def _tainted(node: Object, view: View, now: datetime) -> Object:
    """The node with the taints that its conditions ask for, beside those that others set."""
    present = dig(node, "spec", "taints", default=[])
    conditions = {(c.get("type"), c.get("status")) for c in dig(node, "status", "conditions", default=())}
    keep_away = [taint for condition, taint in TAINT_OF_CONDITION.items() if condition in conditions]
    keep_away += [UNSCHEDULABLE] if dig(node, "spec", "unschedulable") else []
    drive_off = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(readiness(node))
    if drive_off and _is_disrupted(node, view):
        drive_off = None
    asked = [(key, "NoSchedule") for key in keep_away] + ([(drive_off, "NoExecute")] if drive_off else [])
    kept = [t for t in present if not _is_ours(t) or (t.get("key"), t.get("effect")) in asked]
    there = {(t.get("key"), t.get("effect")) for t in kept}
    added = [{"key": key, "effect": effect, "timeAdded": format_time(now)} for key, effect in asked if (key, effect) not in there]
    return replaced(node, ("spec", "taints"), kept + added or None) if kept + added != present else node


def _is_ours(taint: Object) -> bool:
    """Whether the taint follows from conditions; only two of them are set as NoExecute."""
    key, effect = taint.get("key"), taint.get("effect")
    return (key in OURS and effect == "NoSchedule") or (key in (NOT_READY, UNREACHABLE) and effect == "NoExecute")


def _is_disrupted(node: Object, view: View) -> bool:
    """So many nodes are silent that driving pods off would do harm."""
    nodes = [node if name_of(other) == name_of(node) else other for other in view.list(NODES)]
    if not any(readiness(other) == "True" for other in nodes):
        return True
    zone = [other for other in nodes if _zone(other) == _zone(node)]
    silent = sum(readiness(other) != "True" for other in zone)
    return len(zone) <= SMALL_ZONE and silent > 2 and silent / len(zone) >= UNHEALTHY_SHARE


def _zone(node: Object) -> tuple[str, str]:
    return labels_of(node).get("topology.kubernetes.io/region", ""), labels_of(node).get("topology.kubernetes.io/zone", "")


def _labelled(node: Object) -> Object:
    """The node with the elder names of its platform labels."""
    labels = labels_of(node)
    missing = {elder: labels[name] for name, elder in MIRRORED_LABELS if name in labels and labels.get(elder) != labels[name]}
    return replaced(node, ("metadata", "labels"), {**labels, **missing}) if missing else node


def pod_keys(pod: Object, view: View) -> Iterable[Key]:
    """The node, when it is not ready but its pod says it is."""
    name = p.node_name(pod)
    node = view.get(NODES, "", name) if name else None
    return (Key("", name),) if node and readiness(node) in ("False", "Unknown") and p.is_ready(pod) else ()


def controller(config: Config) -> Controller:
    watches = (
        Watch(NODES, observes={"heartbeat": heartbeat}),
        Watch(NODES, keys=registration_keys, changed=lambda old, new: uid_of(old) != uid_of(new)),
        Watch(LEASES, keys=no_keys, observes={"renewal": renewal}),
        Watch(PODS, keys=pod_keys, indexes={"node": node_index}),
    )
    rules = (
        PolicyRule(("",), ("nodes",), ("delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("nodes/status", "pods/status"), ("patch", "update")),
        PolicyRule(("",), ("pods",), ("delete", "get", "list", "watch")),
        PolicyRule(("coordination.k8s.io",), ("leases",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("node-controller", watches, lambda key, view, now: reconcile(config, key, view, now), rules)
