"""The status of a pod as the API shows it: a pure function of `PodState` and the time.

What the old status in the API says is kept where the runtime no longer knows better: start time, transition times, the last
state and restart count of containers that are gone, and conditions that others own. Times change only when their value does.

Source: kubelet's `generateAPIPodStatus`; order and words of conditions as kubectl users know them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tiffin.kubelet import backoff
from tiffin.kubelet.plan import TERMINAL_PHASES, has_started, is_usable, will_run_again
from tiffin.kubelet.state import (
    BACK_OFF_SHOWN_AFTER,
    Container,
    ContainerState,
    EndKind,
    PodState,
    ephemeral_containers,
    init_containers,
    is_sidecar,
    regular_containers,
    uses_host_network,
)
from tiffin.machinery.object import Object, dig, meta, name_of, namespace_of, uid_of
from tiffin.machinery.timestamps import format_time

OWN_CONDITIONS = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", "PodResizePending", "PodResizeInProgress",
)
LOST_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"


def pod_status(state: PodState, now: datetime) -> Object:
    """`status` of the pod, complete but for fields the agent does not own (such as `nominatedNodeName`)."""
    init = [_container_status(state, c, now) for c in init_containers(state.pod)]
    regular = [_container_status(state, c, now) for c in regular_containers(state.pod)]
    ephemeral = [_container_status(state, c, now) for c in ephemeral_containers(state.pod)]
    phase = _phase(state, init, regular)
    status: Object = {"phase": phase}
    if generation := meta(state.pod).get("generation"):
        status["observedGeneration"] = generation
    status["conditions"] = _conditions(state, phase, init, regular, now)
    _add_end(state, status)
    _add_addresses(state, status)
    if state.started_at is not None:
        status["startTime"] = dig(state.pod, "status", "startTime") or format_time(state.started_at)
    for name, statuses in (("initContainerStatuses", init), ("containerStatuses", regular), ("ephemeralContainerStatuses", ephemeral)):
        if statuses:
            status[name] = statuses
    status["qosClass"] = dig(state.pod, "status", "qosClass") or "BestEffort"
    return status


def _add_end(state: PodState, status: Object) -> None:
    """Reason and message of an ending that is a failure, or what the API already says."""
    old = state.pod.get("status") or {}
    failed = state.ending if state.ending and state.ending.kind is EndKind.FAILED else None
    reason = failed.reason if failed else old.get("reason")
    message = failed.message if failed else old.get("message")
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message


def _add_addresses(state: PodState, status: Object) -> None:
    if state.node.ips:
        status["hostIP"] = state.node.ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in state.node.ips]
    ips = pod_ips(state)
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


def pod_ips(state: PodState) -> Sequence[str]:
    """Addresses of the pod; the last known ones once its sandbox is stopped."""
    sandbox = state.runtime.sandbox
    if uses_host_network(state.pod):
        return state.node.ips if sandbox else [entry["ip"] for entry in dig(state.pod, "status", "podIPs", default=[])]
    if sandbox and sandbox.ips:
        return sandbox.ips
    return [entry["ip"] for entry in dig(state.pod, "status", "podIPs", default=[])]


# ---- phase


def _phase(state: PodState, init: Sequence[Object], regular: Sequence[Object]) -> str:
    """The phase; once Succeeded or Failed it stays."""
    old = dig(state.pod, "status", "phase")
    if old in TERMINAL_PHASES:
        return old
    if state.ending and state.ending.kind is EndKind.FAILED:
        return "Failed"
    over = [s["state"].get("terminated") for s in regular]
    final = state.ending is not None or state.stopped
    if _init_failed(state):
        return "Failed"
    if regular and all(over) and (final or not _any_returns(state)):
        return "Succeeded" if all(t["exitCode"] == 0 for t in over) else "Failed"
    if final and state.stopped and not any("running" in s["state"] for s in regular):
        # A deleted pod whose containers never ran has failed.
        return "Failed"
    started = [s for s in regular if "waiting" not in s["state"] or "terminated" in s["lastState"]]
    if len(started) < len(regular) or (not started and not _initialized(state, init)):
        return "Pending"
    return "Running"


def _any_returns(state: PodState) -> bool:
    """Whether some ended container is to run again."""
    for container in regular_containers(state.pod):
        run = state.runtime.latest(container["name"])
        if run and run.is_over and will_run_again(state, container, run):
            return True
    return False


def _init_failed(state: PodState) -> bool:
    for container in init_containers(state.pod):
        run = state.runtime.latest(container["name"])
        if run and run.is_over and run.exit_code and not is_sidecar(container) and not will_run_again(state, container, run):
            return True
    return False


def _initialized(state: PodState, init: Sequence[Object]) -> bool:
    return all(s["started"] if is_sidecar(c) else s["ready"] for c, s in zip(init_containers(state.pod), init))


# ---- conditions


def _conditions(state: PodState, phase: str, init: Sequence[Object], regular: Sequence[Object], now: datetime) -> list[Object]:
    old = {c["type"]: c for c in dig(state.pod, "status", "conditions", default=[])}
    ready = _containers_ready(state, phase, init, regular)
    wanted = [
        {"type": "PodReadyToStartContainers", "status": _text(_can_start(state))},
        _initialized_condition(state, phase, init, regular),
        _ready_condition(state, ready, old),
        ready,
        {"type": "PodScheduled", "status": "True"},
    ]
    own = [_dated(condition, old.get(condition["type"]), meta(state.pod).get("generation"), now) for condition in wanted]
    return [c for t, c in old.items() if t not in OWN_CONDITIONS] + own


def _can_start(state: PodState) -> bool:
    sandbox = state.runtime.sandbox
    return sandbox is not None and is_usable(sandbox, state.pod)


def _text(value: bool) -> str:
    return "True" if value else "False"


def _dated(condition: Object, old: Object | None, generation: int | None, now: datetime) -> Object:
    """The condition with the time of its last transition, that of the old one if the status is the same."""
    result: Object = {"type": condition["type"]}
    if generation:
        result["observedGeneration"] = generation
    result["status"] = condition["status"]
    same = old is not None and old.get("status") == condition["status"]
    result["lastTransitionTime"] = (old or {}).get("lastTransitionTime") if same and (old or {}).get("lastTransitionTime") else format_time(now)
    return result | {k: v for k, v in condition.items() if k not in result}


def _names(containers: Sequence[str]) -> str:
    return f"[{' '.join(containers)}]"


def _containers_ready(state: PodState, phase: str, init: Sequence[Object], regular: Sequence[Object]) -> Object:
    condition: Object = {"type": "ContainersReady", "status": "False"}
    if phase in TERMINAL_PHASES:
        return condition | {"reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    watched = [s for c, s in zip(init_containers(state.pod), init) if is_sidecar(c)] + list(regular)
    unready = [s["name"] for s in watched if not s["ready"]]
    if unready:
        return condition | {"reason": "ContainersNotReady", "message": f"containers with unready status: {_names(unready)}"}
    return condition | {"status": "True"}


def _ready_condition(state: PodState, containers_ready: Object, conditions: Mapping[str, Object]) -> Object:
    condition = containers_ready | {"type": "Ready"}
    if condition["status"] != "True":
        return condition
    complaints = []
    for gate in dig(state.pod, "spec", "readinessGates", default=[]):
        name = gate["conditionType"]
        found = conditions.get(name)
        if found is None:
            complaints.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif found.get("status") != "True":
            complaints.append(f'the status of pod readiness gate "{name}" is not "True", but {found.get("status")}')
    if complaints:
        return condition | {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(complaints)}
    return condition


def _initialized_condition(state: PodState, phase: str, init: Sequence[Object], regular: Sequence[Object]) -> Object:
    condition: Object = {"type": "Initialized", "status": "True"}
    if phase == "Succeeded":
        return condition | {"reason": "PodCompleted"}
    if any(s.get("started") or "terminated" in s["state"] or "terminated" in s["lastState"] for s in regular):
        return condition
    incomplete = [s["name"] for c, s in zip(init_containers(state.pod), init) if not (s["started"] if is_sidecar(c) else s["ready"])]
    if incomplete:
        message = f"containers with incomplete status: {_names(incomplete)}"
        return condition | {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    return condition


# ---- containers


def _container_status(state: PodState, container: Object, now: datetime) -> Object:
    name = container["name"]
    old = _old_status(state, name)
    runs = [r for r in state.runtime.runs(name) if r.state is not ContainerState.CREATED]
    current, last = _states(state, container, runs, old, now)
    run = runs[0] if runs else None
    status: Object = {"name": name, "state": current, "lastState": last}
    status["ready"] = _is_ready(state, container, run, current)
    status["restartCount"] = run.attempt if run else int(old.get("restartCount") or 0)
    status["image"] = run.image if run and run.image else container.get("image", "")
    status["imageID"] = run.image_ref if run else old.get("imageID", "")
    if run:
        status["containerID"] = f"{state.node.runtime_name}://{run.id}"
    elif old.get("containerID"):
        status["containerID"] = old["containerID"]
    status["started"] = bool(run and "running" in current and has_started(state, container, run))
    _add_resources(container, run, status)
    _add_mounts(container, run, status)
    return status


def _old_status(state: PodState, name: str) -> Mapping[str, Any]:
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in dig(state.pod, "status", field, default=[]):
            if status.get("name") == name:
                return status
    return {}


def _states(
    state: PodState, container: Object, runs: Sequence[Container], old: Mapping[str, Any], now: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`state` and `lastState` of a container."""
    if not runs:
        return _state_without_run(state, container, old, now)
    current = _run_state(state, runs[0])
    last = _run_state(state, runs[1]) if len(runs) > 1 and runs[1].is_over else dict(old.get("lastState") or {})
    if container["name"] in state.starting and runs[0].is_running:
        return _waiting(state, container, now) or {"waiting": {"reason": "ContainerCreating"}}, last
    if runs[0].is_over and _returns(state, container, runs[0]):
        waiting = _waiting(state, container, now) or _crash_loop(state, container, runs[0], now)
        if waiting:
            return waiting, current
    return current, last


def _returns(state: PodState, container: Object, run: Container) -> bool:
    if state.ending is not None or state.stopped or dig(state.pod, "status", "phase") in TERMINAL_PHASES:
        return False
    return container not in ephemeral_containers(state.pod) and will_run_again(state, container, run)


def _state_without_run(state: PodState, container: Object, old: Mapping[str, Any], now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    last = dict(old.get("lastState") or {})
    was = old.get("state") or {}
    if "terminated" in was:
        return dict(was), last
    over = state.ending is not None or state.stopped
    if "running" in was and over:
        lost = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": LOST_MESSAGE, "startedAt": None, "finishedAt": None}
        return {"terminated": lost}, last
    return _waiting(state, container, now) or {"waiting": {"reason": _default_reason(state)}}, last


def _default_reason(state: PodState) -> str:
    return "PodInitializing" if init_containers(state.pod) else "ContainerCreating"


def _waiting(state: PodState, container: Object, now: datetime) -> dict[str, Any] | None:
    """The waiting state of a container that could not be started."""
    failure = state.failures.get(container["name"])
    if failure is None:
        return None
    reason, message = failure.reason, failure.message
    if failure.back_off is not None and now >= failure.at + BACK_OFF_SHOWN_AFTER:
        reason, message = failure.back_off
    return {"waiting": {"reason": reason, "message": message} if message else {"reason": reason}}


def _crash_loop(state: PodState, container: Object, run: Container, now: datetime) -> dict[str, Any] | None:
    back_off = state.back_offs.get(container["name"])
    ready_at = backoff.until(back_off, run.finished_at or run.created_at)
    if back_off is None or ready_at is None or now >= ready_at:
        return None
    pod = f"{name_of(state.pod)}_{namespace_of(state.pod)}({uid_of(state.pod)})"
    message = f"back-off {backoff.shown(back_off.delay)} restarting failed container={container['name']} pod={pod}"
    return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _run_state(state: PodState, run: Container) -> dict[str, Any]:
    if run.is_running:
        return {"running": {"startedAt": _time(run.started_at)}}
    terminated: dict[str, Any] = {
        "exitCode": run.exit_code,
        "reason": run.reason or ("Completed" if run.exit_code == 0 else "Error"),
        "startedAt": _time(run.started_at),
        "finishedAt": _time(run.finished_at),
        "containerID": f"{state.node.runtime_name}://{run.id}",
    }
    if run.message:
        terminated["message"] = run.message
    return {"terminated": terminated}


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None


def _is_ready(state: PodState, container: Object, run: Container | None, current: Mapping[str, Any]) -> bool:
    """An init container is ready when it succeeded; others when they run, have started and no readiness probe objects."""
    if container in init_containers(state.pod) and not is_sidecar(container):
        return bool(dig(current, "terminated")) and current["terminated"]["exitCode"] == 0
    if container in ephemeral_containers(state.pod) or run is None or "running" not in current or not has_started(state, container, run):
        return False
    probed = state.probes.get(run.id)
    return not container.get("readinessProbe") or bool(probed and probed.ready)


def _add_resources(container: Object, run: Container | None, status: Object) -> None:
    resources = container.get("resources") or {}
    if requests := resources.get("requests"):
        status["allocatedResources"] = requests
    if run:
        status["resources"] = {k: resources[k] for k in ("limits", "requests") if resources.get(k)}


def _add_mounts(container: Object, run: Container | None, status: Object) -> None:
    """What is mounted where. Source: KEP-3857."""
    mounts = []
    for mount in container.get("volumeMounts") or ():
        shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        mounts.append(shown)
    if mounts:
        status["volumeMounts"] = mounts
