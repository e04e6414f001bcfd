"""Memory of each process: idle, with 15,000 ConfigMaps, with 1,000 simulated nodes and 7,000 pods. PSS; RSS in the note."""
from __future__ import annotations

import asyncio
import os
import time

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal
from bench.load import in_parallel
from bench.measures.configmaps import fill
from bench.measures.scheduling import small_pod
from bench.processes import memory

SETTLE = 5.0


async def measure() -> list[Figure]:
    figures = []
    async with cluster("memory", "--nodes", "0") as made:
        await asyncio.sleep(SETTLE)
        figures += of_processes(made, "idle", {"server": Goal("332 MB", 110, False)})
        await fill(made, 15_000)
        await asyncio.sleep(SETTLE)
        figures += of_processes(made, "15,000 ConfigMaps", {"server": Goal("645 MB", 180, False)})
    if os.geteuid() == 0:
        async with cluster("memory", "--nodes", "1") as made:
            await asyncio.sleep(SETTLE)
            figures += of_processes(made, "one node, idle", {"node-1": Goal("-", 80, False)})
    async with cluster("memory", "--nodes", "0", "--simulated", "1000") as made:
        await seven_thousand(made)
        figures += of_processes(made, "1,000 nodes, 7,000 pods", {})
    return figures


async def seven_thousand(made: Cluster) -> None:
    async with made.client() as client:
        await in_parallel(7000, lambda number: client.call("POST", "/api/v1/namespaces/default/pods", small_pod(f"p{number}")))
        end = time.monotonic() + 60
        while time.monotonic() < end:
            left = (await client.call("GET", "/api/v1/namespaces/default/pods?fieldSelector=status.phase%3DPending&limit=1"))["items"]
            if not left:
                break
            await asyncio.sleep(1)
    await asyncio.sleep(SETTLE)


def of_processes(made: Cluster, when: str, goals: dict[str, Goal]) -> list[Figure]:
    figures = []
    for name, pid in made.processes().items():
        pss, rss = memory(pid)
        goal = goals.get(name, Goal())
        figures.append(Figure(f"memory of {name}, {when}", pss, "MB", goal, f"RSS {rss:.0f} MB"))
    return figures
