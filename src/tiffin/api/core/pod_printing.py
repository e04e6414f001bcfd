"""How pods look in tables: the words `kubectl get pods` shows for every state a pod can be in."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.core.podspec.resources import is_sidecar
from tiffin.api.kind import Column
from tiffin.machinery.object import Object, is_deleting
from tiffin.machinery.table import NONE, age, name, since

COLUMNS = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    Column("Age"),
    Column("IP", priority=1),
    Column("Node", priority=1),
    Column("Nominated Node", priority=1),
    Column("Readiness Gates", priority=1),
)
_SUCCEEDED = [{"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}]
_FAILED = [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]


class _Tally:
    """Restarts and the last of them, added up over containers."""

    def __init__(self) -> None:
        self.count, self.last = 0, ""

    def add(self, status: dict[str, Any]) -> None:
        self.count += status.get("restartCount") or 0
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        self.last = max(self.last, finished or "")

    def text(self, now: datetime) -> str:
        return f"{self.count} ({since(self.last, now)} ago)" if self.count and self.last else str(self.count)


def _ended(terminated: dict[str, Any]) -> str:
    """Why a container ended: its reason, else its signal or exit code."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _condition(status: dict[str, Any], kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or ())


class _State:
    """What the first cells of a row tell, found by going over init containers and then regular ones."""

    def __init__(self, pod: Object) -> None:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        self.ready, self.restarts = 0, _Tally()
        self.sidecars = {c.get("name") for c in spec.get("initContainers") or () if is_sidecar(c)}
        self.total = len(spec.get("containers") or ()) + len(self.sidecars)
        self.reason = status.get("reason") or status.get("phase") or ""
        if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()):
            self.reason = "SchedulingGated"
        initializing, of_sidecars = self._init_containers(spec, status)
        if not initializing or _condition(status, "Initialized"):
            self.restarts = of_sidecars
            self._containers(status)
        if is_deleting(pod):
            if status.get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif status.get("phase") not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _init_containers(self, spec: dict[str, Any], status: dict[str, Any]) -> tuple[bool, _Tally]:
        """Whether the pod is still initializing, and the restarts of its sidecars."""
        of_sidecars = _Tally()
        for index, container in enumerate(status.get("initContainerStatuses") or ()):
            self.restarts.add(container)
            sidecar = container.get("name") in self.sidecars
            if sidecar:
                of_sidecars.add(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), (state.get("waiting") or {}).get("reason")
            if terminated is not None and not terminated.get("exitCode"):
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if terminated is not None:
                self.reason = f"Init:{_ended(terminated)}"
            elif waiting and waiting != "PodInitializing":
                self.reason = f"Init:{waiting}"
            else:
                self.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
            return True, of_sidecars
        return False, of_sidecars

    def _containers(self, status: dict[str, Any]) -> None:
        """From the last container to the first, so that the first counts; that one is completed hides nothing of another."""
        running = decided = False
        for container in reversed(status.get("containerStatuses") or ()):
            self.restarts.add(container)
            state = container.get("state") or {}
            waiting = (state.get("waiting") or {}).get("reason")
            if waiting:
                self.reason, decided = waiting, True
            elif state.get("terminated") is not None:
                ended = _ended(state["terminated"])
                if ended != "Completed" or not decided:
                    self.reason, decided = ended, True
            elif container.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _condition(status, "Ready") else "NotReady"


def pod_state(pod: Object) -> str:
    """The Status cell: "Running", "Init:0/1", "CrashLoopBackOff", "Terminating", …"""
    return str(_State(pod).reason)


def _gates(pod: Object) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    status = pod.get("status") or {}
    return f"{sum(_condition(status, gate.get('conditionType') or '') for gate in gates)}/{len(gates)}" if gates else NONE


def row(pod: Object, now: datetime) -> list[Any]:
    """Cells in the order of COLUMNS."""
    state = _State(pod)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    addresses = status.get("podIPs") or [{}]
    return [
        name(pod), f"{state.ready}/{state.total}", state.reason, state.restarts.text(now), age(pod, now),
        addresses[0].get("ip") or NONE, spec.get("nodeName") or NONE, status.get("nominatedNodeName") or NONE, _gates(pod),
    ]


def row_conditions(pod: Object) -> list[Object]:
    """A finished pod's row says that it is, so that clients may leave it out."""
    phase = (pod.get("status") or {}).get("phase")
    return _SUCCEEDED if phase == "Succeeded" else _FAILED if phase == "Failed" else []
