"""The node agent on a real containerd: what only a kernel, runc and CNI can show. Needs root; see the marker `node`."""
from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.kubelet.containerd_rig import IMAGE, Rig
from tests.kubelet.fakes import ApiServer
from tiffin.client.cache import Caches
from tiffin.kubelet import syscalls
from tiffin.kubelet.agent import Agent
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.cri import CriRuntime
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.references import CONFIG_MAPS, SECRETS
from tiffin.kubelet.registrar import NODES
from tiffin.machinery.object import Object, Resource, dig, name_of
from tiffin.runtime.clock import SystemClock

pytestmark = [
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("containerd") or not Path("/usr/bin/busybox").exists(), reason="needs root, containerd and busybox-static"),
]
SERVICES = Resource("", "v1", "services")
EVENTS = Resource("", "v1", "events")
SLEEP = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


class Cluster:
    """One node over a make-believe API server."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = ApiServer(lambda: datetime.now(UTC))
        self.tasks: list[asyncio.Task[None]] = []
        self.agent: Agent

    async def start_agent(self) -> None:
        root = self.rig.root
        config = AgentConfig(
            "n1", ("127.0.0.1",), str(self.rig.socket), root / "kubelet", root / "logs", static_pod_dir=root / "manifests", cgroup_root=f"/{self.rig.cgroup}",
        )
        self.runtime = CriRuntime(config.runtime_socket)
        clock = SystemClock()
        shared = Caches(self.client, clock.now, clock.sleep)
        self.agent = Agent(config, self.client, clock, self.runtime, shared.add(SERVICES), ())
        self.tasks = [asyncio.create_task(shared.run()), asyncio.create_task(self.agent.run())]

    async def stop_agent(self) -> None:
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        await self.runtime.close()

    async def until(self, holds: Callable[[], Any], seconds: float = 30) -> Any:
        async with asyncio.timeout(seconds):
            while not (found := holds()):
                await asyncio.sleep(0.01)
        return found

    def pod(self, name: str) -> Object | None:
        return next((p for p in self.client.objects(PODS) if name_of(p) == name), None)

    async def until_pod(self, name: str, holds: Callable[[Object], Any], seconds: float = 30) -> Object:
        try:
            await self.until(lambda: (pod := self.pod(name)) and holds(pod), seconds)
        except TimeoutError:
            pytest.fail(f"pod {name} did not get there: {(self.pod(name) or {}).get('status')}; events: {self.events(name)}")
        pod = self.pod(name)
        assert pod is not None
        return pod

    async def run(self, name: str, holds: Callable[[Object], Any] | None = None, *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> Object:
        """Create a pod and wait until it is ready, or until `holds`."""
        self.client.put(PODS, make_pod(name, labels or {}, annotations or {}, **spec))
        return await self.until_pod(name, holds or is_ready)

    def events(self, name: str) -> list[tuple[str, str]]:
        return [(e["reason"], e["message"]) for e in self.client.objects(EVENTS) if e["involvedObject"]["name"] == name]

    async def exec(self, name: str, *command: str, container: str = "main") -> str:
        run = self.agent.kubelet.find_container("default", name, container)
        code, out, err = await self.runtime.exec_sync(run.id, command, 10)
        assert code == 0, err
        return out.decode()

    async def delete(self, name: str, grace: int = 1) -> None:
        await self.client.delete(PODS, "default", name, grace_period=grace)
        await self.until(lambda: self.pod(name) is None)


def make_pod(name: str, labels: dict[str, str], annotations: dict[str, str], **spec: Any) -> Object:
    base = {"nodeName": "n1", "restartPolicy": "Always", "terminationGracePeriodSeconds": 2, "containers": [container()]}
    metadata = {"name": name, "namespace": "default", "labels": labels, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": base | spec, "status": {"phase": "Pending"}}


def container(name: str = "main", script: str = SLEEP, **more: Any) -> Object:
    return {"name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]} | more


def is_ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in dig(pod, "status", "conditions", default=[]))


def phase(wanted: str) -> Callable[[Object], bool]:
    return lambda pod: bool(pod["status"]["phase"] == wanted)


def status_of(pod: Object, name: str = "main", field: str = "containerStatuses") -> Object:
    return next(s for s in pod["status"].get(field, [{"name": name, "state": {}, "lastState": {}, "restartCount": 0}]) if s["name"] == name)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    rig = Rig(tmp_path_factory.mktemp("rig"))
    rig.start()
    await rig.ready()
    cluster = Cluster(rig)
    await cluster.start_agent()
    try:
        node = (await cluster.until(lambda: cluster.client.objects(NODES)))[0]
        cluster.client.put(NODES, node | {"spec": {"podCIDR": rig.pod_cidr}})
        await cluster.until(lambda: is_ready(cluster.client.objects(NODES)[0]))
        yield cluster
    finally:
        await cluster.stop_agent()
        await rig.stop()


async def test_a_pod_runs_is_written_once_and_leaves_nothing(cluster: Cluster) -> None:
    pod = await cluster.run("plain")
    assert pod["status"]["phase"] == "Running"
    assert [r for r in cluster.client.requests if r[1] == PODS and r[2].name == "plain"] == [("patch", PODS, ("default", "plain"))]
    assert (await cluster.exec("plain", "hostname")).strip() == "plain"
    assert f"{pod['status']['podIP']}\tplain" in await cluster.exec("plain", "cat", "/etc/hosts")
    assert [r for r, _ in cluster.events("plain")] == ["Pulled", "Created", "Started"]
    await cluster.delete("plain")
    uid = pod["metadata"]["uid"]
    await cluster.until(lambda: uid not in [w.uid for w in cluster.agent.kubelet.workers()])
    assert not (cluster.rig.root / "kubelet" / "pods" / uid).exists()
    assert list((cluster.rig.root / "logs").glob(f"*{uid}")) == []
    assert [s.id for s in await cluster.runtime.sandboxes() if s.labels.get("io.kubernetes.pod.uid") == uid] == []
    assert list(Path("/sys/fs/cgroup").glob(f"*/{cluster.rig.cgroup}/*/pod{uid}")) == []


async def test_volumes_and_environment(cluster: Cluster, tmp_path: Path) -> None:
    client = cluster.client
    client.put(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}, "data": {"colour": "red", "shape.txt": "round"}})
    client.put(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden", "namespace": "default"}, "data": {"password": "c2VjcmV0"}})
    (tmp_path / "shared").mkdir()
    main = container(
        env=[
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "BOTH", "value": "$(COLOUR)-$(MISSING)-$$(COLOUR)"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "password"}}},
        ],
        volumeMounts=[
            {"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"}, {"name": "settings", "mountPath": "/settings"},
            {"name": "hidden", "mountPath": "/hidden"}, {"name": "host", "mountPath": "/host"}, {"name": "all", "mountPath": "/all"},
            {"name": "settings", "mountPath": "/etc/one.txt", "subPath": "shape.txt"}, {"name": "scratch", "mountPath": "/part", "subPathExpr": "deep/$(COLOUR)"},
        ],
        resources={"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "50m"}},
    )
    volumes = [
        {"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}}, {"name": "host", "hostPath": {"path": str(tmp_path / "shared"), "type": "Directory"}},
        {"name": "all", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}, {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"configMap": {"name": "absent", "optional": True}},
        ]}},
    ]
    pod = await cluster.run("loaded", labels={"app": "x"}, containers=[main], volumes=volumes, securityContext={"fsGroup": 1234})
    variables = dict(line.split("=", 1) for line in (await cluster.exec("loaded", "env")).splitlines())
    assert variables["COLOUR"] == "red" and variables["BOTH"] == "red-$(MISSING)-$(COLOUR)" and variables["PASSWORD"] == "secret"
    assert variables["IP"] == pod["status"]["podIP"]
    read = lambda *paths: cluster.exec("loaded", "cat", *paths)  # noqa: E731
    assert await read("/settings/colour", "/hidden/password", "/etc/one.txt") == "redsecretround"
    assert (await read("/all/token")).startswith("token-")
    assert await read("/all/labels") == 'app="x"'
    assert "1234" in await cluster.exec("loaded", "stat", "-c", "%g", "/scratch")
    assert "tmpfs" in await cluster.exec("loaded", "sh", "-c", "grep ' /memory ' /proc/mounts; grep ' /hidden ' /proc/mounts")
    await cluster.exec("loaded", "sh", "-c", "echo hi > /host/file; echo deep > /part/file")
    assert (tmp_path / "shared" / "file").read_text() == "hi\n"
    assert await read("/scratch/deep/red/file") == "deep\n"
    assert (await cluster.exec("loaded", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max")).strip() == str(64 * 2**20)
    # What changes in the API changes in the volume, all at once, but not behind a subPath.
    client.put(CONFIG_MAPS, dict(client.objects(CONFIG_MAPS)[0], data={"colour": "blue", "shape.txt": "square"}))
    async with asyncio.timeout(5):
        while await read("/settings/colour", "/settings/shape.txt") != "bluesquare":
            await asyncio.sleep(0.02)
    assert await read("/etc/one.txt") == "round"
    await cluster.delete("loaded")
    uid = pod["metadata"]["uid"]
    await cluster.until(lambda: not (cluster.rig.root / "kubelet" / "pods" / uid).exists())
    assert syscalls.mounts_beneath(str(cluster.rig.root / "kubelet")) == []
    assert (tmp_path / "shared" / "file").exists()


async def test_init_containers_sidecars_and_order_of_the_end(cluster: Cluster) -> None:
    say = "echo {0} >> /order/log; "
    stay = "trap '" + say + "exit 0' TERM; while true; do sleep 0.05; done"
    volumes = [{"name": "order", "emptyDir": {}}]
    mounts = [{"name": "order", "mountPath": "/order"}]
    side = container("side", say.format("side") + stay.format("side-ends"), restartPolicy="Always", volumeMounts=mounts)
    main = container("main", say.format("main") + stay.format("main-ends"), volumeMounts=mounts)
    init = container("first", say.format("first"), volumeMounts=mounts)
    pod = await cluster.run("ordered", initContainers=[init, side], containers=[main], volumes=volumes)
    first = status_of(pod, "first", "initContainerStatuses")
    assert first["state"]["terminated"]["reason"] == "Completed" and first["ready"] is True
    assert status_of(pod, "side", "initContainerStatuses")["started"] is True
    log = cluster.rig.root / "kubelet" / "pods" / pod["metadata"]["uid"] / "volumes" / "kubernetes.io~empty-dir" / "order" / "log"
    await cluster.until(lambda: len(log.read_text().split()) == 3)
    with open(log) as kept:
        await cluster.delete("ordered", 5)
        assert kept.read().split() == ["first", "side", "main", "main-ends", "side-ends"]


async def test_a_crashing_container_is_restarted_with_back_off(cluster: Cluster) -> None:
    pod = await cluster.run(
        "crash", lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff",
        containers=[container(script="echo dying; echo last words > /dev/termination-log; exit 3")],
    )
    status = status_of(pod)
    assert status["restartCount"] == 1
    assert status["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=main pod=crash_default({pod['metadata']['uid']})"
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert status["lastState"]["terminated"]["message"] == "last words\n"
    assert ("BackOff", f"Back-off restarting failed container main in pod crash_default({pod['metadata']['uid']})") in cluster.events("crash")
    await cluster.delete("crash")


async def test_a_pod_that_ends(cluster: Cluster) -> None:
    pod = await cluster.run("once", phase("Succeeded"), restartPolicy="Never", containers=[container(script="exit 0")])
    assert status_of(pod)["state"]["terminated"]["reason"] == "Completed"
    assert next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["reason"] == "PodCompleted"
    pod = await cluster.run("fails", phase("Failed"), restartPolicy="Never", containers=[container(script="echo why >&2; exit 7", terminationMessagePolicy="FallbackToLogsOnError")])
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 7
    assert status_of(pod)["state"]["terminated"]["message"] == "why\n"
    await cluster.delete("once")
    await cluster.delete("fails")


async def test_an_image_that_is_not_there(cluster: Cluster) -> None:
    missing = container() | {"image": "localhost:1/nothing/here:1"}
    pod = await cluster.run("noimage", lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "ErrImagePull", containers=[missing])
    assert "connection refused" in status_of(pod)["state"]["waiting"]["message"]
    pod = await cluster.until_pod("noimage", lambda p: status_of(p)["state"]["waiting"]["reason"] == "ImagePullBackOff")
    assert status_of(pod)["state"]["waiting"]["message"].startswith('Back-off pulling image "localhost:1/nothing/here:1": ErrImagePull: ')
    assert pod["status"]["phase"] == "Pending"
    await cluster.delete("noimage")
    never = container() | {"image": "localhost:1/nothing/here:1", "imagePullPolicy": "Never"}
    pod = await cluster.run("never", lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "ErrImageNeverPull", containers=[never])
    await cluster.delete("never")
    # An image that was brought by hand needs no registry, whatever the policy says.
    await cluster.run("always", containers=[container() | {"imagePullPolicy": "Always"}])
    await cluster.delete("always")


async def test_probes_and_hooks(cluster: Cluster) -> None:
    main = container(
        script="echo 1 > /tmp/alive; mkdir -p /www; echo ok > /www/index.html; httpd -p 8080 -h /www; " + SLEEP,
        startupProbe={"exec": {"command": ["cat", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 30},
        readinessProbe={"httpGet": {"path": "/index.html", "port": "web"}, "periodSeconds": 1},
        livenessProbe={"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 1},
        ports=[{"name": "web", "containerPort": 8080}],
        lifecycle={"postStart": {"exec": {"command": ["touch", "/tmp/hooked"]}}},
    )
    pod = await cluster.run("probed", containers=[main])
    await cluster.exec("probed", "ls", "/tmp/hooked")
    await cluster.exec("probed", "rm", "/tmp/alive")
    pod = await cluster.until_pod("probed", lambda p: status_of(p)["restartCount"] == 1 and is_ready(p))
    assert ("Killing", "Container main failed liveness probe, will be restarted") in cluster.events("probed")
    assert any(reason == "Unhealthy" and message.startswith("Liveness probe failed: ") for reason, message in cluster.events("probed"))
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] in (0, 137, 143)
    await cluster.delete("probed")
    bad = container(lifecycle={"postStart": {"exec": {"command": ["false"]}}})
    await cluster.run("badhook", lambda p: any(r == "FailedPostStartHook" for r, _ in cluster.events("badhook")), containers=[bad])
    await cluster.delete("badhook")


async def test_security(cluster: Cluster) -> None:
    secured = container(securityContext={"runAsUser": 1000, "runAsGroup": 3000, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}})
    await cluster.run("secured", containers=[secured], securityContext={"supplementalGroups": [4000], "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "20000 30000"}]})
    assert await cluster.exec("secured", "id") == "uid=1000 gid=3000 groups=3000,4000\n"
    lines = dict(line.split(":\t", 1) for line in (await cluster.exec("secured", "cat", "/proc/self/status")).splitlines() if ":\t" in line)
    assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2" and int(lines["CapEff"], 16) == 0
    assert await cluster.exec("secured", "cat", "/proc/sys/net/ipv4/ip_local_port_range") == "20000\t30000\n"
    with pytest.raises(AssertionError):
        await cluster.exec("secured", "touch", "/file")
    await cluster.delete("secured")
    root = container(securityContext={"runAsNonRoot": True})
    pod = await cluster.run("rooted", lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError", containers=[root])
    uid = pod["metadata"]["uid"]
    assert status_of(pod)["state"]["waiting"]["message"] == f'container has runAsNonRoot and image will run as root (pod: "rooted_default({uid})", container: main)'
    await cluster.delete("rooted")


async def test_containers_of_a_pod_share_what_they_should(cluster: Cluster) -> None:
    web = container("web", "mkdir -p /www; echo shared > /www/index.html; exec httpd -f -p 8080 -h /www")
    await cluster.run("pair", containers=[container(), web], shareProcessNamespace=True)
    async with asyncio.timeout(5):
        while "shared" not in await cluster.exec("pair", "sh", "-c", "wget -q -O - http://localhost:8080/ || true"):
            await asyncio.sleep(0.05)
    assert "httpd" in await cluster.exec("pair", "ps")
    await cluster.delete("pair")
    pod = await cluster.run("host", hostNetwork=True, hostPID=True)
    assert pod["status"]["podIP"] == "127.0.0.1"
    assert cluster.rig.bridge in await cluster.exec("host", "cat", "/proc/net/dev")
    await cluster.delete("host")


async def test_a_deadline(cluster: Cluster) -> None:
    pod = await cluster.run("late", phase("Failed"), activeDeadlineSeconds=1)
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"
    await cluster.delete("late")


async def test_what_waits_for_a_config_map_starts_when_it_comes(cluster: Cluster) -> None:
    main = container(envFrom=[{"configMapRef": {"name": "later"}}])
    pod = await cluster.run("waits", lambda p: status_of(p)["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError", containers=[main])
    assert status_of(pod)["state"]["waiting"]["message"] == 'configmap "later" not found'
    cluster.client.put(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later", "namespace": "default"}, "data": {"LATER": "now"}})
    await cluster.until_pod("waits", is_ready, 5)
    assert "LATER=now" in await cluster.exec("waits", "env")
    await cluster.delete("waits")


async def test_a_restarted_agent_adopts_what_runs(cluster: Cluster) -> None:
    pod = await cluster.run("kept", containers=[container(readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1})])
    await cluster.run("orphaned")
    before = status_of(pod)["containerID"]
    await cluster.stop_agent()
    await cluster.client.delete(PODS, "default", "orphaned", grace_period=0)
    writes = len(cluster.client.requests)
    await cluster.start_agent()
    await cluster.until(lambda: any(w.pod["metadata"]["name"] == "kept" for w in cluster.agent.kubelet.workers()))
    assert await cluster.exec("kept", "echo", "still here") == "still here\n"
    uids = {w.uid for w in cluster.agent.kubelet.workers()}

    async def stranger_gone() -> bool:
        return all(s.labels["io.kubernetes.pod.name"] != "orphaned" for s in await cluster.runtime.sandboxes())

    async with asyncio.timeout(20):
        while not await stranger_gone():
            await asyncio.sleep(0.05)
    pod = await cluster.until_pod("kept", is_ready)
    assert status_of(pod)["containerID"] == before and status_of(pod)["restartCount"] == 0
    assert pod["metadata"]["uid"] in uids
    assert [r for r in cluster.client.requests[writes:] if r[1] == PODS and r[2].name == "kept"] == []
    await cluster.delete("kept")


async def test_containerd_dies_and_containers_live(cluster: Cluster) -> None:
    pod = await cluster.run("survivor")
    before = status_of(pod)["containerID"]
    cluster.rig.kill()
    cluster.rig.start()
    await cluster.run("after")
    pod = cluster.pod("survivor") or {}
    assert status_of(pod)["containerID"] == before and status_of(pod)["restartCount"] == 0 and is_ready(pod)
    assert await cluster.exec("survivor", "echo", "alive") == "alive\n"
    await cluster.delete("survivor")
    await cluster.delete("after")


async def test_a_static_pod_is_mirrored(cluster: Cluster) -> None:
    manifests = cluster.rig.root / "manifests"
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: fixed}}\nspec: {{terminationGracePeriodSeconds: 1, containers: [{{name: main, image: '{IMAGE}', command: [sh, -c, \"{SLEEP}\"]}}]}}\n"
    (manifests / "fixed.yaml").write_text(text)
    pod = await cluster.until_pod("fixed-n1", is_ready)
    assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node"
    (manifests / "fixed.yaml").unlink()
    await cluster.until(lambda: cluster.pod("fixed-n1") is None)


async def test_a_sandbox_that_dies_is_replaced(cluster: Cluster) -> None:
    pod = await cluster.run("reborn")
    sandbox = cluster.agent.kubelet.find_sandbox("default", "reborn")
    holder = next(Path("/sys/fs/cgroup").glob(f"**/{cluster.rig.cgroup}/besteffort/*/{sandbox.id}/cgroup.procs"))
    os.kill(int(holder.read_text()), signal.SIGKILL)
    pod = await cluster.until_pod("reborn", lambda p: is_ready(p) and status_of(p)["restartCount"] == 1)
    assert cluster.agent.kubelet.find_sandbox("default", "reborn").id != sandbox.id
    assert pod["status"]["phase"] == "Running"
    await cluster.delete("reborn")
