"""The runtime port: what the node agent asks of a container runtime, in CRI's terms.

`cri.py` speaks it over gRPC; tests script it. Configurations and images are CRI's own messages; what comes back about pods is
turned into the values of `state.py`. Every call raises `RuntimeFault`, whose text is fit for events and statuses.
"""
from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.state import Container, Sandbox

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
TERMINATION_GRACE = "io.kubernetes.pod.terminationGracePeriod"
TERMINATION_MESSAGE_FILE = "tiffin.dev/termination-message-file"
HOST_NETWORK = "tiffin.dev/host-network"
"""Labels and annotations by which an agent that restarts knows its pods again; all but tiffin's are the kubelet's own."""


class RuntimeFault(Exception):
    """A failed call. `code` is gRPC's name of the error, such as NOT_FOUND; `text` what the runtime said."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"rpc error: code = {_GO_NAMES.get(code, code)} desc = {text}")
        self.code, self.text = code, text

    @property
    def is_missing(self) -> bool:
        return self.code == "NOT_FOUND"

    @property
    def is_unreachable(self) -> bool:
        return self.code == "UNAVAILABLE"


_GO_NAMES = {
    "UNKNOWN": "Unknown", "NOT_FOUND": "NotFound", "UNAVAILABLE": "Unavailable", "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "INVALID_ARGUMENT": "InvalidArgument", "ALREADY_EXISTS": "AlreadyExists", "UNIMPLEMENTED": "Unimplemented",
    "FAILED_PRECONDITION": "FailedPrecondition", "CANCELLED": "Canceled", "INTERNAL": "Internal", "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "PERMISSION_DENIED": "PermissionDenied", "ABORTED": "Aborted",
}


@dataclass(frozen=True, slots=True)
class ContainerEnded:
    """A container's first process ended, with its code; `oom` if the kernel killed it for want of memory."""

    id: str
    exit_code: int
    at: datetime
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Unsure:
    """Events may have been missed: look at everything again."""


Happening = ContainerEnded | Unsure


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """Name and version of the runtime, and its conditions by type as (holds, reason, message)."""

    name: str
    version: str
    conditions: Mapping[str, tuple[bool, str, str]]


class Runtime(Protocol):
    """A CRI v1 runtime."""

    async def info(self) -> RuntimeInfo: ...

    async def set_pod_cidr(self, cidr: str) -> None:
        """Tell the runtime the range of pod addresses of this node."""
        ...

    async def sandboxes(self) -> Sequence[Sandbox]:
        """Every sandbox, without addresses."""
        ...

    async def containers(self) -> Sequence[Container]:
        """Every container with its details."""
        ...

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str: ...

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        """One sandbox with its addresses."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_sandbox(self, sandbox_id: str) -> None: ...

    async def create_container(self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, grace: int) -> None: ...

    async def remove_container(self, container_id: str) -> None: ...

    async def container(self, container_id: str, sandbox_id: str = "") -> Container:
        """One container; its sandbox is looked up where it is not given."""
        ...

    async def reopen_log(self, container_id: str) -> None: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        """Exit code, standard output and standard error; raises TimeoutError."""
        ...

    async def exec_url(self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def image_status(self, image: str) -> cri.Image | None: ...

    async def images(self) -> Sequence[cri.Image]: ...

    async def pull_image(self, image: str, auth: cri.AuthConfig | None, sandbox_config: cri.PodSandboxConfig) -> str: ...

    async def remove_image(self, image: str) -> None: ...

    async def image_fs(self) -> Sequence[cri.FilesystemUsage]: ...

    async def stats(self) -> Sequence[cri.ContainerStats]: ...

    def events(self) -> AsyncIterator[Happening]:
        """What happens from now on; reconnects by itself and says `Unsure` whenever something may have been missed."""
        ...

    async def close(self) -> None: ...
