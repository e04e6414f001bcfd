"""From nothing to three nodes that are Ready, and what they take of memory together. Needs root and containerd."""
from __future__ import annotations

import asyncio
import os

from bench.cluster import cluster
from bench.figures import Figure, Goal
from bench.processes import memory

NODES = 3
SETTLE = 5.0


async def measure() -> list[Figure]:
    if os.geteuid() != 0:
        return []
    times, sums = [], []
    for _ in range(3):
        async with cluster("nodes", "--nodes", str(NODES)) as made:
            times.append(made.up_seconds)
            await asyncio.sleep(SETTLE)
            sums.append([sum(part) for part in zip(*(memory(pid) for pid in made.processes().values()))])
    pss, rss = sorted(sums)[1]
    return [
        Figure(f"tiffin up --nodes {NODES} to all Ready", sorted(times)[1], "s", Goal("-", 8, False), "median of 3, the whole command"),
        Figure(f"memory of a cluster with {NODES} nodes, idle", pss, "MB", Goal(), f"server, {NODES} agents, {NODES} containerd; RSS {rss:.0f} MB"),
    ]
