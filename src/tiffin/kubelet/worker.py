"""One pod on its way: keeps what is known of it, asks the plan what to do, does it, and tells the API.

`poke` makes it look again, soon and once however often it is called; nothing here polls. Actions run as tasks named by the plan's
keys, at most one of each; a failed one is not repeated before its time. Only `_step` decides, only tasks do IO.

The end comes in three moves: everything stopped (`_finish`), the API object gone, everything removed (`_purge`).
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tiffin.kubelet import handlers, starting, stopping, termination
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
from tiffin.kubelet.pod_volumes import PodVolumes
from tiffin.kubelet.publish import OWNED
from tiffin.kubelet.retries import Retries
from tiffin.kubelet.runtime import ContainerEnded, RuntimeFault
from tiffin.kubelet.starting import StartFault
from tiffin.kubelet.state import (
    BACK_OFF_SHOWN_AFTER,
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
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.clock import Timer

log = logging.getLogger(__name__)

STARTING_DELAY, PROBING_DELAY = 0.4, 0.15
"""Seconds a status is held back while the pod is starting, and while first readiness answers are awaited."""
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
        self._in_api = True
        self._ending: Ending | None = None
        self._stopped = self._deleted = self._closed = False
        self._failures: dict[str, Failure] = {}
        self._back_offs: dict[str, BackOff] = {}
        self._volumes = PodVolumes(node, self._refresh_volumes)
        self._retries = Retries(node.clock.now)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._killing: dict[str, datetime] = {}
        self._announced: set[str] = set()
        self._awaited_ends: dict[str, list[asyncio.Future[None]]] = {}
        self._own_status: Object | None = None
        self._poked = False
        self._timer: Timer | None = None
        start = dig(pod, "status", "startTime")
        self._started_at = parse_time(start) if start else node.clock.now()
        self._remember_probes()

    def _remember_probes(self) -> None:
        """What the API says of containers that still run counts until probes speak again."""
        for status in dig(self.pod, "status", "containerStatuses", default=[]):
            run = self.runtime.latest(status["name"])
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
        if shown:
            self._volumes.note_change()
        self.poke()

    def _note_deletion(self) -> None:
        if not is_deleting(self.pod):
            return
        grace = max(int(meta(self.pod).get("deletionGracePeriodSeconds") or 0), 1)
        if self._ending is None or self._ending.kind is not EndKind.DELETED or grace < self._ending.grace:
            since = self._ending.since if self._ending and self._ending.kind is EndKind.DELETED else self.node.clock.now()
            self._begin_ending(Ending(EndKind.DELETED, since, grace))

    def removed(self) -> None:
        """The API no longer has the pod, or the static pod's file is gone."""
        self._in_api = False
        self.node.publisher.forget(self.uid)
        if not self._stopped and (self._ending is None or self._ending.kind is EndKind.FAILED):
            grace = max(int(meta(self.pod).get("deletionGracePeriodSeconds") or planning.termination_grace(self.pod)), 1)
            self._begin_ending(Ending(EndKind.REMOVED, self.node.clock.now(), grace))
        self.poke()

    def _begin_ending(self, ending: Ending) -> None:
        """Nothing new is waited for; what is being fetched for a start is broken off."""
        self._ending = ending
        self._retries.allow(lambda key: True)
        running = {c.name for c in self.runtime.running}
        for key, task in self._busy.items():
            if key.startswith("start/") and key.removeprefix("start/") not in running:
                task.cancel()

    def observe(self, runtime: RuntimePod) -> None:
        """What a look at the whole runtime found."""
        known = {c.id: c for c in self.runtime.containers}
        containers = tuple(termination.with_message(known[c.id] if c.id in known and known[c.id].is_over else c) for c in runtime.containers)
        addresses = {s.id: s.ips for s in self.runtime.sandboxes}
        sandboxes = tuple(replace(s, ips=s.ips or addresses.get(s.id, ())) for s in runtime.sandboxes)
        if (containers, sandboxes) != (self.runtime.containers, self.runtime.sandboxes):
            self._set_runtime(replace(self.runtime, containers=containers, sandboxes=sandboxes))

    def container_ended(self, event: ContainerEnded) -> bool:
        """An end that the runtime told of; whether it was this pod's."""
        if any(s.id == event.id for s in self.runtime.sandboxes):
            self._mark_stopped(event.id)
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
        pulling = {f"start/{name}" for name, failure in self._failures.items() if failure.back_off is not None}
        self._retries.allow(lambda key: key == "volumes" or (key.startswith("start/") and key not in pulling))
        self._volumes.note_change()
        self.poke()

    async def until_ended(self, container_id: str) -> None:
        """Returns when a container has ended or is gone."""
        run = self.runtime.find(container_id)
        if run is not None and run.is_running and not self._closed:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._awaited_ends.setdefault(container_id, []).append(future)
            await future

    @property
    def is_idle(self) -> bool:
        return not self._busy

    @property
    def is_ending(self) -> bool:
        return self._ending is not None

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
        return PodState(
            pod=self._shown_pod(), runtime=self.runtime, node=self.node.facts, probes=self.node.probes.results([c.id for c in self.runtime.running]),
            failures=self._failures, back_offs=self._back_offs, starting=frozenset(k.removeprefix("start/") for k in self._busy if k.startswith("start/")),
            volumes_ready=self._volumes.ready, ending=self._ending, started_at=self._started_at, stopped=self._stopped,
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
        if self._closed:
            return
        now = self.node.clock.now()
        decided = planning.plan(self.state(), now)
        waits = [w for w in (decided.wake, *self._act(decided, now), *self._unfold(now)) if w]
        if decided.finished and not self._busy:
            waits += self._conclude()
        self._watch_probes()
        self._publish(now)
        self._arm(min(waits, default=None), now)

    def _arm(self, wake: datetime | None, now: datetime) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            self._timer = self.node.clock.call_later((wake - now).total_seconds(), self.poke)

    def _unfold(self, now: datetime) -> list[datetime]:
        """Tell of pulls that now wait; answers when the waiting reason of the others will change."""
        waits = []
        for name, failure in self._failures.items():
            if failure.back_off is None:
                continue
            if now < failure.at + BACK_OFF_SHOWN_AFTER:
                waits.append(failure.at + BACK_OFF_SHOWN_AFTER)
                continue
            reason, message = failure.back_off
            self._announce(Announce(f"{name}/{failure.at}/back-off", "Normal", "BackOff", message.partition(": ErrImagePull")[0], name))
            self._announce(Announce(f"{name}/{failure.at}/failed", "Warning", "Failed", f"Error: {reason}", name))
        return waits

    def _act(self, decided: Plan, now: datetime) -> list[datetime]:
        """Begin what can begin; answers when what had to be put off may be tried."""
        waits = []
        for action in decided.actions:
            if isinstance(action, Announce):
                self._announce(action)
            elif isinstance(action, End):
                self._begin_ending(action.ending)
                self.poke()
            elif action.key in self._busy and not self._is_more_urgent(action, now):
                continue
            elif isinstance(action, StopSandbox) and any(key.startswith("kill/") for key in self._busy):
                continue  # the runtime is still taking note of an end that its events have told already
            elif wait := self._retries.wait_of(action.key):
                waits.append(wait)
            elif not isinstance(action, StartContainer):
                self._spawn(self._free_key(action), self._perform(action))
            elif not any(key.startswith("start/") for key in self._busy):
                self._spawn(action.key, self._start(action))
        return waits

    def _is_more_urgent(self, action: Action, now: datetime) -> bool:
        """A kill under way is overtaken by one with an earlier end."""
        return isinstance(action, KillContainer) and now + timedelta(seconds=action.grace + 1) < self._killing.get(action.id, now)

    def _free_key(self, action: Action) -> str:
        key, number = action.key, 1
        while key in self._busy:
            key, number = f"{action.key}#{number}", number + 1
        return key

    def _announce(self, action: Announce) -> None:
        if action.key not in self._announced:
            self._announced.add(action.key)
            starting.record_for(self.node, self.pod, action.container)(action.type, action.reason, action.message)

    def _publish(self, now: datetime) -> None:
        if self.api_pod is None or not self._in_api:
            return
        state = self.state()
        self._own_status = pod_status(state, now)
        self.node.publisher.publish(self.api_pod, self._own_status, self._delay(state, now))

    def _delay(self, state: PodState, now: datetime) -> float:
        """How long the status may wait for one that is worth more."""
        if state.ending or state.stopped or state.failures:
            return 0.0
        if state.starting or "volumes" in self._busy or "sandbox" in self._busy:
            return STARTING_DELAY
        for run in state.runtime.running:
            container = container_named(state.pod, run.name) or {}
            fresh = run.started_at is not None and now - run.started_at < timedelta(seconds=1)
            if fresh and container.get("readinessProbe") and run.id not in state.probes:
                return PROBING_DELAY
        return 0.0

    def _watch_probes(self) -> None:
        for run in self.runtime.containers:
            container = container_named(self.pod, run.name)
            if not run.is_running:
                self.node.probes.forget(run.id)
            elif container is not None and f"start/{run.name}" not in self._busy:
                self.node.probes.watch(self.pod, container, run, self._address(), ending=self._ending is not None)

    def _address(self) -> str:
        ips = pod_ips(self.state())
        return ips[0] if ips else ""

    # ---- acting

    def _spawn(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except asyncio.CancelledError:
                self._retries.succeeded(key)
            except RuntimeFault as fault:
                log.warning("pod %s/%s: %s: %s", namespace_of(self.pod), name_of(self.pod), key, fault)
                self._retries.put_off(key)
            except Exception:
                # A fault of ours in one action must not end the pod's worker; it is told and tried again later.
                log.exception("pod %s/%s: %s", namespace_of(self.pod), name_of(self.pod), key)
                self._retries.put_off(key)
            finally:
                self._busy.pop(key, None)
                self.poke()

        self._busy[key] = asyncio.create_task(run(), name=f"{key} of pod {namespace_of(self.pod)}/{name_of(self.pod)}")

    async def _perform(self, action: Action) -> None:
        match action:
            case SetUpVolumes():
                await self._set_up_volumes()
            case RunSandbox():
                await self._run_sandbox(action)
            case StopSandbox():
                await stopping.stop_sandbox(self.node, action.id)
                self._mark_stopped(action.id)
            case RemoveSandbox():
                await self.node.runtime.remove_sandbox(action.id)
                self._set_runtime(replace(self.runtime, sandboxes=tuple(s for s in self.runtime.sandboxes if s.id != action.id)))
            case KillContainer():
                await self._kill(action)
            case RemoveContainer():
                await self.node.runtime.remove_container(action.id)
                self._set_runtime(replace(self.runtime, containers=tuple(c for c in self.runtime.containers if c.id != action.id)))

    async def _set_up_volumes(self) -> None:
        if await self._volumes.set_up(self.pod, starting.facts_of(self.node, self.pod, pod_ips(self.state()))):
            self._retries.succeeded("volumes")
        else:
            self._retries.put_off("volumes")

    def _refresh_volumes(self) -> None:
        if "refresh" not in self._busy and not self._stopped:
            facts = starting.facts_of(self.node, self.pod, pod_ips(self.state()))
            self._spawn("refresh", self._volumes.bring_up_to_date(self.pod, facts))

    async def _run_sandbox(self, action: RunSandbox) -> None:
        if action.attempt:
            self.node.recorder.event(self.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        try:
            sandbox = await starting.run_sandbox(self.node, self.pod, action)
        except (RuntimeFault, ConfigError, OSError) as error:
            self.node.recorder.event(self.pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._retries.put_off("sandbox")
            return
        self._retries.succeeded("sandbox")
        self._set_runtime(replace(self.runtime, sandboxes=(sandbox, *self.runtime.sandboxes)))
        self._note_early_end(sandbox.id)

    async def _start(self, action: StartContainer) -> None:
        action = replace(action, attempt=max(action.attempt, self._attempts_told(action.name)))
        try:
            run = await starting.start_container(self.node, self.pod, self.runtime, action, pod_ips(self.state()))
        except (ImageFault, StartFault) as fault:
            now = self.node.clock.now()
            back_off, retry_at = (fault.back_off, fault.retry_at) if isinstance(fault, ImageFault) else (None, None)
            self._failures[action.name] = Failure(fault.reason, fault.message, now, back_off)
            self._retries.put_off(action.key, retry_at or now + START_RETRY)
            return
        finally:
            # Not before: the plan would take the run that is being followed for one that has to wait.
            if action.back_off is not None:
                self._back_offs[action.name] = action.back_off
        self._put(run)
        self._note_early_end(run.id)
        self._failures.pop(action.name, None)
        self._retries.succeeded(action.key)
        await self._post_start(run)

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
        try:
            await starting.post_start(self.node, container, run, self._address())
        except handlers.HandlerFault as fault:
            starting.record_for(self.node, self.pod, run.name)("Warning", "FailedPostStartHook", "PostStartHook failed")
            self._failures[run.name] = Failure("PostStartHookError", "PostStartHook failed", self.node.clock.now())
            log.info("pod %s/%s: postStart hook of %s: %s", namespace_of(self.pod), name_of(self.pod), run.name, fault)
            await self._kill(KillContainer(run.id, run.name, planning.termination_grace(self.pod), "FailedPostStartHook"))

    async def _kill(self, action: KillContainer) -> None:
        run = self.runtime.find(action.id)
        if run is None or not run.is_running:
            return
        first = action.id not in self._killing
        self._killing[action.id] = self.node.clock.now() + timedelta(seconds=action.grace)
        if first:
            starting.record_for(self.node, self.pod, run.name)("Normal", "Killing", action.message)
        self._put(await stopping.stop_container(self.node, self.pod, run, action.grace, self._address(), hook=first))

    # ---- what is known of the runtime

    def _put(self, run: Container) -> None:
        """A container as it is now; what ended stays ended."""
        run = termination.with_message(run)
        old = self.runtime.find(run.id)
        if old is None:
            self._set_runtime(replace(self.runtime, containers=(run, *self.runtime.containers)))
        elif not old.is_over:
            self._set_runtime(replace(self.runtime, containers=tuple(run if c.id == run.id else c for c in self.runtime.containers)))

    def _mark_stopped(self, sandbox_id: str) -> None:
        sandboxes = tuple(replace(s, ready=False) if s.id == sandbox_id else s for s in self.runtime.sandboxes)
        self._set_runtime(replace(self.runtime, sandboxes=sandboxes))

    def _note_early_end(self, id: str) -> None:
        if event := self.node.take_end(id):
            self.container_ended(event)

    def _set_runtime(self, runtime: RuntimePod) -> None:
        self.runtime = runtime
        self.version += 1
        self._tell_ends()
        self.poke()

    def _tell_ends(self) -> None:
        running = set() if self._closed else {run.id for run in self.runtime.running}
        for container_id in self._awaited_ends.keys() - running:
            for future in self._awaited_ends.pop(container_id):
                if not future.done():
                    future.set_result(None)

    # ---- the end

    def _conclude(self) -> list[datetime]:
        """Begin the next move of the end; answers when to try it again if it must wait."""
        moves = {"finish": self._finish, "purge": self._purge, "delete": self._delete}
        if not self._stopped:
            move = "finish"
        elif not self._in_api:
            move = "purge"
        elif self._ending and self._ending.kind is EndKind.DELETED and not self._deleted:
            move = "delete"
        else:
            return []
        if wait := self._retries.wait_of(move):
            return [wait]
        self._spawn(move, moves[move]())
        return []

    async def _finish(self) -> None:
        """Nothing runs: give back what the pod had on the node."""
        if not await self._volumes.tear_down(self.pod):
            self._retries.put_off("finish")
            return
        await asyncio.to_thread(self.node.cgroups.remove, self.pod)
        self._stopped = True

    async def _delete(self) -> None:
        self._deleted = self.api_pod is None or await stopping.delete_from_api(self.node, self.pod, self.api_pod)
        if not self._deleted:
            self._retries.put_off("delete")

    async def _purge(self) -> None:
        if await stopping.purge(self.node, self.pod, self.runtime):
            self.close()
            self.node.gone(self.uid)
        else:
            self._retries.put_off("purge")

    def close(self) -> None:
        """Stop looking; containers go on."""
        self._closed = True
        self._volumes.stop()
        if self._timer:
            self._timer.cancel()
        for run in self.runtime.containers:
            self.node.probes.forget(run.id)
        self.node.references.release(self.uid)
        self.node.images.forget(self.uid)
        self.node.publisher.forget(self.uid)
        self._tell_ends()

    def cancel(self) -> list[asyncio.Task[None]]:
        """Break off what is under way, for the agent's own end."""
        self.close()
        for task in self._busy.values():
            task.cancel()
        return list(self._busy.values())
