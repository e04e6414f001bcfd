"""What the node says of itself and whom it takes: Node, Lease, conditions, admission, static pods, images to remove."""
from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.builders import NOW, container, pod
from tests.kubelet.fakes import ApiServer
from tests.kubelet.scripted_runtime import ScriptedRuntime
from tiffin.kubelet import static_pods
from tiffin.kubelet.admission import admit, tolerates
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.housekeeping import images_to_remove
from tiffin.kubelet.machine import measure, pressure
from tiffin.kubelet.node_status import Health, Machine, Pressure, allocatable, conditions, node_status, registration
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.registrar import LEASES, NODES, Registrar
from tiffin.kubelet.runtime import RuntimeFault, RuntimeInfo
from tiffin.runtime.clock import FakeClock

MACHINE = Machine(4, 16 * 2**30, 100 * 2**30, "amd64", "6.1", "Debian", "m", "s", "b")


def config(root: Path = Path("/nowhere"), **more: Any) -> AgentConfig:
    return AgentConfig("n1", ("192.0.2.1",), "", root, root, **more)


def test_registration() -> None:
    found = registration(config(labels={"disk": "ssd"}, taints=({"key": "k", "effect": "NoSchedule"},)), MACHINE)
    assert found["metadata"]["labels"] == {
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "disk": "ssd",
    }
    assert found["spec"]["taints"] == [{"key": "k", "effect": "NoSchedule"}]


def test_capacity_and_what_is_left_of_it() -> None:
    status = node_status(config(reserved={"cpu": "500m"}), MACHINE, Health(), {}, NOW)
    assert status["capacity"]["cpu"] == "4" and status["capacity"]["memory"] == "16777216Ki" and status["capacity"]["pods"] == "110"
    assert status["allocatable"]["cpu"] == "3500m" and status["allocatable"]["memory"] == "16284Mi"
    assert status["allocatable"]["ephemeral-storage"] == str(int(100 * 2**30 * 0.9))
    assert allocatable(MACHINE, config(capacity={"cpu": "2", "memory": "1Gi"}))["memory"] == "1Gi"


def test_conditions_in_order_and_words() -> None:
    found = conditions(Health(Pressure(disk=True), ("container runtime is down",)), {}, NOW)
    assert [(c["type"], c["status"], c["reason"], c["message"]) for c in found] == [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "False", "KubeletNotReady", "container runtime is down"),
    ]
    later = conditions(Health(), {"conditions": [{"type": "NetworkUnavailable", "status": "False"}, *found]}, NOW + timedelta(seconds=60))
    assert later[0]["type"] == "NetworkUnavailable"
    by_type = {c["type"]: c for c in later}
    assert by_type["Ready"]["lastTransitionTime"] == "2026-01-01T12:01:00Z" and by_type["Ready"]["message"] == "kubelet is posting ready status"
    assert by_type["PIDPressure"]["lastTransitionTime"] == "2026-01-01T12:00:00Z" and by_type["PIDPressure"]["lastHeartbeatTime"] == "2026-01-01T12:01:00Z"


def test_measuring_this_machine(tmp_path: Path) -> None:
    found = measure(tmp_path)
    assert found.cpus > 0 and found.memory > 2**20 and found.storage > 0 and found.kernel
    assert pressure(tmp_path, {"memory.available": "1", "nodefs.available": "0%"}) == Pressure()
    assert pressure(tmp_path, {"memory.available": "100%", "nodefs.available": "100%"}).memory


class Sick(ScriptedRuntime):
    """A runtime whose network comes and goes."""

    network = False

    async def info(self) -> RuntimeInfo:
        if error := self.fault("info"):
            raise error
        return RuntimeInfo("containerd", "1.6.20", {"RuntimeReady": (True, "", ""), "NetworkReady": (self.network, "NetworkPluginNotReady", "cni plugin not initialized")})


async def test_the_node_becomes_ready_with_its_network(tmp_path: Path) -> None:
    import asyncio

    clock, runtime = FakeClock(NOW), Sick()
    client = ApiServer(clock.now)
    registrar = Registrar(config(tmp_path, eviction_hard={}), client, clock, runtime, MACHINE)
    await registrar.register()
    tasks = [asyncio.create_task(registrar.keep_status()), asyncio.create_task(registrar.keep_lease())]
    await clock.settle()

    def ready() -> Any:
        return next(c for c in client.objects(NODES)[0]["status"]["conditions"] if c["type"] == "Ready")

    assert ready()["message"] == "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not initialized"
    registrar.node_changed(client.objects(NODES)[0] | {"spec": {"podCIDR": "10.244.0.0/24"}})
    await clock.settle()
    assert runtime.calls == ["cidr 10.244.0.0/24"]
    runtime.network = True
    await clock.advance(0.1)
    assert ready()["status"] == "True"
    writes = len(client.requests)
    await clock.advance(299)
    assert {r[1] for r in client.requests[writes:]} == {LEASES}
    await clock.advance(10)
    assert any(r[1] == NODES for r in client.requests[writes:])
    runtime.fault = lambda call: RuntimeFault("UNAVAILABLE", "no socket")
    await clock.advance(11)
    assert ready()["message"] == "container runtime is down"
    lease = client.objects(LEASES)[0]
    assert lease["spec"]["leaseDurationSeconds"] == 40 and lease["metadata"]["ownerReferences"][0]["name"] == "n1"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_node_that_is_there_is_taken_up(tmp_path: Path) -> None:
    client = ApiServer()
    client.put(NODES, {"metadata": {"name": "n1", "labels": {"mine": "x"}}, "spec": {"podCIDR": "10.244.7.0/24"}, "status": {}})
    registrar = Registrar(config(tmp_path), client, FakeClock(NOW), ScriptedRuntime(), MACHINE)
    await registrar.register()
    assert registrar.node["spec"]["podCIDR"] == "10.244.7.0/24"
    assert registrar.node["metadata"]["labels"] | {"mine": "x", "kubernetes.io/os": "linux"} == registrar.node["metadata"]["labels"]


async def test_a_deleted_node_is_registered_anew_with_the_range_of_its_pods(tmp_path: Path) -> None:
    import asyncio

    clock, runtime = FakeClock(NOW), Sick()
    client = ApiServer(clock.now)
    registrar = Registrar(config(tmp_path, eviction_hard={}), client, clock, runtime, MACHINE)
    await registrar.register()
    task = asyncio.create_task(registrar.keep_status())
    registrar.node_changed(client.objects(NODES)[0] | {"spec": {"podCIDR": "10.244.3.0/24"}})
    await clock.advance(1)
    await client.delete(NODES, "", "n1")
    registrar.node_changed(None)
    await clock.settle()
    (again,) = client.objects(NODES)
    assert again["spec"]["podCIDRs"] == ["10.244.3.0/24"] and again["status"]["conditions"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ---- admission

NODE = {"metadata": {"name": "n1", "labels": {"disk": "ssd", "size": "7"}}, "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]}}
OFFERED = {"cpu": "2", "memory": "1Gi", "pods": "2"}
TOLERANT = {"tolerations": [{"operator": "Exists"}]}


def affine(*expressions: Any, fields: Any = ()) -> Any:
    term = {"matchExpressions": list(expressions)} | ({"matchFields": fields} if fields else {})
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}


@pytest.mark.parametrize(("spec", "others", "reason"), [
    (TOLERANT, 0, None),
    (TOLERANT, 2, "OutOfpods"),
    (TOLERANT | {"containers": [container(resources={"requests": {"memory": "2Gi"}})]}, 0, "OutOfmemory"),
    (TOLERANT | {"containers": [container(resources={"requests": {"cpu": "1500m"}})]}, 1, "OutOfcpu"),
    (TOLERANT | {"nodeSelector": {"disk": "hdd"}}, 0, "NodeAffinity"),
    (TOLERANT | {"nodeSelector": {"disk": "ssd"}}, 0, None),
    (TOLERANT | affine({"key": "size", "operator": "Gt", "values": ["5"]}), 0, None),
    (TOLERANT | affine({"key": "size", "operator": "Lt", "values": ["5"]}), 0, "NodeAffinity"),
    (TOLERANT | affine({"key": "disk", "operator": "NotIn", "values": ["ssd"]}), 0, "NodeAffinity"),
    (TOLERANT | affine({"key": "other", "operator": "DoesNotExist"}, fields=[{"key": "metadata.name", "operator": "In", "values": ["n1"]}]), 0, None),
    (TOLERANT | affine(), 0, "NodeAffinity"),
    ({}, 0, "TaintToleration"),
    ({"tolerations": [{"key": "gone", "operator": "Exists", "effect": "NoExecute"}]}, 0, None),
    (TOLERANT | {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, 0, "SysctlForbidden"),
])
def test_admission(spec: Any, others: int, reason: str | None) -> None:
    containers = spec.pop("containers", [container()]) if "containers" in spec else [container()]
    heavy = pod(container(resources={"requests": {"cpu": "1"}}))
    found = admit(pod(*containers, **spec), [heavy] * others, NODE, OFFERED)
    assert (found and found.reason) == reason


def test_tolerations() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    assert tolerates([{"key": "k", "value": "v"}], taint) and tolerates([{"operator": "Exists"}], taint)
    assert not tolerates([{"key": "k", "value": "w"}], taint) and not tolerates([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], taint)


# ---- static pods and images


def test_static_pods(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text("kind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: x}]}\n")
    (tmp_path / "bad.yaml").write_text("kind: Pod\nspec: [")
    (tmp_path / "odd.json").write_text('{"kind": "Service"}')
    (tmp_path / ".hidden.yaml").write_text("kind: Pod")
    [found] = static_pods.read_directory(tmp_path, "n1", NOW).values()
    assert found["metadata"]["name"] == "web-n1" and found["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert found["metadata"]["uid"] == next(iter(static_pods.read_directory(tmp_path, "n1", NOW + timedelta(days=1))))
    shown = static_pods.mirror(found, {"metadata": {"name": "n1", "uid": "nu"}})
    assert static_pods.is_mirror(shown) and static_pods.mirror_of(shown) == found["metadata"]["uid"]
    assert shown["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "nu", "controller": True}]
    assert "uid" not in shown["metadata"]
    assert static_pods.read_directory(tmp_path / "none", "n1", NOW) == {}


def test_the_longest_unused_images_go_first() -> None:
    images = [cri.Image(id=name, repo_tags=[f"{name}:1"], size=10) for name in "abcde"] + [cri.Image(id="pinned", pinned=True, size=10)]
    seen = {name: NOW - timedelta(minutes=age) for name, age in zip("abcde", (10, 30, 1, 20, 40))}
    assert [i.id for i in images_to_remove(images, {"e:1"}, seen, 15, NOW)] == ["b", "d"]
    assert [i.id for i in images_to_remove(images, set(), seen, 10**6, NOW)] == ["e", "b", "d", "a"]
