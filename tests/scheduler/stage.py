"""Nodes and pods for tests of the scheduler, as short as they can be said, and a scheduler over the make-believe server."""
from __future__ import annotations

import asyncio
import itertools
from typing import Any

from tiffin.client.cache import Caches
from tiffin.client.memory import MemoryClient
from tiffin.machinery.object import Object, Resource
from tiffin.machinery.selectors import Selector
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.events import EVENTS
from tiffin.runtime.series import SeriesRecorder
from tiffin.scheduler.plan import Placement, explain, place, possible_rows
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.preemption import Preemption, preempt
from tiffin.scheduler.profile import SCHEDULER_NAME, Profile, default_profile
from tiffin.scheduler.run import NODES, Scheduler
from tiffin.scheduler.state import State
from tiffin.scheduler.writes import PODS

_serial = itertools.count(1)


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", labels: dict[str, str] | None = None, taints: Any = (), images: Any = (), **more: Any) -> Object:
    """A node; `more` is added to its spec, but `allocatable` to what it offers."""
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods} | more.pop("allocatable", {})
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name} | (labels or {})},
        "spec": {"taints": list(taints), **more}, "status": {"allocatable": allocatable, "images": list(images)},
    }  # fmt: skip


def container(cpu: str = "", memory: str = "", image: str = "web:1", **more: Any) -> dict[str, Any]:
    requests = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value} | more.pop("requests", {})
    return {"name": "c", "image": image} | ({"resources": {"requests": requests}} if requests else {}) | more


def pod(name: str = "", *, cpu: str = "", on: str = "", labels: dict[str, str] | None = None, namespace: str = "default", **spec: Any) -> Object:
    """A pod of one container, bound to node `on`."""
    serial = next(_serial)
    name = name or f"p{serial}"
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}-{serial}", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container(cpu)]} | ({"nodeName": on} if on else {}) | spec}


def nothing_selects(info: PodInfo) -> Selector | None:
    return None


class Shelf:
    """Claims, volumes and classes as a list."""

    def __init__(self, *objects: Object) -> None:
        self.objects = objects

    def _find(self, kind: str, namespace: str, name: str) -> Object | None:
        return next((o for o in self.objects if o["kind"] == kind and o["metadata"]["name"] == name and o["metadata"].get("namespace", "") == namespace), None)

    def claim(self, namespace: str, name: str) -> Object | None:
        return self._find("PersistentVolumeClaim", namespace, name)

    def volume(self, name: str) -> Object | None:
        return self._find("PersistentVolume", "", name)

    def storage_class(self, name: str) -> Object | None:
        return self._find("StorageClass", "", name)

    def volumes_for(self, claim: Object) -> list[Object]:
        return [o for o in self.objects if o["kind"] == "PersistentVolume"]


class Board:
    """A state and the default profile over it."""

    def __init__(self, *objects: Object, profile: Profile | None = None) -> None:
        self.state = State()
        self.profile = profile or default_profile(nothing_selects, Shelf())
        self.state.namespaces["default"] = {"kubernetes.io/metadata.name": "default"}
        for obj in objects:
            if obj["kind"] == "Node":
                self.state.put_node(obj)
            else:
                self.state.place(PodInfo.of(obj))

    def possible(self, wanted: Object) -> str:
        """Names of the nodes that the pod may go to, in order."""
        rows, _ = possible_rows(PodInfo.of(wanted), self.state, self.profile)
        return " ".join(sorted(name for name, row in self.state.rows.items() if rows[row]))

    def place(self, wanted: Object, turn: int = 0) -> Placement:
        return place(PodInfo.of(wanted), self.state, self.profile, turn)

    def preempt(self, wanted: Object, *budgets: Object) -> Preemption:
        info = PodInfo.of(wanted)
        refusals = place(info, self.state, self.profile, 0).refusals
        assert refusals is not None
        return preempt(info, self.state, self.profile, refusals, budgets)

    def message(self, wanted: Object) -> str:
        """What the pod's condition says when no node will do."""
        info = PodInfo.of(wanted)
        refusals = place(info, self.state, self.profile, 0).refusals
        assert refusals is not None
        return explain(refusals, self.state, preempt(info, self.state, self.profile, refusals, ()).message)

    def scores(self, plugin: str, wanted: Object) -> dict[str, int]:
        """What one plugin gives each possible node; empty where it does not care."""
        info = PodInfo.of(wanted)
        rows, _ = possible_rows(info, self.state, self.profile)
        score = next(s for s, _ in self.profile.scores if s.name == plugin).score(info, self.state, rows)
        return {} if score is None else {name: int(score[row]) for name, row in sorted(self.state.rows.items()) if rows[row]}


class Stage:
    """A running scheduler within `async with`."""

    def __init__(self, *objects: Object) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object, resource: Resource | None = None) -> None:
        self.client.put(resource or {"Node": NODES, "Pod": PODS}[obj["kind"]], obj)

    async def __aenter__(self) -> Stage:
        caches = Caches(self.client, self.clock.now, self.clock.sleep)
        recorder = SeriesRecorder(self.client, self.clock, SCHEDULER_NAME, "here")
        self.scheduler = Scheduler(self.client, self.clock, caches, recorder)
        self._running = [asyncio.create_task(work) for work in (caches.run(), recorder.run(), self.scheduler.run())]
        await self.clock.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        results = await asyncio.gather(*self._running, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def add(self, obj: Object) -> None:
        self.put(obj)
        await self.clock.settle()

    def pod(self, name: str) -> Object:
        return next(p for p in self.client.objects(PODS) if p["metadata"]["name"] == name)

    def where(self, name: str) -> str:
        return self.pod(name)["spec"].get("nodeName", "")

    def events(self, reason: str) -> list[Object]:
        return [e for e in self.client.objects(EVENTS) if e["reason"] == reason]
