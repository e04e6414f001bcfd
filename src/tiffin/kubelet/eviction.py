"""Whom the node evicts when it runs short: pure. One pod at a time, as pressure is measured again before the next.

Order: pods that use more than they asked for before others, lower priority before higher, then those furthest above their
request. Static pods and those of system-critical priority stay. Source: Kubernetes' node-pressure eviction.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiffin.kubelet.resources import SYSTEM_CRITICAL_PRIORITY, memory, pod_amount
from tiffin.kubelet.state import regular_containers
from tiffin.kubelet.static_pods import SOURCE
from tiffin.kubelet.storage import requested
from tiffin.machinery.object import Object, annotations_of, dig, uid_of

REASON = "Evicted"
RESOURCES = {"memory": "memory", "disk": "ephemeral-storage", "pid": "pids"}
Usage = Mapping[str, Mapping[str, int]]
"""Bytes in use by UID of the pod and name of the container; what belongs to none of them is under ""."""


def victim(pods: Sequence[Object], usage: Usage, kind: str) -> Object | None:
    """The pod to evict for want of memory, disk or pids; None when nobody may be."""
    candidates = [p for p in pods if not is_spared(p)]
    return min(candidates, key=lambda p: _rank(p, usage, kind), default=None)


def is_spared(pod: Object) -> bool:
    """Static pods and critical ones are never evicted."""
    return annotations_of(pod).get(SOURCE, "api") != "api" or dig(pod, "spec", "priority", default=0) >= SYSTEM_CRITICAL_PRIORITY


def _rank(pod: Object, usage: Usage, kind: str) -> tuple[bool, int, int]:
    asked = pod_amount(pod, "requests", "memory") if kind == "memory" else requested(pod) if kind == "disk" else 0
    above = sum(usage.get(uid_of(pod), {}).values()) - asked
    return above <= 0, dig(pod, "spec", "priority", default=0), -above


def message(pod: Object, usage: Usage, kind: str) -> str:
    """The message of an evicted pod's status."""
    text = f"The node was low on resource: {RESOURCES[kind]}. "
    for container in regular_containers(pod):
        used, asked = usage.get(uid_of(pod), {}).get(container["name"], 0), memory(container, "requests") if kind == "memory" else 0
        if used > asked:
            text += f"Container {container['name']} was using {used // 1024}Ki, request is {asked // 1024}Ki, has larger consumption of {RESOURCES[kind]}. "
    return text
