"""The scheduler at work: watches, the loop that places one pod after the other, and the binds that run beside it.

A placed pod counts on its node at once ("assumed"); the bind that makes it true runs concurrently, and if it fails the pod is
taken off again and queued anew. The cache confirms an assumed pod when it shows the same node.
"""
from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, is_deleting, key_of, labels_of, name_of, uid_of
from tiffin.machinery.selectors import Selector, from_label_map, from_label_selector
from tiffin.runtime.clock import Clock
from tiffin.runtime.series import SeriesRecorder
from tiffin.scheduler.plan import Refusals, explain, place
from tiffin.scheduler.plugins.volumes import Choice, claims_of
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.preemption import Preemption, preempt
from tiffin.scheduler.profile import SCHEDULER_NAME, default_profile
from tiffin.scheduler.queue import Queue, Waiting
from tiffin.scheduler.state import State
from tiffin.scheduler.volumes import CLAIMS, STORAGE_CLASSES, VOLUMES, VolumeBinder, VolumesNotBound
from tiffin.scheduler.writes import PODS, PodWriter

logger = logging.getLogger(__name__)

NODES, NAMESPACES, SERVICES = Resource("", "v1", "nodes"), Resource("", "v1", "namespaces"), Resource("", "v1", "services")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets")
OWNERS = {
    "ReplicaSet": Resource("apps", "v1", "replicasets"), "StatefulSet": Resource("apps", "v1", "statefulsets"),
    "ReplicationController": Resource("", "v1", "replicationcontrollers")}
WATCHED = (PODS, NODES, NAMESPACES, SERVICES, CLAIMS, VOLUMES, STORAGE_CLASSES, BUDGETS, *OWNERS.values())
FINISHED = ("Succeeded", "Failed")
PARALLEL_WRITES = 256
POD_LEFT = frozenset(("NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread", "VolumeRestrictions"))
VOLUMES_CHANGED = frozenset(("VolumeBinding", "VolumeRestrictions", "VolumeZone"))
POD_CAME = frozenset(("InterPodAffinity", "PodTopologySpread"))


class Scheduler:
    """One scheduler over shared caches."""

    def __init__(self, client: Client, clock: Clock, caches: Caches, recorder: SeriesRecorder) -> None:
        self.client, self.clock, self.caches, self.recorder = client, clock, caches, recorder
        self.state = State()
        self.queue = Queue(clock)
        self.volumes = VolumeBinder(client, caches)
        self.profile = default_profile(self._default_selector, self.volumes)
        self.writer = PodWriter(client, clock, recorder)
        self._assumed: set[str] = set()
        self._writes: set[asyncio.Task[None]] = set()
        self._turn = 0
        for resource in WATCHED:
            caches.add(resource)

    async def run(self) -> None:
        """Schedules until cancelled."""
        await self.caches.synced(WATCHED)
        self.caches[NAMESPACES].subscribe(self._namespace_changed)
        self.caches[NODES].subscribe(self._node_changed)
        self.caches[PODS].subscribe(self._pod_changed)
        self.caches[CLAIMS].subscribe(self._claim_changed)
        for resource in (VOLUMES, STORAGE_CLASSES):
            self.caches[resource].subscribe(lambda old, new: self.queue.happened(VOLUMES_CHANGED))
        try:
            while True:
                waiting = await self.queue.take()
                self._schedule(waiting)
                if len(self._writes) >= PARALLEL_WRITES:
                    await asyncio.wait(self._writes, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(0)
        finally:
            for task in self._writes:
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

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        """A claim concerns the pods that use it."""
        namespace, name = key_of(new or old or {})
        self.queue.happened(VOLUMES_CHANGED, lambda info: info.namespace == namespace and any(name == used for used, _ in claims_of(info)))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old or {}
        if new is None or (new.get("status") or {}).get("phase") in FINISHED:
            self._forget(pod)
        elif new["spec"].get("nodeName"):
            self._confirm(new)
        elif new["spec"].get("schedulerName", SCHEDULER_NAME) == SCHEDULER_NAME and not is_deleting(new) and not new["spec"].get("schedulingGates"):
            if uid_of(new) not in self._assumed:
                self._wait(new)
        else:
            self.queue.remove(key_of(new))

    def _wait(self, pod: Object) -> None:
        nominated = (pod.get("status") or {}).get("nominatedNodeName")
        if nominated and uid_of(pod) not in self.state.nominated and key_of(pod) not in self.queue:
            # another scheduler, or this one before it was restarted, made room for it
            self.state.nominated[uid_of(pod)] = replace(PodInfo.of(pod), node=nominated)
        self.queue.put(pod)

    def _forget(self, pod: Object) -> None:
        self.queue.remove(key_of(pod))
        if self.state.nominated.pop(uid_of(pod), None):
            self.queue.happened(POD_LEFT)
        self._assumed.discard(uid_of(pod))
        if self.state.displace(uid_of(pod)) is not None:
            self.queue.happened(POD_LEFT)

    def _confirm(self, pod: Object) -> None:
        """A pod that is bound: counted anew only where what is counted has changed."""
        self.queue.remove(key_of(pod))
        self._assumed.discard(uid_of(pod))
        self.state.nominated.pop(uid_of(pod), None)
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
        if placement.refusals is not None:
            self._refuse(waiting, placement.refusals)
            return
        info.node = placement.node
        self.state.nominated.pop(info.uid, None)
        self.state.place(info)
        self._assumed.add(info.uid)
        choices = self.profile.volumes.choose(info, placement.node, self.state) if info.spec.get("volumes") else ()
        self.volumes.promise(choices)
        self._do(self._bind(waiting, placement.node, choices))

    def _refuse(self, waiting: Waiting, refusals: Refusals) -> None:
        """The pod has to wait; room is made for it where that can be done."""
        info = waiting.info
        preemption = preempt(info, self.state, self.profile, refusals, self.caches.list(BUDGETS))
        if preemption.node:
            self._nominate(info, preemption)
        elif not preemption.waits:
            self.state.nominated.pop(info.uid, None)
        self.queue.failed(waiting, frozenset(refusals.plugins))
        nominated = self.state.nominated.get(info.uid)
        self._do(self.writer.refused(info, explain(refusals, self.state, preemption.message), nominated.node if nominated else ""))

    def _nominate(self, info: PodInfo, preemption: Preemption) -> None:
        """Keeps the node for the pod while its victims end; less important pods nominated there must look again."""
        for other in list(self.state.nominated.values()):
            if other.node == preemption.node and other.priority < info.priority:
                del self.state.nominated[other.uid]
                self._do(self.writer.nomination_lost(other))
        self.state.nominated[info.uid] = replace(info, node=preemption.node)
        self._do(self.writer.evict(preemption, info))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a write of the scheduler failed", exc_info=error)

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

    async def _bind(self, waiting: Waiting, node: str, choices: Sequence[Choice]) -> None:
        info = waiting.info
        key = info.key
        binding = {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": key.name, "namespace": key.namespace, "uid": info.uid},
            "target": {"kind": "Node", "name": node}}
        try:
            if choices:
                await self.volumes.bind(choices, node)
            await self.client.create(PODS, key.namespace, binding, name=key.name, subresource="binding")
        except (ApiError, OSError, VolumesNotBound) as error:
            self._bind_failed(waiting, error)
            return
        finally:
            self.volumes.release(choices)
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


def _matters(old: Object, new: Object) -> bool:
    """Whether a node changed in something that the plan looks at; heartbeats do not count."""
    if old["metadata"].get("labels") != new["metadata"].get("labels") or old.get("spec") != new.get("spec"):
        return True
    before, after = old.get("status") or {}, new.get("status") or {}
    return any(before.get(part) != after.get(part) for part in ("allocatable", "capacity", "images"))


def _same_weight(old: Object, new: Object) -> bool:
    return old["spec"].get("containers") == new["spec"].get("containers") and is_deleting(old) == is_deleting(new)


async def run_scheduler(client: Client, clock: Clock, caches: Caches | None = None) -> None:
    """Runs a scheduler until cancelled, on its own caches unless some are shared."""
    own = caches or Caches(client, clock.now, clock.sleep)
    recorder = SeriesRecorder(client, clock, SCHEDULER_NAME, f"{SCHEDULER_NAME}-{socket.gethostname()}")
    scheduler = Scheduler(client, clock, own, recorder)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run(), name="scheduler events")
        if caches is None:
            tasks.create_task(own.run(), name="scheduler caches")
        tasks.create_task(scheduler.run(), name="scheduler")


