"""The node's pods as a whole: who is here, what the runtime has, and whom to tell. A worker per pod does the rest.

* The API's pods of this node and the static pods are the wishes; each has one worker by UID.
* Everything the runtime had before this agent started is given to the workers that want it (adoption: nothing restarts); what
  nobody wants any more is wound down by a worker of its own, made from labels alone.
* Runtime events go to the worker they concern; a slow look at everything catches what events missed.
"""
from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from tiffin.client.cache import Cache
from tiffin.kubelet import runtime as port
from tiffin.kubelet.admission import admit
from tiffin.kubelet.node import Node
from tiffin.kubelet.plan import TERMINAL_PHASES
from tiffin.kubelet.runtime import ContainerEnded, RuntimeFault, Unsure
from tiffin.kubelet.state import Container, RuntimePod, Sandbox
from tiffin.kubelet.static_pods import is_mirror, mirror_of
from tiffin.kubelet.worker import PodWorker
from tiffin.machinery.object import Object, dig, is_deleting, name_of, namespace_of, uid_of

log = logging.getLogger(__name__)

LOOK_INTERVAL = 120.0
"""Seconds between two looks at everything when events flow."""
LOOK_AGAIN = 2.0
"""Seconds after a (re)connection at which to look once more: the first look may have been before the events began."""
REMEMBERED_ENDS = 256


def group_by_pod(sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> dict[str, RuntimePod]:
    """The runtime's things by UID of their pod, newest first; those without a UID are not ours."""
    of_pod: dict[str, tuple[list[Sandbox], list[Container]]] = {}
    names: dict[str, tuple[str, str]] = {}
    for sandbox in sandboxes:
        if uid := sandbox.labels.get(port.POD_UID):
            of_pod.setdefault(uid, ([], []))[0].append(sandbox)
            names[uid] = (sandbox.labels.get(port.POD_NAMESPACE, ""), sandbox.labels.get(port.POD_NAME, ""))
    for container in containers:
        if uid := container.labels.get(port.POD_UID):
            of_pod.setdefault(uid, ([], []))[1].append(container)
            names[uid] = (container.labels.get(port.POD_NAMESPACE, ""), container.labels.get(port.POD_NAME, ""))
    return {
        uid: RuntimePod(
            uid, *names[uid], tuple(sorted(s, key=lambda x: (x.created_at, x.attempt), reverse=True)),
            tuple(sorted(c, key=lambda x: (x.created_at, x.attempt), reverse=True)),
        )
        for uid, (s, c) in of_pod.items()
    }


def orphan(runtime: RuntimePod) -> Object:
    """A pod object for what the runtime has of a pod that nobody knows: enough to stop and remove it."""
    grace = next((int(g) for c in runtime.containers if (g := c.annotations.get(port.TERMINATION_GRACE, "")).isdigit()), 30)
    names = dict.fromkeys(c.name for c in runtime.containers)
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": runtime.namespace, "name": runtime.name, "uid": runtime.uid},
        "spec": {"containers": [{"name": n, "image": ""} for n in names], "terminationGracePeriodSeconds": grace}, "status": {"phase": "Running"},
    }


class PodNotFoundError(LookupError):
    """No such pod or container on this node; the text is the kubelet's."""


class Kubelet:
    """All pods of one node."""

    def __init__(self, node: Node, pods: Cache) -> None:
        self.node, self._pods = node, pods
        self._workers: dict[str, PodWorker] = {}
        self._static: dict[str, Object] = {}
        self._mirrors: dict[str, Object] = {}
        """Mirror pods of the API by the UID of their static pod."""
        self._found: dict[str, RuntimePod] = {}
        """What the first look found and no worker has claimed yet."""
        self._ends: OrderedDict[str, ContainerEnded] = OrderedDict()
        self._node_object: Object = {}
        self._looked = asyncio.Event()

    # ---- the wishes

    async def start(self) -> None:
        """Look at the runtime, then take in every pod. Raises nothing: a runtime that is down is waited for."""
        while not await self._look():
            await self.node.clock.sleep(1.0)
        await self._pods.synced.wait()
        self._looked.set()
        self._pods.subscribe(self._pod_changed)
        self._wind_down_strangers()

    def set_node_object(self, node: Object) -> None:
        """The Node as the API has it, for admission."""
        self._node_object = node

    def set_static(self, pods: Mapping[str, Object]) -> None:
        """The static pods there are now, by UID."""
        for uid in self._static.keys() - pods.keys():
            if worker := self._workers.get(uid):
                worker.removed()
        for uid, pod in pods.items():
            if self._static.get(uid) != pod:
                self._wish(pod, self._mirrors.get(uid))
        self._static = dict(pods)

    def static_pods(self) -> Mapping[str, Object]:
        return self._static

    def mirrors(self) -> Mapping[str, Object]:
        return self._mirrors

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._pod_gone(old)
        if new is None:
            return
        if is_mirror(new):
            uid = mirror_of(new)
            self._mirrors[uid] = new
            if uid in self._static:
                self._wish(self._static[uid], new)
            return
        self._wish(new, new)

    def _pod_gone(self, pod: Object) -> None:
        if is_mirror(pod):
            self._mirrors.pop(mirror_of(pod), None)
            if worker := self._workers.get(mirror_of(pod)):
                worker.api_pod = None
        elif worker := self._workers.get(uid_of(pod)):
            worker.removed()

    def _wish(self, pod: Object, api_pod: Object | None) -> None:
        uid = uid_of(pod)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wish(pod, api_pod)
            return
        runtime = self._found.pop(uid, None)
        worker = PodWorker(self.node, pod, api_pod, runtime)
        if runtime is None and not is_deleting(pod) and dig(pod, "status", "phase") not in TERMINAL_PHASES:
            rejection = admit(pod, self._active(), self._node_object, self.node.allocatable())
            if rejection:
                worker.reject(*rejection)
        self._workers[uid] = worker
        worker.wish(pod, api_pod)

    def _active(self) -> Sequence[Object]:
        return [w.pod for w in self._workers.values() if w.is_active]

    def _wind_down_strangers(self) -> None:
        for uid, runtime in self._found.items():
            log.info("pod %s/%s (%s) is not wanted here any more", runtime.namespace, runtime.name, uid)
            worker = PodWorker(self.node, orphan(runtime), None, runtime)
            self._workers[uid] = worker
            worker.removed()
        self._found.clear()

    def forget(self, uid: str) -> None:
        """A worker is done."""
        self._workers.pop(uid, None)

    def changed(self, uid: str) -> None:
        """A probe of the pod spoke."""
        if worker := self._workers.get(uid):
            worker.poke()

    def objects_changed(self, uid: str) -> None:
        """Something the pod refers to changed."""
        if worker := self._workers.get(uid):
            worker.objects_changed()

    # ---- the runtime

    async def follow_runtime(self) -> None:
        """Pass on what happens in the runtime, until cancelled."""
        async for happening in self.node.runtime.events():
            if isinstance(happening, Unsure):
                await self._look()
                self.node.clock.call_later(LOOK_AGAIN, self._look_soon)
            else:
                self._ended(happening)

    async def look_regularly(self) -> None:
        """A slow look at everything, until cancelled."""
        while True:
            await self.node.clock.sleep(LOOK_INTERVAL)
            await self._look()

    def _look_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._look(), name="look at the runtime")
        self._looking = task  # kept, or it might be collected before it is done

    def _ended(self, event: ContainerEnded) -> None:
        if any(worker.container_ended(event) for worker in tuple(self._workers.values())):
            return
        # It may have ended before its start was known here.
        self._ends[event.id] = event
        if len(self._ends) > REMEMBERED_ENDS:
            self._ends.popitem(last=False)

    async def _look(self) -> bool:
        """Compare with everything the runtime has; False when it cannot be asked."""
        versions = {uid: w.version for uid, w in self._workers.items() if w.is_idle}
        try:
            sandboxes, containers = await asyncio.gather(self.node.runtime.sandboxes(), self.node.runtime.containers())
            first = not self._looked.is_set()
            if first:
                sandboxes = await self._with_addresses(sandboxes)
        except RuntimeFault as fault:
            log.warning("the runtime does not answer: %s", fault)
            return False
        found = group_by_pod(sandboxes, containers)
        if first:
            self._found = found
            return True
        for uid, worker in tuple(self._workers.items()):
            if worker.is_idle and versions.get(uid) == worker.version:
                worker.observe(found.get(uid, RuntimePod(uid)))
        strangers = {uid: r for uid, r in found.items() if uid not in self._workers and uid not in versions}
        if strangers:
            self._found |= strangers
            self._wind_down_strangers()
        return True

    async def _with_addresses(self, sandboxes: Sequence[Sandbox]) -> Sequence[Sandbox]:
        """Lists leave addresses out; they are asked for one by one, of those that are up."""
        async def one(sandbox: Sandbox) -> Sandbox:
            return await self.node.runtime.sandbox(sandbox.id) if sandbox.ready else sandbox

        return await asyncio.gather(*(one(s) for s in sandboxes))

    def take_end(self, container_id: str) -> ContainerEnded | None:
        """The end of a container that was told before its start was known."""
        return self._ends.pop(container_id, None)

    # ---- for the node's own port

    def workers(self) -> Sequence[PodWorker]:
        return list(self._workers.values())

    def pods(self) -> Sequence[Object]:
        """Every pod here with its latest status, for `/pods`."""
        return [w.state().pod for w in self._workers.values()]

    def worker(self, namespace: str, name: str, uid: str = "") -> PodWorker:
        """The worker of a pod. Raises PodNotFoundError."""
        for worker in self._workers.values():
            if namespace_of(worker.pod) == namespace and name_of(worker.pod) == name and (not uid or worker.uid == uid):
                return worker
        raise PodNotFoundError("pod does not exist")

    def find_container(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Container:
        """The latest run of a container, or with `previous` the one before. Raises PodNotFoundError."""
        worker = self.worker(namespace, pod)
        runs = worker.runtime.runs(container)
        if previous:
            current = runs[0] if runs else None
            runs = [r for r in runs if r.is_over and (r is not current or _was_restarted(worker, container))]
        if not runs:
            if previous:
                raise PodNotFoundError(f'previous terminated container "{container}" in pod "{pod}" not found')
            raise PodNotFoundError(f'container "{container}" in pod "{pod}" is waiting to start: {_waiting_reason(worker, container)}')
        return runs[0]

    def find_sandbox(self, namespace: str, pod: str) -> Sandbox:
        """The sandbox of a pod that is up. Raises PodNotFoundError."""
        sandbox = self.worker(namespace, pod).runtime.sandbox
        if sandbox is None or not sandbox.ready:
            raise PodNotFoundError(f'pod "{pod}" is not running')
        return sandbox

    async def close(self) -> None:
        """Let go of every pod; containers go on."""
        tasks = [task for worker in self._workers.values() for task in worker.cancel()]
        await asyncio.gather(*tasks, return_exceptions=True)
        self.node.probes.close()
        self.node.references.close()


def _was_restarted(worker: PodWorker, container: str) -> bool:
    """Whether an ended run is already shown as the last state, its successor being awaited."""
    for status in dig(worker.state().pod, "status", "containerStatuses", default=[]):
        if status["name"] == container:
            return "waiting" in status["state"]
    return False


def _waiting_reason(worker: PodWorker, container: str) -> str:
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for status in dig(worker.state().pod, "status", field, default=[]):
            if status["name"] == container and (reason := dig(status, "state", "waiting", "reason")):
                message = dig(status, "state", "waiting", "message", default="")
                return {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}.get(reason, message or reason)
    return "ContainerCreating"

