"""Small pods, runs and snapshots for tables."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tiffin.kubelet.state import Container, ContainerState, NodeFacts, PodState, RuntimePod, Sandbox, spec_hash
from tiffin.machinery.object import Object

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NODE = NodeFacts("n1", ("192.0.2.1",))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def container(name: str = "main", **more: Any) -> Object:
    return {"name": name, "image": "img:1"} | more


def pod(*containers: Object, init: list[Object] | None = None, status: Object | None = None, meta: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": "p", "namespace": "default", "uid": "u1"} | (meta or {})
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {"restartPolicy": "Always", "containers": list(containers) or [container()]} | ({"initContainers": init} if init else {}) | spec,
        "status": {"phase": "Pending"} | (status or {}),
    }


def run(name: str = "main", attempt: int = 0, **more: Any) -> Container:
    """A run that is running; `code=` makes it one that ended ten seconds ago."""
    code = more.pop("code", None)
    given: dict[str, Any] = {
        "id": f"{name}-{attempt}", "name": name, "sandbox_id": "s0", "attempt": attempt, "state": ContainerState.RUNNING, "created_at": ago(60 - attempt),
        "started_at": ago(60 - attempt), "image": "img:1", "image_ref": "sha256:1", "spec_hash": spec_hash(container(name)),
    }
    if code is not None:
        given |= {"state": ContainerState.EXITED, "finished_at": ago(10), "exit_code": code, "reason": "Completed" if code == 0 else "Error"}
    return Container(**(given | more))


def sandbox(attempt: int = 0, *, ready: bool = True, ips: tuple[str, ...] = ("10.0.0.5",), host: bool = False) -> Sandbox:
    return Sandbox(f"s{attempt}", attempt, ready, ago(60 - attempt), ips, host)


def state(wish: Object | None = None, *runs: Container, sandboxes: tuple[Sandbox, ...] | None = None, **more: Any) -> PodState:
    """A snapshot with one good sandbox unless told otherwise; runs are given newest first."""
    have = (sandbox(),) if sandboxes is None else sandboxes
    return PodState(wish or pod(), RuntimePod("u1", "default", "p", have, tuple(runs)), NODE, **({"started_at": ago(60)} | more))
