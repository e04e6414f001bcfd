"""Resources of containers and pods in the kernel's units: shares, quotas, bytes, oom scores, QoS classes, cgroup names.

Source: the kubelet's conversions; KEP-2837 for resources of whole pods.
"""
from __future__ import annotations

from collections.abc import Sequence

from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.state import init_containers, is_sidecar, regular_containers, sidecars
from tiffin.machinery import quantity
from tiffin.machinery.object import Object, dig, uid_of

PERIOD = 100_000
"""Microseconds of a CFS period."""
MIN_SHARES, MAX_SHARES, MIN_QUOTA = 2, 262_144, 1000
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


def milli_cpu(container: Object, kind: str) -> int:
    """Thousandths of a CPU, 0 when unset; a request defaults to the limit."""
    value = dig(container, "resources", kind, "cpu")
    if value is None and kind == "requests":
        value = dig(container, "resources", "limits", "cpu")
    return quantity.to_milli(value) if value is not None else 0


def memory(container: Object, kind: str) -> int:
    """Bytes, 0 when unset; a request defaults to the limit."""
    value = dig(container, "resources", kind, "memory")
    if value is None and kind == "requests":
        value = dig(container, "resources", "limits", "memory")
    return quantity.to_int(value) if value is not None else 0


def shares(milli: int) -> int:
    return min(max(milli * 1024 // 1000, MIN_SHARES), MAX_SHARES)


def quota(milli: int) -> int:
    """Microseconds of each period; 0 means without limit."""
    return max(milli * PERIOD // 1000, MIN_QUOTA) if milli else 0


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    known = dig(pod, "status", "qosClass")
    return known or _qos_class([*init_containers(pod), *regular_containers(pod)])


def _qos_class(containers: Sequence[Object]) -> str:
    named = ("cpu", "memory")
    amounts = [{(k, r): dig(c, "resources", k, r) for k in ("requests", "limits") for r in named} for c in containers]
    if not any(value is not None and quantity.sign(value) for a in amounts for value in a.values()):
        return "BestEffort"
    for a in amounts:
        for resource in named:
            limit, request = a["limits", resource], a["requests", resource]
            if limit is None or (request is not None and quantity.compare(limit, request)):
                return "Burstable"
    return "Guaranteed"


def oom_score(pod: Object, container: Object, memory_capacity: int) -> int:
    """`oom_score_adj`: the larger, the sooner killed. A sidecar is never killed before the containers it serves."""
    own = _oom_score(pod, container, memory_capacity)
    if is_sidecar(container):
        return min([own, *(_oom_score(pod, c, memory_capacity) for c in regular_containers(pod))])
    return own


def _oom_score(pod: Object, container: Object, memory_capacity: int) -> int:
    if dig(pod, "spec", "priority", default=0) >= SYSTEM_CRITICAL_PRIORITY:
        return GUARANTEED_SCORE
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_SCORE
        case "BestEffort":
            return BEST_EFFORT_SCORE
    score = 1000 - 1000 * memory(container, "requests") // max(memory_capacity, 1)
    return min(max(score, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def linux_resources(pod: Object, container: Object, memory_capacity: int, unified: bool) -> cri.LinuxContainerResources:
    """A container's cgroup settings; `unified` on cgroup v2, where all of a container dies of want of memory together."""
    resources = cri.LinuxContainerResources(
        cpu_shares=shares(milli_cpu(container, "requests")), cpu_quota=quota(milli_cpu(container, "limits")), cpu_period=PERIOD,
        memory_limit_in_bytes=memory(container, "limits"), oom_score_adj=oom_score(pod, container, memory_capacity),
    )
    if unified:
        resources.unified["memory.oom.group"] = "1"
    return resources


def pod_amount(pod: Object, kind: str, resource: str) -> int:
    """What the pod as a whole asks for or may use (milli-CPUs or bytes); as a limit 0 unless every container has one."""
    of = milli_cpu if resource == "cpu" else memory
    own = dig(pod, "spec", "resources", kind, resource)
    if own is not None:
        return quantity.to_milli(own) if resource == "cpu" else quantity.to_int(own)
    together = [of(c, kind) for c in [*regular_containers(pod), *sidecars(pod)]]
    if kind == "limits" and not all(together):
        return 0
    alone = [of(c, kind) for c in init_containers(pod) if not is_sidecar(c)]
    return max([sum(together), *alone])


def cgroup_parent(root: str, pod: Object) -> str:
    """The pod's cgroup: `root/pod<uid>`, or beneath `burstable` and `besteffort`."""
    middle = {"Burstable": "/burstable", "BestEffort": "/besteffort"}.get(qos_class(pod), "")
    return f"{root.rstrip('/')}{middle}/pod{uid_of(pod)}"
