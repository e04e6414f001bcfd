"""The Node object and its status: pure. What the machine offers is measured by `machine.py`.

Conditions come in the kubelet's order and words; a heartbeat moves only when the status is written, a transition only when the
condition's status changes.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tiffin.kubelet.config import AgentConfig
from tiffin.machinery import quantity
from tiffin.machinery.object import Object, dig
from tiffin.machinery.timestamps import format_time

KUBELET_VERSION = "v1.36.2"
IMAGES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine is and has."""

    cpus: int
    memory: int
    storage: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str


class Pressure(NamedTuple):
    """What runs short."""

    memory: bool = False
    disk: bool = False
    pid: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """What the node knows of itself at a moment. `complaints` keep it from being Ready."""

    pressure: Pressure = field(default_factory=Pressure)
    complaints: tuple[str, ...] = ()
    runtime_name: str = "containerd"
    runtime_version: str = ""
    images: Sequence[tuple[tuple[str, ...], int]] = field(default_factory=tuple)
    """Names and size in bytes of each image."""


def capacity(machine: Machine, config: AgentConfig) -> dict[str, str]:
    """`status.capacity`."""
    found = {
        "cpu": str(machine.cpus), "ephemeral-storage": f"{machine.storage // 1024}Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": f"{machine.memory // 1024}Ki", "pods": str(config.max_pods),
    }
    return found | dict(config.capacity)


def allocatable(machine: Machine, config: AgentConfig) -> dict[str, str]:
    """`status.allocatable`: the capacity less what is reserved and what eviction keeps free."""
    total = capacity(machine, config)
    result = dict(total)
    for name, reserved in config.reserved.items():
        if name in result:
            result[name] = quantity.sub(result[name], reserved)
    threshold = config.eviction_hard.get("memory.available")
    if threshold and not threshold.endswith("%") and "memory" not in config.capacity:
        result["memory"] = quantity.sub(result["memory"], threshold)
    disk = config.eviction_hard.get("nodefs.available", "")
    if disk.endswith("%") and "ephemeral-storage" not in config.capacity:
        result["ephemeral-storage"] = str(machine.storage - int(machine.storage * float(disk[:-1]) / 100))
    return result


def registration(config: AgentConfig, machine: Machine) -> Object:
    """The Node as the agent creates it, status apart."""
    labels = {
        "beta.kubernetes.io/arch": machine.architecture, "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": config.node_name, "kubernetes.io/os": "linux",
    }
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true", **config.annotations}
    node: Object = {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": config.node_name, "labels": labels | dict(config.labels), "annotations": annotations}, "spec": {},
    }
    if config.taints:
        node["spec"]["taints"] = list(config.taints)
    return node


def node_status(config: AgentConfig, machine: Machine, health: Health, old: Object, now: datetime) -> Object:
    """The status of the node."""
    return {
        "addresses": [{"type": "InternalIP", "address": ip} for ip in config.node_ips] + [{"type": "Hostname", "address": config.node_name}],
        "allocatable": allocatable(machine, config),
        "capacity": capacity(machine, config),
        "conditions": conditions(health, old, now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.kubelet_port}},
        "images": [{"names": list(names), "sizeBytes": size} for names, size in sorted(health.images, key=lambda i: (-i[1], i[0]))[:IMAGES_SHOWN]],
        "nodeInfo": {
            "architecture": machine.architecture, "bootID": machine.boot_id, "containerRuntimeVersion": f"{health.runtime_name}://{health.runtime_version}",
            "kernelVersion": machine.kernel, "kubeProxyVersion": "", "kubeletVersion": KUBELET_VERSION, "machineID": machine.machine_id,
            "operatingSystem": "linux", "osImage": machine.os_image, "systemUUID": machine.system_uuid,
        },
    }


def conditions(health: Health, old: Object, now: datetime) -> list[Object]:
    """The four conditions of a node, heartbeats at `now`; those of others are kept before them."""
    known = {c["type"]: c for c in dig(old, "conditions", default=[])}
    own = [
        _pressure("MemoryPressure", health.pressure.memory, "HasInsufficientMemory", "HasSufficientMemory", "has insufficient memory available", "has sufficient memory available"),
        _pressure("DiskPressure", health.pressure.disk, "HasDiskPressure", "HasNoDiskPressure", "has disk pressure", "has no disk pressure"),
        _pressure("PIDPressure", health.pressure.pid, "HasInsufficientPID", "HasSufficientPID", "has insufficient PID available", "has sufficient PID available"),
        _ready(health.complaints),
    ]
    foreign = [c for t, c in known.items() if t not in {c["type"] for c in own}]
    return foreign + [_dated(c, known.get(c["type"]), now) for c in own]


def _pressure(type: str, holds: bool, reason: str, reason_not: str, words: str, words_not: str) -> Object:
    return {
        "type": type, "status": "True" if holds else "False", "reason": f"Kubelet{reason if holds else reason_not}",
        "message": f"kubelet {words if holds else words_not}",
    }


def _ready(complaints: Sequence[str]) -> Object:
    if not complaints:
        return {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    message = complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]"
    return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}


def _dated(condition: Object, old: Object | None, now: datetime) -> Object:
    same = old is not None and old.get("status") == condition["status"]
    transition = (old or {}).get("lastTransitionTime") if same else None
    return {
        "type": condition["type"], "status": condition["status"], "lastHeartbeatTime": format_time(now),
        "lastTransitionTime": transition or format_time(now), "reason": condition["reason"], "message": condition["message"],
    }


def without_heartbeats(status: Object) -> Object:
    """What counts when two statuses are compared."""
    return status | {"conditions": [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or ()]}
