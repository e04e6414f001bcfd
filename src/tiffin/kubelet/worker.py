"""One pod on its way: keeps what is known of it, asks the plan what to do, does it, and tells the API.

`poke` makes it look again, soon and once however often it is called; nothing here polls. Actions run as tasks named by the plan's
keys, at most one of each; a failed one is not repeated before its time. Only `_step` decides, only tasks do IO.

The worker ends in three moves: everything stopped (`_finish`), the API object gone, everything removed (`_purge`).
"""
from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tiffin.kubelet import handlers, starting, termination
from tiffin.kubelet import plan as planning
from tiffin.kubelet.env import ConfigError
from tiffin.kubelet.images import ImageFault
from tiffin.kubelet.node import Node
from tiffin.kubelet.plan import (
    Action,
    Announce,
    End,
    KillContainer,
    Plan,
    RemoveContainer,
    RemoveSandbox,
    RunSandbox,
    SetUpVolumes,
    StartContainer,
    StopSandbox,
)
from tiffin.kubelet.publish import OWNED, PODS
from tiffin.kubelet.runtime import ContainerEnded, RuntimeFault
from tiffin.kubelet.starting import StartFault
from tiffin.kubelet.state import (
    BackOff,
    Container,
    ContainerState,
    Ending,
    EndKind,
    Failure,
    PodState,
    Probed,
    RuntimePod,
    container_named,
)
from tiffin.kubelet.status import OWN_CONDITIONS, pod_ips, pod_status
from tiffin.kubelet.volumes.types import VolumeFault
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.clock import Timer

log = logging.getLogger(__name__)

MINIMUM_GRACE = 2
"""Seconds a container is given between SIGTERM and SIGKILL even when time is up."""
STARTING_DELAY, PROBING_DELAY = 0.4, 0.15
"""Seconds a status is held back while the pod is starting, and while first readiness answers are awaited."""
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=1), timedelta(minutes=2)
START_RETRY = timedelta(seconds=10)


class PodWorker:
    """The life of one pod on this node."""

    def __init__(self, node: Node, pod: Object, api_pod: Object | None, runtime: RuntimePod | None = None) -> None:
        self.node, self.pod, self.uid = node, pod, uid_of(pod)
        self.api_pod = api_pod
        """The object under which the API shows the pod: itself, a static pod's mirror, or nothing yet."""
        self.runtime = runtime or RuntimePod(self.uid, namespace_of(pod), name_of(pod))
        self.version = 0
        """Counts own changes of `runtime`, so that an older look at the runtime does not undo them."""
        self.in_api = True
        self._probes_known = False
        self._failures: dict[str, Failure] = {}
        self._back_offs: dict[str, BackOff] = {}
        self._ending: Ending | None = None
        self._stopped = self._purging = False
        self._volumes_ready = False
        self._started_at: datetime | None = None
        self._own_status: Object | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._retry_at: dict[str, datetime] = {}
        self._retries: dict[str, timedelta] = {}
        self._announced: set[str] = set()
        self._killing: dict[str, datetime] = {}
        self._awaited_ends: dict[str, list[asyncio.Future[None]]] = {}
        self._poked = False
        self._timer: Timer | None = None
        self._refresh: Timer | None = None
        self._begin()

    def _begin(self) -> None:
        start = dig(self.pod, "status", "startTime")
        self._started_at = parse_time(start) if start else self.node.clock.now()
        for name, status in ((s["name"], s) for s in dig(self.pod, "status", "containerStatuses", default=[])):
            run = self.runtime.latest(name)
            if run and run.is_running and str(status.get("containerID", "")).endswith(run.id):
                self.node.probes.remember(run.id, Probed(started=status.get("started"), ready=status.get("ready")))

    # ---- what happens to the pod

    def reject(self, reason: str, message: str) -> None:
        """Refuse the pod: it fails without ever having started."""
        self._ending = Ending(EndKind.FAILED, self.node.clock.now(), 0, reason, message)
        self.node.recorder.event(self.pod, "Warning", reason, message)

    def end(self, reason: str, message: str, grace: int) -> None:
        """Fail a running pod, as eviction does."""
        if self._ending is None:
            self._ending = Ending(EndKind.FAILED, self.node.clock.now(), grace, reason, message)
            self.poke()

    def wish(self, pod: Object, api_pod: Object | None) -> None:
        """The pod as it is wanted now."""
        shown = (labels_of(self.pod), annotations_of(self.pod)) != (labels_of(pod), annotations_of(pod))
        self.pod, self.api_pod = pod, api_pod
        self._note_deletion()
        self.node.references.hold(pod)
        if shown and self._volumes_ready:
            self._refresh_volumes()
        self.poke()

    def removed(self) -> None:
        """The API no longer has the pod (or the static pod's file is gone)."""
        self.in_api = False
        self.node.publisher.forget(self.uid)
        if self._ending is None or self._ending.kind is EndKind.FAILED:
            if not self._stopped:
                grace = max(int(meta(self.pod).get("deletionGracePeriodSeconds") or planning.termination_grace(self.pod)), 1)
                self._ending = Ending(EndKind.REMOVED, self.node.clock.now(), grace)
        self.poke()

    def _note_deletion(self) -> None:
        if not is_deleting(self.pod):
            return
        grace = max(int(meta(self.pod).get("deletionGracePeriodSeconds") or 0), 1)
        if self._ending is None or self._ending.kind is not EndKind.DELETED or grace < self._ending.grace:
            since = self._ending.since if self._ending and self._ending.kind is EndKind.DELETED else self.node.clock.now()
            self._ending = Ending(EndKind.DELETED, since, grace)
            self._retry_at.clear()
            for key, task in self._busy.items():
                if key.startswith("start/") and key.removeprefix("start/") not in {c.name for c in self.runtime.running}:
                    task.cancel()

    def observe(self, runtime: RuntimePod) -> None:
        """What a look at the whole runtime found."""
        known = {c.id: c for c in self.runtime.containers}
        containers = tuple(termination.with_message(known.get(c.id, c) if known.get(c.id, c).is_over else c) for c in runtime.containers)
        addresses = {s.id: s.ips for s in self.runtime.sandboxes}
        sandboxes = tuple(replace(s, ips=s.ips or addresses.get(s.id, ())) for s in runtime.sandboxes)
        if (containers, sandboxes) != (self.runtime.containers, self.runtime.sandboxes):
            self.runtime = replace(self.runtime, containers=containers, sandboxes=sandboxes)
            self._tell_ends()
            self.poke()

    def container_ended(self, event: ContainerEnded) -> bool:
        """An end that the runtime told of; whether it was this pod's."""
        if any(s.id == event.id for s in self.runtime.sandboxes):
            sandboxes = tuple(replace(s, ready=False) if s.id == event.id else s for s in self.runtime.sandboxes)
            self._set_runtime(replace(self.runtime, sandboxes=sandboxes))
            return True
        run = self.runtime.find(event.id)
        if run is None:
            return False
        if run.is_running:
            reason = "OOMKilled" if event.oom else "Completed" if event.exit_code == 0 else "Error"
            self._put(replace(run, state=ContainerState.EXITED, exit_code=event.exit_code, finished_at=event.at, reason=reason))
        return True

    def objects_changed(self) -> None:
        """A ConfigMap or Secret of the pod changed or appeared: what waited for it may go on at once."""
        for key in [k for k in self._retry_at if k == "volumes" or k.startswith("start/")]:
            if key == "volumes" or self._failures.get(key.removeprefix("start/"), Failure("", "", self.node.clock.now())).back_off is None:
                del self._retry_at[key]
        if self._volumes_ready and not self._stopped:
            self._refresh_volumes()
        self.poke()

    @property
    def is_idle(self) -> bool:
        return not self._busy

    @property
    def is_active(self) -> bool:
        """It takes up room on the node."""
        return not self._stopped and dig(self.pod, "status", "phase") not in planning.TERMINAL_PHASES

    # ---- deciding

    def poke(self) -> None:
        """Look again, soon."""
        if not self._poked:
            self._poked = True
            asyncio.get_running_loop().call_soon(self._step)

    def state(self) -> PodState:
        """The snapshot the plan and the status are made from."""
        starting_now = frozenset(k.removeprefix("start/") for k in self._busy if k.startswith("start/"))
        return PodState(
            pod=self._shown_pod(), runtime=self.runtime, node=self.node.facts, probes=self.node.probes.results([c.id for c in self.runtime.running]),
            failures=self._failures, back_offs=self._back_offs, starting=starting_now, volumes_ready=self._volumes_ready, ending=self._ending,
            started_at=self._started_at, stopped=self._stopped,
        )

    def _shown_pod(self) -> Object:
        """The pod with the status last made here: newer than the API's, except for what others own."""
        if self._own_status is None:
            return self.pod
        of_api = self.pod.get("status") or {}
        foreign = [c for c in of_api.get("conditions") or () if c["type"] not in OWN_CONDITIONS]
        own = {k: self._own_status[k] for k in OWNED if k in self._own_status}
        own["conditions"] = foreign + [c for c in own.get("conditions") or () if c["type"] in OWN_CONDITIONS]
        return self.pod | {"status": {k: v for k, v in of_api.items() if k not in OWNED} | own}

    def _step(self) -> None:
        self._poked = False
        if self._purging:
            return
        now = self.node.clock.now()
        state = self.state()
        decided = planning.plan(state, now)
        waits = [w for w in (decided.wake, *self._act(decided, now)) if w]
        if decided.finished and not self._busy:
            self._conclude()
        self._watch_probes()
        self._publish(now)
        self._arm(min(waits, default=None), now)

    def _arm(self, wake: datetime | None, now: datetime) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            self._timer = self.node.clock.call_later((wake - now).total_seconds(), self.poke)

    def _act(self, decided: Plan, now: datetime) -> list[datetime]:
        """Begin what can begin; answers when what had to be put off may be tried."""
        waits = []
        starting_one = any(k.startswith("start/") for k in self._busy)
        for action in decided.actions:
            if isinstance(action, Announce):
                self._announce(action)
            elif isinstance(action, End):
                self._ending = self._ending or action.ending
                self.poke()
            elif action.key in self._busy and not self._is_more_urgent(action, now):
                continue
            elif (retry := self._retry_at.get(action.key)) and now < retry:
                waits.append(retry)
            elif isinstance(action, StartContainer):
                if not starting_one:
                    starting_one = True
                    self._spawn(action.key, self._start(action))
            else:
                self._spawn(self._task_key(action), self._perform(action))
        return waits

    def _is_more_urgent(self, action: Action, now: datetime) -> bool:
        """A kill under way is overtaken by one with an earlier end."""
        if not isinstance(action, KillContainer):
            return False
        return now + timedelta(seconds=action.grace + 1) < self._killing.get(action.id, now)

    def _task_key(self, action: Action) -> str:
        key, number = action.key, 1
        while key in self._busy:
            key, number = f"{action.key}#{number}", number + 1
        return key

    def _announce(self, action: Announce) -> None:
        if action.key not in self._announced:
            self._announced.add(action.key)
            starting.record_for(self.node, self.pod, action.container)(action.type, action.reason, action.message)

    def _publish(self, now: datetime) -> None:
        if self.api_pod is None or not self.in_api:
            return
        state = self.state()
        status = pod_status(state, now)
        self._own_status = status
        self.node.publisher.publish(self.api_pod, status, self._delay(state, now))

    def _delay(self, state: PodState, now: datetime) -> float:
        if state.ending or state.stopped or state.failures:
            return 0.0
        if any(k in ("volumes", "sandbox") or k.startswith("start/") for k in self._busy):
            return STARTING_DELAY
        for run in state.runtime.running:
            container = container_named(state.pod, run.name) or {}
            fresh = run.started_at is not None and now - run.started_at < timedelta(seconds=1)
            if fresh and container.get("readinessProbe") and run.id not in state.probes:
                return PROBING_DELAY
        return 0.0

    def _watch_probes(self) -> None:
        ips = pod_ips(self.state())
        for run in self.runtime.containers:
            container = container_named(self.pod, run.name)
            if not run.is_running:
                self.node.probes.forget(run.id)
            elif container is not None and f"start/{run.name}" not in self._busy:
                self.node.probes.watch(self.pod, container, run, ips[0] if ips else "", ending=self._ending is not None)

    # ---- acting

    def _spawn(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except asyncio.CancelledError:
                self._retry_at.pop(key, None)
            except Exception:
                log.exception("pod %s/%s: %s", namespace_of(self.pod), name_of(self.pod), key)
                self._put_off(key)
            finally:
                self._busy.pop(key, None)
                self.poke()

        self._busy[key] = asyncio.create_task(run(), name=f"{key} of pod {namespace_of(self.pod)}/{name_of(self.pod)}")

    def _put_off(self, key: str, until: datetime | None = None) -> None:
        delay = min(self._retries.get(key, FIRST_RETRY / 2) * 2, LONGEST_RETRY)
        self._retries[key] = delay
        self._retry_at[key] = until or self.node.clock.now() + delay

    def _succeeded(self, key: str) -> None:
        self._retries.pop(key, None)
        self._retry_at.pop(key, None)

    async def _perform(self, action: Action) -> None:
        try:
            match action:
                case SetUpVolumes():
                    await self._set_up_volumes()
                case RunSandbox():
                    await self._run_sandbox(action)
                case StopSandbox():
                    await self._stop_sandbox(action.id)
                case RemoveSandbox():
                    await self.node.runtime.remove_sandbox(action.id)
                    self._set_runtime(replace(self.runtime, sandboxes=tuple(s for s in self.runtime.sandboxes if s.id != action.id)))
                case KillContainer():
                    await self._kill(action)
                case RemoveContainer():
                    await self.node.runtime.remove_container(action.id)
                    self._set_runtime(replace(self.runtime, containers=tuple(c for c in self.runtime.containers if c.id != action.id)))
        except RuntimeFault as fault:
            log.warning("pod %s/%s: %s: %s", namespace_of(self.pod), name_of(self.pod), action.key, fault)
            self._put_off(action.key)

    async def _set_up_volumes(self) -> None:
        facts = starting.facts_of(self.node, self.pod, pod_ips(self.state()))
        try:
            refresh_at = await self.node.volumes.set_up(self.pod, facts, self.node.clock.now())
        except VolumeFault as fault:
            for line in str(fault).splitlines():
                self.node.recorder.event(self.pod, "Warning", "FailedMount", line)
            self._put_off("volumes")
            return
        self._volumes_ready = True
        self._succeeded("volumes")
        self._arm_refresh(refresh_at)

    def _arm_refresh(self, moment: datetime | None) -> None:
        if self._refresh:
            self._refresh.cancel()
            self._refresh = None
        if moment is not None and not self._stopped:
            self._refresh = self.node.clock.call_later((moment - self.node.clock.now()).total_seconds(), self._refresh_volumes)

    def _refresh_volumes(self) -> None:
        """Bring what follows objects up to date; a change during a refresh leads to another."""
        if "refresh" in self._busy:
            self._announced.add("refresh-again")
        elif not self._stopped:
            self._spawn("refresh", self._do_refresh())

    async def _do_refresh(self) -> None:
        facts = starting.facts_of(self.node, self.pod, pod_ips(self.state()))
        try:
            while True:
                self._announced.discard("refresh-again")
                refresh_at = await self.node.volumes.set_up(self.pod, facts, self.node.clock.now(), only_following=True)
                if "refresh-again" not in self._announced:
                    break
        except VolumeFault as fault:
            for line in str(fault).splitlines():
                self.node.recorder.event(self.pod, "Warning", "FailedMount", line)
            refresh_at = self.node.clock.now() + timedelta(minutes=1)
        self._arm_refresh(refresh_at)

    async def _run_sandbox(self, action: RunSandbox) -> None:
        if action.attempt:
            self.node.recorder.event(self.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            sandbox = await starting.run_sandbox(self.node, self.pod, action)
        except (RuntimeFault, ConfigError, OSError) as error:
            self.node.recorder.event(self.pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._put_off("sandbox")
            return
        self._succeeded("sandbox")
        self._set_runtime(replace(self.runtime, sandboxes=(sandbox, *self.runtime.sandboxes)))
        self._note_early_end(sandbox.id)

    def _note_early_end(self, id: str) -> None:
        if event := self.node.take_end(id):
            self.container_ended(event)

    async def _stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self.node.runtime.stop_sandbox(sandbox_id)
        except RuntimeFault as fault:
            if not fault.is_missing:
                raise
        sandboxes = tuple(replace(s, ready=False) if s.id == sandbox_id else s for s in self.runtime.sandboxes)
        self._set_runtime(replace(self.runtime, sandboxes=sandboxes))

    async def _start(self, action: StartContainer) -> None:
        now = self.node.clock.now()
        if action.back_off is not None:
            self._back_offs[action.name] = action.back_off
        attempt = max(action.attempt, self._attempts_told(action.name))
        try:
            run = await starting.start_container(self.node, self.pod, self.runtime, replace(action, attempt=attempt), pod_ips(self.state()))
        except ImageFault as fault:
            self._failures[action.name] = Failure(fault.reason, fault.message, now, fault.back_off)
            self._put_off(action.key, fault.retry_at or now + START_RETRY)
            self._look_again_at(now + timedelta(seconds=2.1))
            return
        except StartFault as fault:
            self._failures[action.name] = Failure(fault.reason, fault.message, now)
            self._put_off(action.key, self.node.clock.now() + START_RETRY)
            return
        self._put(run)
        self._note_early_end(run.id)
        self._failures.pop(action.name, None)
        self._succeeded(action.key)
        self.poke()
        await self._post_start(run)

    def _look_again_at(self, moment: datetime) -> None:
        """For what changes by the passage of time alone."""
        self.node.clock.call_later((moment - self.node.clock.now()).total_seconds(), self.poke)

    def _attempts_told(self, name: str) -> int:
        """The next attempt by what the API remembers, for containers the runtime has forgotten."""
        for field in ("containerStatuses", "initContainerStatuses"):
            for status in dig(self.pod, "status", field, default=[]):
                if status["name"] == name and status.get("containerID") and not self.runtime.runs(name):
                    return int(status.get("restartCount") or 0) + 1
        return 0

    async def _post_start(self, run: Container) -> None:
        container = container_named(self.pod, run.name)
        if container is None:
            return
        ips = pod_ips(self.state())
        try:
            await starting.post_start(self.node, self.pod, container, run, ips[0] if ips else "")
        except handlers.HandlerFault as fault:
            starting.record_for(self.node, self.pod, run.name)("Warning", "FailedPostStartHook", "PostStartHook failed")
            self._failures[run.name] = Failure("PostStartHookError", "PostStartHook failed", self.node.clock.now())
            log.info("pod %s/%s: postStart hook of %s: %s", namespace_of(self.pod), name_of(self.pod), run.name, fault)
            await self._kill(KillContainer(run.id, run.name, planning.termination_grace(self.pod), "FailedPostStartHook"))

    async def _kill(self, action: KillContainer) -> None:
        run = self.runtime.find(action.id)
        if run is None or not run.is_running:
            return
        now = self.node.clock.now()
        again = action.id in self._killing
        self._killing[action.id] = now + timedelta(seconds=action.grace)
        if not again:
            starting.record_for(self.node, self.pod, run.name)("Normal", "Killing", action.message)
        left = float(action.grace)
        container = container_named(self.pod, run.name)
        if container is not None and not again:
            ips = pod_ips(self.state())
            left = await starting.pre_stop(self.node, self.pod, container, run, ips[0] if ips else "", left)
        try:
            await self.node.runtime.stop_container(run.id, max(math.ceil(left), MINIMUM_GRACE))
            self._put(await self.node.runtime.container(run.id, run.sandbox_id))
        except RuntimeFault as fault:
            if not fault.is_missing:
                raise
            self._put(replace(run, state=ContainerState.EXITED, exit_code=137, finished_at=self.node.clock.now(), reason="ContainerStatusUnknown"))

    def _put(self, run: Container) -> None:
        """A container as it is now; what ended stays ended."""
        run = termination.with_message(run)
        old = self.runtime.find(run.id)
        if old is None:
            containers = (run, *self.runtime.containers)
        elif old.is_over:
            return
        else:
            containers = tuple(run if c.id == run.id else c for c in self.runtime.containers)
        self._set_runtime(replace(self.runtime, containers=containers))

    def _set_runtime(self, runtime: RuntimePod) -> None:
        self.runtime = runtime
        self.version += 1
        self._tell_ends()
        self.poke()

    async def until_ended(self, container_id: str) -> None:
        """Returns when a container has ended or is gone."""
        run = self.runtime.find(container_id)
        if run is not None and run.is_running and not self._purging:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited_ends.setdefault(container_id, []).append(future)
            await future

    def _tell_ends(self) -> None:
        running = {run.id for run in self.runtime.running} if not self._purging else set()
        for container_id in self._awaited_ends.keys() - running:
            for future in self._awaited_ends.pop(container_id):
                if not future.done():
                    future.set_result(None)

    # ---- the end

    def _conclude(self) -> None:
        if not self._stopped:
            if self._due("finish"):
                self._spawn("finish", self._finish())
        elif not self.in_api:
            if self._due("purge"):
                self._spawn("purge", self._purge())
        elif self._ending and self._ending.kind is EndKind.DELETED and "deleted" not in self._announced:
            if self._due("delete"):
                self._spawn("delete", self._delete())

    def _due(self, key: str) -> bool:
        retry, now = self._retry_at.get(key), self.node.clock.now()
        if retry and now < retry:
            self._look_again_at(retry)
            return False
        return True

    async def _finish(self) -> None:
        """Nothing runs: give back what the pod had on the node."""
        try:
            await self.node.volumes.tear_down(self.uid)
        except (VolumeFault, OSError) as error:
            self.node.recorder.event(self.pod, "Warning", "FailedUnMount", str(error))
            self._put_off("finish")
            return
        self._arm_refresh(None)
        await asyncio.to_thread(self.node.cgroups.remove, self.pod)
        self._stopped = True

    async def _delete(self) -> None:
        """The API may forget the pod once it knows how the pod ended."""
        if self.api_pod is None:
            return
        await self.node.publisher.settled(self.api_pod)
        try:
            await self.node.client.delete(PODS, namespace_of(self.pod), name_of(self.pod), uid=self.uid, grace_period=0)
        except ApiError as error:
            if error.code not in (404, 409):
                self._put_off("delete")
                return
        except OSError:
            self._put_off("delete")
            return
        self._announced.add("deleted")

    async def _purge(self) -> None:
        """The API has forgotten the pod: so does the node."""
        try:
            for run in self.runtime.containers:
                await self.node.runtime.remove_container(run.id)
            for sandbox in self.runtime.sandboxes:
                await self.node.runtime.remove_sandbox(sandbox.id)
            await self.node.volumes.remove(self.uid)
            await asyncio.to_thread(self._remove_logs)
        except (RuntimeFault, VolumeFault, OSError) as error:
            log.warning("pod %s/%s: removing what is left: %s", namespace_of(self.pod), name_of(self.pod), error)
            self._put_off("purge")
            return
        self._purging = True
        self.close()
        self.node.gone(self.uid)

    def _remove_logs(self) -> None:
        import shutil

        shutil.rmtree(starting.log_directory(self.node, self.pod), ignore_errors=True)

    def close(self) -> None:
        """Stop looking; containers go on."""
        for timer in (self._timer, self._refresh):
            if timer:
                timer.cancel()
        for run in self.runtime.containers:
            self.node.probes.forget(run.id)
        self.node.references.release(self.uid)
        self.node.images.forget(self.uid)
        self.node.publisher.forget(self.uid)
        self._purging = True
        self._tell_ends()

    def cancel(self) -> list[asyncio.Task[None]]:
        """Break off what is under way; for the agent's own end."""
        self.close()
        for task in self._busy.values():
            task.cancel()
        return list(self._busy.values())
