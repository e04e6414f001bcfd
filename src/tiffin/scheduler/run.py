"""The scheduler at work: watches, the loop that places one pod after the other, and the binds that run beside it.

A placed pod counts on its node at once ("assumed"); the bind that makes it true runs concurrently, and if it fails the pod is
taken off again and queued anew. The cache confirms an assumed pod when it shows the same node.
"""
from __future__ import annotations

import asyncio
import logging

from tiffin.client.cache import Caches
from tiffin.client.client import Client, PatchType
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, is_deleting, key_of, labels_of, meta, name_of, uid_of
from tiffin.machinery.selectors import Selector, from_label_map, from_label_selector
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.clock import Clock
from tiffin.runtime.events import EventRecorder
from tiffin.scheduler.plan import Placement, place
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import SCHEDULER_NAME, default_profile
from tiffin.scheduler.queue import Queue, Waiting
from tiffin.scheduler.state import State

logger = logging.getLogger(__name__)

PODS, NODES, NAMESPACES = Resource("", "v1", "pods"), Resource("", "v1", "nodes"), Resource("", "v1", "namespaces")
SERVICES = Resource("", "v1", "services")
OWNERS = {
    "ReplicaSet": Resource("apps", "v1", "replicasets"), "StatefulSet": Resource("apps", "v1", "statefulsets"),
    "ReplicationController": Resource("", "v1", "replicationcontrollers")}
FINISHED = ("Succeeded", "Failed")
PARALLEL_BINDS = 256
POD_LEFT = frozenset(("NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread"))
POD_CAME = frozenset(("InterPodAffinity", "PodTopologySpread"))


class Scheduler:
    """One scheduler over shared caches."""

    def __init__(self, client: Client, clock: Clock, caches: Caches, recorder: EventRecorder) -> None:
        self.client, self.clock, self.caches, self.recorder = client, clock, caches, recorder
        self.state = State()
        self.queue = Queue(clock)
        self.profile = default_profile(self._default_selector)
        self._assumed: set[str] = set()
        self._binds: set[asyncio.Task[None]] = set()
        self._turn = 0
        for resource in (PODS, NODES, NAMESPACES, SERVICES, *OWNERS.values()):
            caches.add(resource)

    async def run(self) -> None:
        """Schedules until cancelled."""
        await self.caches.synced([PODS, NODES, NAMESPACES, SERVICES, *OWNERS.values()])
        self.caches[NAMESPACES].subscribe(self._namespace_changed)
        self.caches[NODES].subscribe(self._node_changed)
        self.caches[PODS].subscribe(self._pod_changed)
        try:
            while True:
                waiting = await self.queue.take()
                self._schedule(waiting)
                if len(self._binds) >= PARALLEL_BINDS:
                    await asyncio.wait(self._binds, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(0)
        finally:
            for task in self._binds:
                task.cancel()

    # what happens in the cluster

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self.state.namespaces.pop(name_of(old or {}), None)
        else:
            self.state.namespaces[name_of(new)] = labels_of(new)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self.state.remove_node(name_of(old or {}))
        elif old is None or _matters(old, new):
            self.state.put_node(new)
            self.queue.happened(None)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old or {}
        if new is None or (new.get("status") or {}).get("phase") in FINISHED:
            self._forget(pod)
        elif new["spec"].get("nodeName"):
            self._confirm(new)
        elif new["spec"].get("schedulerName", SCHEDULER_NAME) == SCHEDULER_NAME and not is_deleting(new) and not new["spec"].get("schedulingGates"):
            if uid_of(new) not in self._assumed:
                self.queue.put(new)
        else:
            self.queue.remove(key_of(new))

    def _forget(self, pod: Object) -> None:
        self.queue.remove(key_of(pod))
        self._assumed.discard(uid_of(pod))
        if self.state.displace(uid_of(pod)) is not None:
            self.queue.happened(POD_LEFT)

    def _confirm(self, pod: Object) -> None:
        """A pod that is bound: counted anew only where what is counted has changed."""
        self.queue.remove(key_of(pod))
        self._assumed.discard(uid_of(pod))
        known = self.state.pods.get(uid_of(pod))
        if known is not None and known.node == pod["spec"]["nodeName"] and known.labels == labels_of(pod) and _same_weight(known.pod, pod):
            return
        self.state.place(PodInfo.of(pod))
        if known is None:
            self.queue.happened(POD_CAME)

    # placing

    def _schedule(self, waiting: Waiting) -> None:
        info = waiting.info
        self._turn += 1
        placement = place(info, self.state, self.profile, self._turn)
        if placement.node:
            info.node = placement.node
            self.state.place(info)
            self._assumed.add(info.uid)
            work = self._bind(waiting, placement.node)
        else:
            self.queue.failed(waiting, placement.plugins)
            work = self._report(waiting, placement)
        task = asyncio.get_running_loop().create_task(work)
        self._binds.add(task)
        task.add_done_callback(self._binds.discard)

    def _default_selector(self, info: PodInfo) -> Selector | None:
        """What selects the pod: its owner's selector, or that of the services that send to it."""
        owner = info.owner
        if owner is not None and owner["kind"] in OWNERS:
            obj = self.caches.get(OWNERS[owner["kind"]], info.namespace, owner["name"])
            if obj is not None:
                selector = obj["spec"].get("selector")
                return from_label_map(selector) if owner["kind"] == "ReplicationController" else from_label_selector(selector)
        for service in self.caches.list(SERVICES, info.namespace):
            chosen = service["spec"].get("selector")
            if chosen and from_label_map(chosen).matches(info.labels):
                return from_label_map(chosen)
        return None

    # telling the API

    async def _bind(self, waiting: Waiting, node: str) -> None:
        info = waiting.info
        key = info.key
        binding = {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": key.name, "namespace": key.namespace, "uid": info.uid},
            "target": {"kind": "Node", "name": node}}
        try:
            await self.client.create(PODS, key.namespace, binding, name=key.name, subresource="binding")
        except (ApiError, OSError) as error:
            self._bind_failed(waiting, error)
            return
        self.recorder.event(info.pod, "Normal", "Scheduled", f"Successfully assigned {key.namespace}/{key.name} to {node}", "Binding")

    def _bind_failed(self, waiting: Waiting, error: Exception) -> None:
        info = waiting.info
        if info.uid not in self._assumed:
            return  # the cache has meanwhile shown what became of it
        self._assumed.discard(info.uid)
        self.state.displace(info.uid)
        info.node = ""
        if isinstance(error, ApiError) and error.code == 404:
            self.queue.remove(info.key)
            return
        logger.info("binding %s failed: %s", "/".join(info.key), error)
        self.queue.retry(waiting)

    async def _report(self, waiting: Waiting, placement: Placement) -> None:
        """Says in the pod's condition and in an event why it has no node."""
        info = waiting.info
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": placement.message}
        generation = meta(info.pod).get("generation")
        if generation:
            condition["observedGeneration"] = generation
        if not _says(info.pod, condition):
            condition |= {"lastProbeTime": None, "lastTransitionTime": _transition(info.pod, format_time(self.clock.now()))}
            try:
                await self.client.patch(
                    PODS, info.namespace, info.key.name, {"metadata": {"uid": info.uid}, "status": {"conditions": [condition]}},
                    type=PatchType.STRATEGIC, subresource="status")
            except (ApiError, OSError) as error:
                logger.info("the status of %s could not be written: %s", "/".join(info.key), error)
        self.recorder.event(info.pod, "Warning", "FailedScheduling", placement.message, "Scheduling")


def _matters(old: Object, new: Object) -> bool:
    """Whether a node changed in something that the plan looks at; heartbeats do not count."""
    if old["metadata"].get("labels") != new["metadata"].get("labels") or old.get("spec") != new.get("spec"):
        return True
    before, after = old.get("status") or {}, new.get("status") or {}
    return any(before.get(part) != after.get(part) for part in ("allocatable", "capacity", "images"))


def _same_weight(old: Object, new: Object) -> bool:
    return old["spec"].get("containers") == new["spec"].get("containers") and is_deleting(old) == is_deleting(new)


def _scheduled(pod: Object) -> Object:
    return next((c for c in (pod.get("status") or {}).get("conditions") or () if c.get("type") == "PodScheduled"), {})


def _says(pod: Object, condition: Object) -> bool:
    present = _scheduled(pod)
    return all(present.get(key) == value for key, value in condition.items())


def _transition(pod: Object, now: str) -> str:
    """The time of the last change of the status, which stays while it stays False."""
    present = _scheduled(pod)
    return present["lastTransitionTime"] if present.get("status") == "False" and present.get("lastTransitionTime") else now


async def run_scheduler(client: Client, clock: Clock, caches: Caches | None = None) -> None:
    """Runs a scheduler until cancelled, on its own caches unless some are shared."""
    own = caches or Caches(client, clock.now, clock.sleep)
    recorder = EventRecorder(client, clock, SCHEDULER_NAME)
    scheduler = Scheduler(client, clock, own, recorder)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run(), name="scheduler events")
        if caches is None:
            tasks.create_task(own.run(), name="scheduler caches")
        tasks.create_task(scheduler.run(), name="scheduler")


