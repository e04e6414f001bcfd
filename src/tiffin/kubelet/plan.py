"""What to do next for one pod: a pure function from its snapshot to actions.

`plan` always answers the whole list of wishes, as if nothing were under way; whoever acts drops those it is already acting on
(equal `key`) and those it must not repeat yet. Starts are performed one at a time in the order given, as a kubelet does.

The order of a pod's life: volumes, sandbox, init containers one after another (sidecars only until started), regular
containers together, ephemeral ones when asked for; then regular containers down, sidecars down in reverse, sandbox down.
"""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tiffin.kubelet import backoff
from tiffin.kubelet.state import (
    BackOff,
    Container,
    ContainerState,
    Ending,
    EndKind,
    PodState,
    Sandbox,
    container_named,
    container_restarts,
    ephemeral_containers,
    init_containers,
    is_sidecar,
    regular_containers,
    restart_policy,
    sidecars,
    spec_hash,
    uses_host_network,
)
from tiffin.machinery.object import Object, dig, name_of, namespace_of, uid_of

RUNS_KEPT = 2
"""Ended runs of a container that are kept besides one that runs: `kubectl logs --previous` reads them."""
DEFAULT_GRACE = 30
TERMINAL_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class SetUpVolumes:
    key = "volumes"


@dataclass(frozen=True, slots=True)
class RunSandbox:
    attempt: int
    key = "sandbox"


@dataclass(frozen=True, slots=True)
class StopSandbox:
    id: str

    @property
    def key(self) -> str:
        return f"stop-sandbox/{self.id}"


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    id: str

    @property
    def key(self) -> str:
        return f"remove-sandbox/{self.id}"


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create and start a run; `back_off` is what to remember once it is tried."""

    name: str
    attempt: int
    sandbox_id: str
    back_off: BackOff | None = None

    @property
    def key(self) -> str:
        return f"start/{self.name}"


@dataclass(frozen=True, slots=True)
class KillContainer:
    """Run the preStop hook and stop a container within `grace` seconds; `message` is the event's."""

    id: str
    name: str
    grace: int
    message: str

    @property
    def key(self) -> str:
        return f"kill/{self.id}"


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    id: str

    @property
    def key(self) -> str:
        return f"remove/{self.id}"


@dataclass(frozen=True, slots=True)
class End:
    """Decide that the pod ends."""

    ending: Ending
    key = "end"


@dataclass(frozen=True, slots=True)
class Announce:
    """An event about a container, recorded once per `key`."""

    key: str
    type: str
    reason: str
    message: str
    container: str = ""


Action = SetUpVolumes | RunSandbox | StopSandbox | RemoveSandbox | StartContainer | KillContainer | RemoveContainer | End | Announce


@dataclass(frozen=True, slots=True)
class Plan:
    """Wishes, the moment to look again if nothing happens before, and whether nothing of the pod runs any more, for good."""

    actions: Sequence[Action] = ()
    wake: datetime | None = None
    finished: bool = False


@dataclass(slots=True)
class _Draft:
    actions: list[Action] = field(default_factory=list)
    wakes: list[datetime] = field(default_factory=list)

    def done(self) -> Plan:
        return Plan(tuple(self.actions), min(self.wakes, default=None))


def plan(state: PodState, now: datetime) -> Plan:
    """The next steps of a pod."""
    if state.stopped:
        return Plan(finished=True)
    if state.ending is not None:
        return _wind_down(state, state.ending.deadline, now)
    if is_complete(state):
        return _wind_down(state, now + timedelta(seconds=termination_grace(state.pod)), now)
    draft = _Draft()
    _check_deadline(state, now, draft)
    sandbox = state.runtime.sandbox
    if not state.volumes_ready:
        draft.actions.append(SetUpVolumes())
    elif sandbox is None or not is_usable(sandbox, state.pod):
        _renew_sandbox(state, draft)
    else:
        _run_containers(state, sandbox, now, draft)
    _tidy(state, draft)
    return draft.done()


def termination_grace(pod: Object) -> int:
    """Seconds a pod is given to stop."""
    return int(dig(pod, "spec", "terminationGracePeriodSeconds", default=DEFAULT_GRACE))


def is_usable(sandbox: Sandbox, pod: Object) -> bool:
    """Whether containers can be started in a sandbox: it is up, has an address and the network the pod asks for."""
    return sandbox.ready and sandbox.host_network == uses_host_network(pod) and (sandbox.host_network or bool(sandbox.ips))


def will_run_again(state: PodState, container: Object, run: Container) -> bool:
    """Whether an ended run is followed by another."""
    changed = bool(run.spec_hash) and run.spec_hash != spec_hash(container)
    return changed or run.reason == "Unknown" or container_restarts(state.pod, container, run.exit_code)


def is_complete(state: PodState) -> bool:
    """Whether every regular container has ended for good, or an init container failed for good."""
    if dig(state.pod, "status", "phase") in TERMINAL_PHASES:
        return True
    if state.starting:
        return False
    for container in init_containers(state.pod):
        run = state.runtime.latest(container["name"])
        if run and run.is_over and run.exit_code and not is_sidecar(container) and not will_run_again(state, container, run):
            return True
    containers = regular_containers(state.pod)
    runs = [state.runtime.latest(c["name"]) for c in containers]
    return bool(containers) and all(run and run.is_over and not will_run_again(state, c, run) for c, run in zip(containers, runs))


def _check_deadline(state: PodState, now: datetime, draft: _Draft) -> None:
    seconds = dig(state.pod, "spec", "activeDeadlineSeconds")
    if seconds is None or state.started_at is None:
        return
    deadline = state.started_at + timedelta(seconds=seconds)
    if now < deadline:
        draft.wakes.append(deadline)
        return
    words = "Pod was active on the node longer than the specified deadline"
    draft.actions.append(End(Ending(EndKind.FAILED, now, termination_grace(state.pod), "DeadlineExceeded", words)))


def _renew_sandbox(state: PodState, draft: _Draft) -> None:
    """Everything of the old sandbox goes before a new one comes; a pod that may not restart gets no second one."""
    old = state.runtime.sandbox
    if state.runtime.running:
        draft.actions += [_kill(state, c, termination_grace(state.pod), f"Stopping container {c.name}") for c in state.runtime.running]
        return
    ready = [s for s in state.runtime.sandboxes if s.ready]
    if ready:
        draft.actions += [StopSandbox(s.id) for s in ready]
        return
    if old is not None and restart_policy(state.pod) == "Never" and state.runtime.containers:
        words = "The sandbox of a pod that may not restart is gone"
        draft.actions.append(End(Ending(EndKind.FAILED, old.created_at, 0, "", words)))
        return
    draft.actions.append(RunSandbox(old.attempt + 1 if old else 0))


def _run_containers(state: PodState, sandbox: Sandbox, now: datetime, draft: _Draft) -> None:
    _run_ephemeral(state, sandbox, draft)
    if not _initialize(state, sandbox, now, draft):
        return
    for container in regular_containers(state.pod):
        _keep(state, sandbox, container, now, draft)


def _initialize(state: PodState, sandbox: Sandbox, now: datetime, draft: _Draft) -> bool:
    """Steps of the init containers; whether the regular containers may run."""
    begun = any(_current(state, sandbox, c) for c in regular_containers(state.pod))
    for container in init_containers(state.pod):
        run = _current(state, sandbox, container)
        if is_sidecar(container):
            _keep(state, sandbox, container, now, draft)
            if not begun and not (run and has_started(state, container, run)):
                return False
        elif not begun and not (run and run.is_over and run.exit_code == 0):
            _keep(state, sandbox, container, now, draft)
            return False
    return True


def has_started(state: PodState, container: Object, run: Container) -> bool:
    """Whether a container runs, its postStart hook is done and its startup probe, if any, has succeeded."""
    if not run.is_running or container["name"] in state.starting:
        return False
    return not container.get("startupProbe") or bool(state.probes.get(run.id) and state.probes[run.id].started)


def _current(state: PodState, sandbox: Sandbox, container: Object) -> Container | None:
    """The latest run of a container if it belongs to this sandbox and was really started."""
    run = state.runtime.latest(container["name"])
    if run is None or run.sandbox_id != sandbox.id or run.state is ContainerState.CREATED:
        return None
    return run


def _keep(state: PodState, sandbox: Sandbox, container: Object, now: datetime, draft: _Draft) -> None:
    """Start a container that never ran here, restart one that ended, kill one that must be restarted."""
    run = _current(state, sandbox, container)
    if run and run.is_running:
        if complaint := _complaint(state, container, run):
            draft.actions.append(_kill(state, run, _probe_grace(state, container, run), complaint))
        return
    ended = next((r for r in state.runtime.runs(container["name"]) if r.is_over), None)
    # What an init container prepared went with its sandbox, so in a new one it runs again even if it succeeded.
    prepares_anew = ended is not None and ended.sandbox_id != sandbox.id and container in init_containers(state.pod)
    if ended and not prepares_anew and not will_run_again(state, container, ended):
        return
    if ended is None:
        draft.actions.append(StartContainer(container["name"], 0, sandbox.id))
        return
    moment = ended.finished_at or ended.created_at
    back_off = state.back_offs.get(container["name"])
    ready_at = backoff.until(back_off, moment)
    if ready_at is not None and now < ready_at:
        draft.wakes.append(ready_at)
        draft.actions.append(_announce_back_off(state, container, ended))
    else:
        draft.actions.append(StartContainer(container["name"], ended.attempt + 1, sandbox.id, backoff.following(back_off, moment)))


def _complaint(state: PodState, container: Object, run: Container) -> str:
    """Why a running container must be restarted, in the words of its Killing event; empty when it need not."""
    if run.spec_hash and run.spec_hash != spec_hash(container):
        return f"Container {run.name} definition changed, will be restarted"
    probed = state.probes.get(run.id)
    if probed and probed.failed:
        again = ", will be restarted" if container_restarts(state.pod, container, 137) else ""
        return f"Container {run.name} failed {probed.failed} probe{again}"
    return ""


def _probe_grace(state: PodState, container: Object, run: Container) -> int:
    probed = state.probes.get(run.id)
    own = dig(container, f"{probed.failed}Probe", "terminationGracePeriodSeconds") if probed and probed.failed else None
    return termination_grace(state.pod) if own is None else int(own)


def _announce_back_off(state: PodState, container: Object, ended: Container) -> Announce:
    pod = state.pod
    message = f"Back-off restarting failed container {container['name']} in pod {name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
    return Announce(f"back-off/{ended.id}", "Warning", "BackOff", message, container["name"])


def _run_ephemeral(state: PodState, sandbox: Sandbox, draft: _Draft) -> None:
    for container in ephemeral_containers(state.pod):
        if not state.runtime.runs(container["name"]):
            draft.actions.append(StartContainer(container["name"], 0, sandbox.id))


def _kill(state: PodState, run: Container, grace: int, message: str) -> KillContainer:
    return KillContainer(run.id, run.name, max(grace, 0), message)


def _wind_down(state: PodState, deadline: datetime, now: datetime) -> Plan:
    """Stop containers in order, then sandboxes; finished when neither is left."""
    running = state.runtime.running
    if running:
        grace = max(math.ceil((deadline - now).total_seconds()), 0)
        actions = tuple(_kill(state, run, grace, f"Stopping container {run.name}") for run in _to_stop(state, deadline <= now))
        return Plan(actions, deadline if deadline > now else None)
    ready = tuple(StopSandbox(s.id) for s in state.runtime.sandboxes if s.ready)
    return Plan(ready) if ready else Plan(finished=True)


def _to_stop(state: PodState, at_once: bool) -> Sequence[Container]:
    """Who is stopped now: everything but sidecars, then the last sidecar that runs, or all once time is up."""
    running = state.runtime.running
    order = [c["name"] for c in sidecars(state.pod)]
    others = [c for c in running if c.name not in order]
    if at_once or not order:
        return running
    return others or [max(running, key=lambda c: order.index(c.name))]


def _tidy(state: PodState, draft: _Draft) -> None:
    """Ended runs beyond `RUNS_KEPT` of each container, and empty sandboxes of the past, are removed."""
    draft.actions += [RemoveContainer(c.id) for c in _surplus(state)]
    in_use = {c.sandbox_id for c in state.runtime.containers}
    draft.actions += [RemoveSandbox(s.id) for s in state.runtime.sandboxes[1:] if not s.ready and s.id not in in_use]


def _surplus(state: PodState) -> Iterator[Container]:
    kept: dict[str, int] = {}
    for run in state.runtime.containers:
        if run.is_over:
            kept[run.name] = kept.get(run.name, 0) + 1
            known = container_named(state.pod, run.name) is not None
            if kept[run.name] > RUNS_KEPT or not known:
                yield run
