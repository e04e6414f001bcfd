"""A runtime in a dictionary that does what a test tells it: the twin of `CriRuntime`."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from tests.kubelet.builders import NOW
from tiffin.kubelet import runtime as port
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.runtime import ContainerEnded, Happening, RuntimeFault, RuntimeInfo, Unsure
from tiffin.kubelet.state import Container, ContainerState, Sandbox


class ScriptedRuntime:
    """Containers run until `finish` or until they are stopped. `fault(call)` may answer an exception to be raised instead."""

    def __init__(self, now: Callable[[], datetime] = lambda: NOW) -> None:
        self.now = now
        self.calls: list[str] = []
        self.fault: Callable[[str], Exception | None] = lambda call: None
        self.image_names = {"img:1": "sha256:1", "img:2": "sha256:2"}
        self.exec_code: Callable[[Sequence[str]], int] = lambda command: 0
        self.configs: dict[str, cri.ContainerConfig] = {}
        self.sandbox_map: dict[str, Sandbox] = {}
        self.container_map: dict[str, Container] = {}
        self.ignores_term = False
        self.pulls_hang = False
        self._happenings: asyncio.Queue[Happening] = asyncio.Queue()
        self._serial = 0

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if error := self.fault(call):
            raise error

    def _id(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}{self._serial}"

    def finish(self, name: str, code: int = 0, *, oom: bool = False) -> None:
        """The running container of that name ends by itself."""
        run = next(c for c in self.container_map.values() if c.name == name and c.is_running)
        self._end(run, code)
        self._happenings.put_nowait(ContainerEnded(run.id, code, self.now(), oom))

    def _end(self, run: Container, code: int) -> None:
        reason = "Completed" if code == 0 else "Error"
        self.container_map[run.id] = replace(run, state=ContainerState.EXITED, exit_code=code, finished_at=self.now(), reason=reason)

    def lose_sandbox(self, sandbox_id: str) -> None:
        self.sandbox_map[sandbox_id] = replace(self.sandbox_map[sandbox_id], ready=False)
        self._happenings.put_nowait(ContainerEnded(sandbox_id, 137, self.now()))

    async def info(self) -> RuntimeInfo:
        self._called("info")
        return RuntimeInfo("containerd", "1.6", {"RuntimeReady": (True, "", ""), "NetworkReady": (True, "", "")})

    async def set_pod_cidr(self, cidr: str) -> None:
        self._called(f"cidr {cidr}")

    async def sandboxes(self) -> Sequence[Sandbox]:
        return [replace(s, ips=()) for s in self.sandbox_map.values()]

    async def containers(self) -> Sequence[Container]:
        return list(self.container_map.values())

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        self._called(f"sandbox {config.metadata.name}")
        found = Sandbox(self._id("s"), config.metadata.attempt, True, self.now(), (f"10.0.0.{self._serial}",), config.annotations.get(port.HOST_NETWORK) == "true", dict(config.labels))
        self.sandbox_map[found.id] = found
        return found.id

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        return self.sandbox_map[sandbox_id]

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._called(f"stop-sandbox {sandbox_id}")
        self.sandbox_map[sandbox_id] = replace(self.sandbox_map[sandbox_id], ready=False)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._called(f"remove-sandbox {sandbox_id}")
        self.sandbox_map.pop(sandbox_id, None)

    async def create_container(self, sandbox_id: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig) -> str:
        self._called(f"create {config.metadata.name}")
        run = Container(
            self._id("c"), config.metadata.name, sandbox_id, config.metadata.attempt, ContainerState.CREATED, self.now(), image="img:1", image_ref=config.image.image,
            spec_hash=config.annotations[port.CONTAINER_HASH], labels=dict(config.labels), annotations=dict(config.annotations),
        )
        self.container_map[run.id], self.configs[run.id] = run, config
        return run.id

    async def start_container(self, container_id: str) -> None:
        run = self.container_map[container_id]
        self._called(f"start {run.name}")
        self.container_map[container_id] = replace(run, state=ContainerState.RUNNING, started_at=self.now())

    async def stop_container(self, container_id: str, grace: int) -> None:
        run = self.container_map[container_id]
        self._called(f"stop {run.name} {grace}")
        if not run.is_running:
            return
        if self.ignores_term:
            await asyncio.get_running_loop().create_future()
        self._end(run, 0)
        self._happenings.put_nowait(ContainerEnded(run.id, 0, self.now()))

    async def remove_container(self, container_id: str) -> None:
        self._called(f"remove {container_id}")
        self.container_map.pop(container_id, None)

    async def container(self, container_id: str, sandbox_id: str = "") -> Container:
        if container_id not in self.container_map:
            raise RuntimeFault("NOT_FOUND", "not found")
        return self.container_map[container_id]

    async def reopen_log(self, container_id: str) -> None:
        self._called("reopen")

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        self._called(f"exec {' '.join(command)}")
        return self.exec_code(command), b"out", b""

    async def exec_url(self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        return "http://127.0.0.1:1/exec"

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        return "http://127.0.0.1:1/attach"

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        return "http://127.0.0.1:1/portforward"

    async def image_status(self, image: str) -> cri.Image | None:
        self._called(f"image {image}")
        return cri.Image(id=self.image_names[image], size=1000, repo_tags=[image]) if image in self.image_names else None

    async def images(self) -> Sequence[cri.Image]:
        return [cri.Image(id=i, repo_tags=[n], size=1000) for n, i in self.image_names.items()]

    async def pull_image(self, image: str, auth: cri.AuthConfig | None, sandbox_config: cri.PodSandboxConfig) -> str:
        self._called(f"pull {image}" + (f" as {auth.username}" if auth else ""))
        if self.pulls_hang:
            await asyncio.get_running_loop().create_future()
        self.image_names[image] = f"sha256:{image}"
        return self.image_names[image]

    async def remove_image(self, image: str) -> None:
        self._called(f"remove-image {image}")

    async def image_fs(self) -> Sequence[cri.FilesystemUsage]:
        return []

    async def stats(self) -> Sequence[cri.ContainerStats]:
        return []

    async def events(self) -> AsyncIterator[Happening]:
        yield Unsure()
        while True:
            yield await self._happenings.get()

    async def close(self) -> None:
        return None
