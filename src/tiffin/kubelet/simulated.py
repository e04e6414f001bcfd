"""Many simulated nodes in one process: their Nodes and Leases, and the pods bound to them, by way of `make_believe.py`.

One watch of all bound pods serves every node. A pod costs a small record and no task; what has to be written waits in one queue
that a few writers empty, and what has to be done later in one heap with one timer. A pod found running is taken as it is.
"""
from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tiffin.client.client import Client
from tiffin.client.watcher import Applied, Delivery, Removed, Replaced, Selection, follow
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.make_believe import MakeBelieve, advance, first_sight
from tiffin.kubelet.node_status import Health, Machine, node_status, registration
from tiffin.kubelet.plan import TERMINAL_PHASES
from tiffin.kubelet.publish import OWNED, PODS
from tiffin.kubelet.state import NodeFacts
from tiffin.kubelet.status import pod_status
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, is_deleting, meta, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import format_micro
from tiffin.runtime.clock import Clock, SystemClock, Timer

log = logging.getLogger(__name__)

NODES = Resource("", "v1", "nodes")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
LEASE_NAMESPACE = "kube-node-lease"
SIMULATED = "tiffin.dev/simulated"
"""Label and annotation of simulated nodes."""

WRITERS = 16
LEASE_SECONDS = 40
STATUS_SECONDS = 300.0
RETRY_SECONDS = 2.0
ADDRESSES = IPv4Network("100.64.0.0/10")
"""Shared address space, from which simulated nodes and pods without a range of their own take addresses."""


@dataclass(frozen=True)
class Size:
    """What each simulated node offers."""

    cpu: str = "32"
    memory: str = "256Gi"
    pods: int = 110


async def run_simulated(client: Client, count: int, name_prefix: str = "simulated", clock: Clock | None = None, size: Size | None = None) -> None:
    """Be the nodes `<prefix>-0` to `<prefix>-<count-1>` until cancelled."""
    await Simulation(client, count, name_prefix, clock or SystemClock(), size or Size()).run()


@dataclass(slots=True)
class _Node:
    config: AgentConfig
    facts: NodeFacts
    pods: int = 0
    """Addresses given out so far."""
    range: IPv4Network | None = None
    obj: Object | None = None


@dataclass(slots=True)
class _Pod:
    """A pod of a simulated node. `obj` is kept only while something is still to be done for it."""

    node: str
    ip: str
    obj: Object | None
    memory: MakeBelieve | None = None
    written: Object | None = None


class Simulation:
    """The simulated nodes of one process."""

    def __init__(self, client: Client, count: int, prefix: str, clock: Clock, size: Size) -> None:
        self._client, self._clock = client, clock
        self._machine = Machine(32, 256 * 2**30, 2**40, "amd64", "simulated", "simulated", "", "", "")
        self._nodes = {name: self._node(name, index, size) for index, name in enumerate(f"{prefix}-{i}" for i in range(count))}
        self._pods: dict[str, _Pod] = {}
        self._work: dict[str, Callable[[], Awaitable[None]]] = {}
        """What is to be written, by key, in order; a key is there once however often it is asked for."""
        self._arrived = asyncio.Semaphore(0)
        self._later: list[tuple[datetime, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._timer: Timer | None = None
        self.lease_interval = min(max(10.0, count / 40), 25.0)
        """Seconds between renewals, so that a thousand nodes do not write a hundred times a second."""

    def _node(self, name: str, index: int, size: Size) -> _Node:
        address = str(ADDRESSES[index + 1])
        config = AgentConfig(
            name, (address,), "", Path("/"), Path("/"), labels={SIMULATED: "true"}, annotations={SIMULATED: "true"}, max_pods=size.pods, kubelet_port=0,
            capacity={"cpu": size.cpu, "memory": size.memory, "pods": str(size.pods)}, eviction_hard={},
        )
        return _Node(config, NodeFacts(name, (address,), "simulated"))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as parts:
            for _ in range(WRITERS):
                parts.create_task(self._write())
            for name in self._nodes:
                self._enqueue(f"node/{name}", lambda name=name: self._register(name))  # type: ignore[misc]
            parts.create_task(follow(self._client, Selection(NODES, labels=f"{SIMULATED}=true"), _Listener(self._node_seen, lambda n: None), self._clock.sleep))
            selection = Selection(PODS, fields="spec.nodeName!=")
            parts.create_task(follow(self._client, selection, _Listener(self._pod_seen, self._pod_gone, self._pods_replaced), self._clock.sleep))

    # ---- queue and heap

    def _enqueue(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        if key not in self._work:
            self._work[key] = work
            self._arrived.release()

    async def _write(self) -> None:
        while True:
            await self._arrived.acquire()
            key = next(iter(self._work))
            work = self._work.pop(key)
            try:
                await work()
            except (ApiError, OSError) as error:
                if isinstance(error, ApiError) and error.code in (404, 409) and key.startswith("pod/"):
                    continue  # gone, or replaced by a namesake; the watch tells
                log.warning("%s: %s", key, error)
                self._after(RETRY_SECONDS, lambda key=key, work=work: self._enqueue(key, work))  # type: ignore[misc]

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._at(self._clock.now() + timedelta(seconds=seconds), call)

    def _at(self, moment: datetime, call: Callable[[], None]) -> None:
        heapq.heappush(self._later, (moment, next(self._serial), call))
        if self._later[0][0] == moment:
            self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._later:
            self._timer = self._clock.call_later((self._later[0][0] - self._clock.now()).total_seconds(), self._due)

    def _due(self) -> None:
        now = self._clock.now()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()
        self._arm()

    # ---- nodes

    async def _register(self, name: str) -> None:
        node = self._nodes[name]
        status = self._status(node, {})
        try:
            node.obj = await self._client.create(NODES, "", registration(node.config, self._machine) | {"status": status})
        except ApiError as error:
            if error.code != 409:
                raise
            node.obj = await self._client.patch(NODES, "", name, {"status": status}, subresource="status")
        await self._renew(name)
        self._after(STATUS_SECONDS * (0.5 + random.random() / 2), lambda: self._report_soon(name))

    def _status(self, node: _Node, old: Object) -> Object:
        health = Health(runtime_name="simulated", runtime_version="1")
        return node_status(node.config, self._machine, health, old, self._clock.now()) | {"images": []}

    def _report_soon(self, name: str) -> None:
        self._enqueue(f"node/{name}", lambda: self._report(name))

    async def _report(self, name: str) -> None:
        node = self._nodes[name]
        conditions = self._status(node, dig(node.obj, "status", default={}))["conditions"]
        await self._client.patch(NODES, "", name, {"status": {"conditions": conditions}}, subresource="status")
        self._after(STATUS_SECONDS, lambda: self._report_soon(name))

    async def _renew(self, name: str) -> None:
        now = format_micro(self._clock.now())
        try:
            await self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": {"renewTime": now}})
        except ApiError as error:
            if error.code != 404:
                raise
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self._nodes[name].obj or {})}
            lease = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
                "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
            }
            await self._client.create(LEASES, LEASE_NAMESPACE, lease)
        self._after(self.lease_interval * (0.8 + random.random() * 0.4), lambda: self._enqueue(f"lease/{name}", lambda: self._renew(name)))

    def _node_seen(self, obj: Object) -> None:
        node = self._nodes.get(name_of(obj))
        if node is None:
            return
        node.obj = {"metadata": {"uid": uid_of(obj)}, "status": {"conditions": dig(obj, "status", "conditions", default=[])}}
        cidr = dig(obj, "spec", "podCIDR")
        if cidr and node.range is None:
            node.range = IPv4Network(cidr)
        if any(c["type"] == "Ready" and c["status"] != "True" for c in node.obj["status"]["conditions"]):
            self._report_soon(name_of(obj))

    def _address(self, node: _Node) -> str:
        """An address for a pod; a small range is used again from its beginning, as make-believe pods do not mind."""
        node.pods += 1
        if node.range is not None:
            return str(node.range[1 + node.pods % max(node.range.num_addresses - 2, 1)])
        return str(IPv4Address(int(ADDRESSES[2**21]) + next(self._serial) % 2**21))

    # ---- pods

    def _pods_replaced(self, pods: list[Object]) -> None:
        remaining = {uid_of(pod) for pod in pods}
        for uid in self._pods.keys() - remaining:
            del self._pods[uid]
        for pod in pods:
            self._pod_seen(pod)

    def _pod_gone(self, obj: Object) -> None:
        self._pods.pop(uid_of(obj), None)

    def _pod_seen(self, obj: Object) -> None:
        name = dig(obj, "spec", "nodeName")
        node = self._nodes.get(name)
        if node is None:
            return
        uid = uid_of(obj)
        pod = self._pods.get(uid)
        if pod is None:
            pod = self._pods[uid] = _Pod(name, dig(obj, "status", "podIP") or self._address(node), obj)
            settled = dig(obj, "status", "phase") in (*TERMINAL_PHASES, "Running")
            if settled and not is_deleting(obj):
                pod.obj = None
                return
        elif pod.obj is None and not is_deleting(obj) and pod.written is None:
            return  # taken over as it was, and nothing is asked of it
        generation = meta(obj).get("generation")
        if pod.memory is not None and not is_deleting(obj) and generation == dig(pod.written, "observedGeneration") and pod.obj is None:
            return  # our own write coming back
        pod.obj = obj
        self._turn_soon(uid)

    def _turn_soon(self, uid: str) -> None:
        self._enqueue(f"pod/{uid}", lambda: self._turn(uid))

    async def _turn(self, uid: str) -> None:
        """Let a pod's time pass and write what came of it."""
        pod = self._pods.get(uid)
        if pod is None or pod.obj is None:
            return
        now, node = self._clock.now(), self._nodes[pod.node]
        memory = pod.memory or first_sight(pod.obj, now)
        shown = pod.obj if pod.written is None else pod.obj | {"status": dig(pod.obj, "status", default={}) | pod.written}
        turn = advance(shown, memory, node.facts, pod.ip, now)
        pod.memory, obj = turn.memory, pod.obj
        status = pod_status(turn.state, now)
        if turn.memory.stopped and is_deleting(obj):
            if meta(obj).get("finalizers"):
                await self._publish(pod, obj, status)
            await self._client.delete(PODS, namespace_of(obj), name_of(obj), uid=uid, grace_period=0)
            return
        await self._publish(pod, obj, status)
        if turn.wake is not None:
            self._at(turn.wake, lambda: self._turn_soon(uid))
        elif pod.obj is obj:
            pod.obj = None

    async def _publish(self, pod: _Pod, obj: Object, status: Object) -> None:
        # A merge patch with all conditions: cheaper for the server than a strategic one, and thousands of pods start at once.
        old = pod.written if pod.written is not None else dig(obj, "status", default={})
        patch = {name: status.get(name) for name in OWNED if status.get(name) != old.get(name)}
        if patch:
            body = {"metadata": {"uid": uid_of(obj)}, "status": patch}
            await self._client.patch(PODS, namespace_of(obj), name_of(obj), body, subresource="status")
            pod.written = status


class _Listener:
    """What a watch delivers, handed on object by object; nothing is kept."""

    def __init__(self, seen: Callable[[Object], None], gone: Callable[[Object], None], replaced: Callable[[list[Object]], None] | None = None) -> None:
        self._seen, self._gone, self._replaced = seen, gone, replaced

    def deliver(self, delivery: Delivery) -> None:
        match delivery:
            case Replaced(objects, _):
                if self._replaced:
                    self._replaced(list(objects))
                else:
                    for obj in objects:
                        self._seen(obj)
            case Applied(obj):
                self._seen(obj)
            case Removed(obj):
                self._gone(obj)
