"""A make-believe runtime as a pure function: what the plan of a pod leads to when everything happens at once.

The same `plan` and `pod_status` as on a real node decide; here their actions only change values. By default every container starts
at once, is ready, and runs for ever; those of Jobs end well after a second. Annotations of the pod say otherwise:

    tiffin.dev/simulate-start-delay: 5s      how long images and sandboxes take before the first container runs
    tiffin.dev/simulate-ready-delay: 10s     how long after that readiness probes fail
    tiffin.dev/simulate-run-time: 30s        containers end after this time
    tiffin.dev/simulate-exit-code: "1"       with this code (default 0); without a run time, after a second
    tiffin.dev/simulate-failure: ErrImagePull    no container ever starts; this is the reason it waits
    tiffin.dev/simulate-failure-message: …       and this the message
    tiffin.dev/simulate-stop-delay: 3s       how long after SIGTERM containers end, their grace period at most
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tiffin.kubelet.plan import End, KillContainer, RemoveContainer, RemoveSandbox, RunSandbox, StartContainer, StopSandbox, plan
from tiffin.kubelet.state import (
    BackOff,
    Container,
    ContainerState,
    Ending,
    EndKind,
    Failure,
    NodeFacts,
    PodState,
    Probed,
    RuntimePod,
    Sandbox,
    container_named,
    init_containers,
    is_sidecar,
    spec_hash,
    uses_host_network,
)
from tiffin.machinery.object import Object, annotations_of, controller_of, is_deleting, meta, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import parse_duration

PREFIX = "tiffin.dev/simulate-"
JOB_RUN_TIME = timedelta(seconds=1)
MOST_STEPS = 1000
"""Plans per turn; more would mean that a plan never comes to rest."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the annotations of a pod ask for."""

    start_delay: timedelta = timedelta()
    ready_delay: timedelta = timedelta()
    run_time: timedelta | None = None
    exit_code: int = 0
    failure: str = ""
    failure_message: str = ""
    stop_delay: timedelta = timedelta()


def behaviour(pod: Object) -> Behaviour:
    """Reads the annotations; one that cannot be read is as if it were not there."""
    given = {k.removeprefix(PREFIX): v for k, v in annotations_of(pod).items() if k.startswith(PREFIX)}
    owner = controller_of(pod)
    run_time = _duration(given, "run-time")
    code = given.get("exit-code", "")
    if run_time is None and (code.isdigit() or (owner and owner.get("kind") == "Job")):
        run_time = JOB_RUN_TIME
    return Behaviour(
        _duration(given, "start-delay") or timedelta(), _duration(given, "ready-delay") or timedelta(), run_time, int(code) if code.isdigit() else 0,
        given.get("failure", ""), given.get("failure-message", ""), _duration(given, "stop-delay") or timedelta(),
    )


def _duration(given: Mapping[str, str], name: str) -> timedelta | None:
    try:
        return parse_duration(given[name])
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class MakeBelieve:
    """What a simulated node remembers of one pod."""

    runtime: RuntimePod
    seen_at: datetime
    back_offs: Mapping[str, BackOff] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    ending: Ending | None = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The pod after a turn: what to remember, the snapshot its status is made from, and when to look again."""

    memory: MakeBelieve
    state: PodState
    wake: datetime | None


def first_sight(pod: Object, now: datetime) -> MakeBelieve:
    return MakeBelieve(RuntimePod(uid_of(pod), namespace_of(pod), name_of(pod)), now)


def advance(pod: Object, memory: MakeBelieve, node: NodeFacts, ip: str, now: datetime) -> Turn:
    """Let everything happen that happens until `now`."""
    acts = behaviour(pod)
    memory = _noted_deletion(pod, memory, now)
    for _ in range(MOST_STEPS):
        memory, wakes = _ended_by_time(pod, memory, acts, now)
        state = _state(pod, memory, node, acts, now)
        decided = plan(state, now)
        if decided.wake:
            wakes.append(decided.wake)
        before = memory
        for action in decided.actions:
            memory = _apply(pod, memory, action, acts, ip, now, wakes)
        if decided.finished and not memory.stopped:
            memory = replace(memory, stopped=True)
        if memory == before:
            wakes += _readiness(memory, acts, now)
            return Turn(memory, _state(pod, memory, node, acts, now), min((w for w in wakes if w > now), default=None))
    raise AssertionError(f"the plan of pod {namespace_of(pod)}/{name_of(pod)} does not come to rest")


def _noted_deletion(pod: Object, memory: MakeBelieve, now: datetime) -> MakeBelieve:
    if not is_deleting(pod) or (memory.ending and memory.ending.kind is EndKind.DELETED):
        return memory
    return replace(memory, ending=Ending(EndKind.DELETED, now, max(int(meta(pod).get("deletionGracePeriodSeconds") or 0), 1)))


def _state(pod: Object, memory: MakeBelieve, node: NodeFacts, acts: Behaviour, now: datetime) -> PodState:
    probes = {c.id: Probed(True, c.started_at is not None and now >= c.started_at + acts.ready_delay) for c in memory.runtime.running}
    return PodState(
        pod=pod, runtime=memory.runtime, node=node, probes=probes, failures=memory.failures, back_offs=memory.back_offs, ending=memory.ending,
        started_at=memory.seen_at, stopped=memory.stopped,
    )


def _readiness(memory: MakeBelieve, acts: Behaviour, now: datetime) -> list[datetime]:
    return [at for c in memory.runtime.running if c.started_at and (at := c.started_at + acts.ready_delay) > now]


def _ended_by_time(pod: Object, memory: MakeBelieve, acts: Behaviour, now: datetime) -> tuple[MakeBelieve, list[datetime]]:
    """Containers whose time is up, and when the time of the others will be."""
    wakes: list[datetime] = []
    containers = []
    for run in memory.runtime.containers:
        ends_at = _end_of(pod, run, memory.ending, acts)
        if run.is_running and ends_at and ends_at <= now:
            run = _over(run, ends_at, acts.exit_code if _is_regular(pod, run) and memory.ending is None else 0)
        elif run.is_running and ends_at:
            wakes.append(ends_at)
        containers.append(run)
    return replace(memory, runtime=replace(memory.runtime, containers=tuple(containers))), wakes


def _is_regular(pod: Object, run: Container) -> bool:
    return not any(c["name"] == run.name for c in init_containers(pod))


def _end_of(pod: Object, run: Container, ending: Ending | None, acts: Behaviour) -> datetime | None:
    if run.started_at is None:
        return None
    if ending is not None and acts.stop_delay:
        return ending.since + min(acts.stop_delay, timedelta(seconds=ending.grace))
    container = container_named(pod, run.name)
    if container is not None and not _is_regular(pod, run):
        return None if is_sidecar(container) else run.started_at
    return run.started_at + acts.run_time if acts.run_time is not None else None


def _over(run: Container, at: datetime, code: int) -> Container:
    return replace(run, state=ContainerState.EXITED, finished_at=at, exit_code=code, reason="Completed" if code == 0 else "Error")


def _apply(pod: Object, memory: MakeBelieve, action: object, acts: Behaviour, ip: str, now: datetime, wakes: list[datetime]) -> MakeBelieve:
    runtime = memory.runtime
    match action:
        case RunSandbox():
            ready_at = memory.seen_at + acts.start_delay
            if now < ready_at:
                wakes.append(ready_at)
                return memory
            ips = () if uses_host_network(pod) else (ip,)
            sandbox = Sandbox(f"{uid_of(pod)}-{action.attempt}", action.attempt, True, now, ips, uses_host_network(pod))
            runtime = replace(runtime, sandboxes=(sandbox, *runtime.sandboxes))
        case StartContainer():
            return _started(pod, memory, action, acts, now)
        case KillContainer():
            if acts.stop_delay and memory.ending is not None:
                return memory
            runtime = replace(runtime, containers=tuple(_over(c, now, 0) if c.id == action.id else c for c in runtime.containers))
        case StopSandbox():
            runtime = replace(runtime, sandboxes=tuple(replace(s, ready=False) if s.id == action.id else s for s in runtime.sandboxes))
        case RemoveSandbox():
            runtime = replace(runtime, sandboxes=tuple(s for s in runtime.sandboxes if s.id != action.id))
        case RemoveContainer():
            runtime = replace(runtime, containers=tuple(c for c in runtime.containers if c.id != action.id))
        case End():
            return replace(memory, ending=action.ending)
    return replace(memory, runtime=runtime)


def _started(pod: Object, memory: MakeBelieve, action: StartContainer, acts: Behaviour, now: datetime) -> MakeBelieve:
    if acts.failure:
        if action.name in memory.failures:
            return memory
        return replace(memory, failures={**memory.failures, action.name: Failure(acts.failure, acts.failure_message, now)})
    container = container_named(pod, action.name)
    assert container is not None, "the plan starts only what the pod has"
    image = container.get("image", "")
    run = Container(
        f"{uid_of(pod)}-{action.name}-{action.attempt}", action.name, action.sandbox_id, action.attempt, ContainerState.RUNNING, now, now,
        image=image, image_ref=image, spec_hash=spec_hash(container),
    )
    back_offs = memory.back_offs if action.back_off is None else {**memory.back_offs, action.name: action.back_off}
    return replace(memory, runtime=replace(memory.runtime, containers=(run, *memory.runtime.containers)), back_offs=back_offs)
