"""A whole node agent over make-believe server, runtime and clock: what scenarios are played on."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kubelet.builders import NOW
from tests.kubelet.fakes import ApiServer
from tests.kubelet.scripted_runtime import ScriptedRuntime
from tiffin.client.cache import Caches
from tiffin.kubelet.agent import Agent
from tiffin.kubelet.config import AgentConfig
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.runtime import Runtime
from tiffin.machinery.object import Object, Resource, name_of
from tiffin.runtime.clock import FakeClock

SERVICES = Resource("", "v1", "services")
EVENTS = Resource("", "v1", "events")


class Scenario:
    """One node; time moves only by `wait`."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock(NOW)
        self.client = ApiServer(self.clock.now)
        self.runtime = ScriptedRuntime(self.clock.now)
        self.root = root
        self.agent: Agent
        self.tasks: list[asyncio.Task[None]] = []

    def start_agent(self) -> None:
        (self.root / "cgroups").mkdir(exist_ok=True)
        config = AgentConfig(
            "n1", ("192.0.2.1",), "", self.root / "kubelet", self.root / "logs", cgroup_mount=self.root / "cgroups",
            capacity={"cpu": "4", "memory": "8Gi"}, eviction_hard={},
        )
        runtime: Runtime = self.runtime
        shared = Caches(self.client, self.clock.now, self.clock.sleep)
        self.agent = Agent(config, self.client, self.clock, runtime, shared.add(SERVICES), ())
        self.tasks = [asyncio.create_task(shared.run()), asyncio.create_task(self.agent.run())]

    async def stop_agent(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def wait(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything come to rest; removal of files goes through threads, hence the real pause."""
        await self.clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0.002)
            await self.clock.settle()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Let everything happen that needs no time to pass."""
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.002)

    async def run(self, pod: Object) -> None:
        self.client.put(PODS, pod | {"spec": {"nodeName": "n1"} | pod["spec"]})
        await self.wait(0.5)

    def pod(self, name: str = "p") -> Object:
        return next(p for p in self.client.objects(PODS) if name_of(p) == name)

    def has(self, name: str = "p") -> bool:
        return any(name_of(p) == name for p in self.client.objects(PODS))

    def status(self, container: str = "main", field: str = "containerStatuses") -> Object:
        return next(s for s in self.pod()["status"][field] if s["name"] == container)

    def reasons(self) -> list[str]:
        return [e["reason"] for e in self.client.objects(EVENTS)]

    def messages(self) -> list[str]:
        return [e["message"] for e in self.client.objects(EVENTS)]

    def calls(self, *kinds: str) -> list[str]:
        """Calls of the runtime that begin with one of these words."""
        return [c for c in self.runtime.calls if c.split()[0] in kinds]


@asynccontextmanager
async def scenario(root: Path) -> AsyncIterator[Scenario]:
    """A scenario with its agent running; use `async with`."""
    play = Scenario(root)
    play.start_agent()
    await play.wait(0.5)
    try:
        yield play
    finally:
        await play.stop_agent()
