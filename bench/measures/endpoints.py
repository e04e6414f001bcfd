"""Three real nodes and 1,000 services: from the change of an EndpointSlice until every node has programmed it."""
from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal, percentile
from tiffin.client.http import HttpClient

NODES, SERVICES, CHANGES = 3, 1000, 100
SERVICES_PATH, SLICES_PATH = "/api/v1/namespaces/default/services", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
PATIENCE = 60.0


async def measure() -> list[Figure]:
    if os.geteuid() != 0:
        return []
    async with cluster("endpoints", "--nodes", str(NODES)) as made, made.client(16) as client:
        seconds = await changes(made, client)
    return [
        Figure(f"endpoint change to programmed on {NODES} nodes, {SERVICES:,} services, p50", percentile(seconds, 0.5) * 1000, "ms", Goal("-", 50, False)),
        Figure("the same, p99", percentile(seconds, 0.99) * 1000, "ms", Goal("-", 200, False), "the slowest node counts, from the request on")]


async def changes(made: Cluster, client: HttpClient) -> list[float]:
    """Seconds of each change, from its request until the last node's kernel says so."""
    await asyncio.gather(*(created(client, number) for number in range(SERVICES)))
    monitors = [await Monitor.start(space) for space in namespaces(made)]
    try:
        await attached(client, monitors)
        seconds = []
        for number in range(CHANGES):
            address = f"10.250.{number // 250}.{number % 250 + 1}"
            began = time.perf_counter()
            await change(client, number * 7 % SERVICES, address)
            await asyncio.gather(*(monitor.saw(address) for monitor in monitors))
            seconds.append(time.perf_counter() - began)
        return seconds
    finally:
        for monitor in monitors:
            await monitor.stop()


async def attached(client: HttpClient, monitors: list[Monitor]) -> None:
    """Returns when every monitor sees what happens: none says when it begins."""
    for number in range(1, 200):
        address = f"10.251.0.{number}"
        await change(client, 0, address)
        seen = await asyncio.gather(*(monitor.saw(address, 0.5) for monitor in monitors), return_exceptions=True)
        if not any(seen):
            return
    raise RuntimeError("a monitor sees nothing")


def namespaces(made: Cluster) -> list[Path]:
    """The network namespaces of the nodes' agents, by their processes."""
    return [Path(f"/proc/{pid}/ns/net") for name, pid in made.processes().items() if name in {f"node-{index + 1}" for index in range(NODES)}]


async def created(client: HttpClient, number: int) -> None:
    name = f"s{number}"
    await client.call("POST", SERVICES_PATH, {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}})
    slice = {"metadata": {"name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4", "ports": [{"name": "", "port": 8080}]}
    await client.call("POST", SLICES_PATH, slice | {"endpoints": [{"addresses": [f"10.249.0.{n}"]} for n in (1, 2)]})


async def change(client: HttpClient, number: int, address: str) -> None:
    body = {"endpoints": [{"addresses": ["10.249.0.1"]}, {"addresses": [address]}]}
    await client.call("PATCH", f"{SLICES_PATH}/s{number}-x", body, content_type="application/merge-patch+json")


class Monitor:
    """`nft monitor` in a node's namespace."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, space: Path) -> Monitor:
        command = ["nsenter", f"--net={space}", "nft", "monitor", "elements"]
        return cls(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))

    async def saw(self, address: str, patience: float = PATIENCE) -> None:
        """Returns with the transaction that brings the address. Raises `TimeoutError`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(patience):
            while line := await self._process.stdout.readline():
                if f" {address} ".encode() in line and line.startswith(b"add"):
                    return
        raise RuntimeError("nft monitor has ended")

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()
