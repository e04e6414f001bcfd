"""What the node agent knows of one pod: the wish (the pod object), the runtime's view, probes, failures and what is under way.

Everything here is an immutable value; `plan.py` and `status.py` are functions of `PodState`. Moments are aware UTC datetimes.
Containers and sandboxes are listed newest first, so "the" container of a name is the first one found.
"""
from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from tiffin.machinery.object import Object, dig


class ContainerState(StrEnum):
    """The states of CRI."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Container:
    """One run of a container, as the runtime knows it. `attempt` counts restarts over the pod's life on this node."""

    id: str
    name: str
    sandbox_id: str
    attempt: int
    state: ContainerState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    spec_hash: str = ""
    log_path: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        return self.state is ContainerState.RUNNING

    @property
    def is_over(self) -> bool:
        """It ran and will never run again."""
        return self.state in (ContainerState.EXITED, ContainerState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox of a pod: the namespaces its containers share. `host_network` sandboxes have no address of their own."""

    id: str
    attempt: int
    ready: bool
    created_at: datetime
    ips: tuple[str, ...] = ()
    host_network: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuntimePod:
    """All sandboxes and containers that bear one pod's UID, newest first."""

    uid: str
    namespace: str = ""
    name: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    @property
    def sandbox(self) -> Sandbox | None:
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str) -> Container | None:
        return next((c for c in self.containers if c.name == name), None)

    def runs(self, name: str) -> Sequence[Container]:
        """Every run of a container that the runtime still has, newest first."""
        return [c for c in self.containers if c.name == name]

    def find(self, container_id: str) -> Container | None:
        return next((c for c in self.containers if c.id == container_id), None)

    @property
    def running(self) -> Sequence[Container]:
        return [c for c in self.containers if c.is_running]


@dataclass(frozen=True, slots=True)
class Probed:
    """What probes say of one running container: None means that no probe has spoken yet."""

    started: bool | None = None
    ready: bool | None = None
    failed: str = ""
    """"liveness" or "startup" once that probe failed for good: the container must be restarted."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a container could not be started. `reason` and `message` are those of its waiting state."""

    reason: str
    message: str
    at: datetime
    back_off: tuple[str, str] | None = None
    """Reason and message of the time between two tries, from `BACK_OFF_SHOWN_AFTER` on."""


BACK_OFF_SHOWN_AFTER = timedelta(seconds=2)
"""How long ErrImagePull is shown before ImagePullBackOff takes its place (a kubelet changes it at its next sync)."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """The delay before the next restart, doubled from run to run, and the end of the run that set it."""

    delay: timedelta
    since: datetime


class EndKind(StrEnum):
    """Why a pod must end on this node."""

    DELETED = "deleted"
    """The API object is being deleted; it goes once everything is stopped."""
    REMOVED = "removed"
    """The API object is already gone."""
    FAILED = "failed"
    """Deadline, eviction or refusal: the object stays, in phase Failed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The decision to end a pod: everything must be stopped `grace` seconds after `since`."""

    kind: EndKind
    since: datetime
    grace: int
    reason: str = ""
    message: str = ""
    """Reason and message of the pod's status; empty for deletions."""

    @property
    def deadline(self) -> datetime:
        return self.since + timedelta(seconds=self.grace)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a pod's status says of its node."""

    name: str
    ips: tuple[str, ...]
    runtime_name: str = "containerd"


@dataclass(frozen=True, slots=True)
class PodState:
    """The snapshot from which one pod's next steps and its status follow."""

    pod: Object
    runtime: RuntimePod
    node: NodeFacts
    probes: Mapping[str, Probed] = field(default_factory=dict)
    """By container ID."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """By container name; forgotten when a start succeeds."""
    back_offs: Mapping[str, BackOff] = field(default_factory=dict)
    """By container name."""
    starting: frozenset[str] = frozenset()
    """Names of containers whose start, postStart hook included, is under way."""
    volumes_ready: bool = True
    ending: Ending | None = None
    started_at: datetime | None = None
    """When this agent first saw the pod; what `status.startTime` says."""
    stopped: bool = False
    """Everything of the pod was stopped and cleaned up here; nothing starts again."""


def init_containers(pod: Object) -> Sequence[Object]:
    return dig(pod, "spec", "initContainers", default=[])


def regular_containers(pod: Object) -> Sequence[Object]:
    return dig(pod, "spec", "containers", default=[])


def ephemeral_containers(pod: Object) -> Sequence[Object]:
    return dig(pod, "spec", "ephemeralContainers", default=[])


def all_containers(pod: Object) -> Sequence[Object]:
    """Init, regular and ephemeral containers, in that order."""
    return [*init_containers(pod), *regular_containers(pod), *ephemeral_containers(pod)]


def container_named(pod: Object, name: str) -> Object | None:
    return next((c for c in all_containers(pod) if c["name"] == name), None)


def is_sidecar(container: Object) -> bool:
    """An init container that keeps running beside the regular ones. Source: KEP-753."""
    return container.get("restartPolicy") == "Always"


def sidecars(pod: Object) -> Sequence[Object]:
    return [c for c in init_containers(pod) if is_sidecar(c)]


def restart_policy(pod: Object) -> str:
    return dig(pod, "spec", "restartPolicy", default="Always")


def container_restarts(pod: Object, container: Object, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is started again.

    The container's rules come first, then its own policy, then the pod's; an init container under Always behaves as under
    OnFailure. Source: KEP-5307.
    """
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if rule.get("action") == "Restart" and (listed if codes.get("operator") == "In" else not listed):
            return True
    policy = container.get("restartPolicy") or restart_policy(pod)
    if policy == "Never":
        return False
    if policy == "OnFailure" or (container in init_containers(pod) and not is_sidecar(container)):
        return exit_code != 0
    return True


def uses_host_network(pod: Object) -> bool:
    return bool(dig(pod, "spec", "hostNetwork"))


def spec_hash(container: Object) -> str:
    """What of a container may change only by replacing it, as a short text: its name and image."""
    identity = container["name"] + "\0" + container.get("image", "")
    return f"{zlib.crc32(identity.encode()):x}"
