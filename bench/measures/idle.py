"""CPU time of all of a cluster's processes and their descendants over a minute in which nobody asks for anything."""
from __future__ import annotations

import asyncio
import os
import time

from bench.cluster import cluster
from bench.figures import Figure, Goal
from bench.processes import cpu_seconds, with_descendants

SETTLE, SPAN = 20.0, 60.0


async def measure() -> list[Figure]:
    options = ("--nodes", "1") if os.geteuid() == 0 else ("--nodes", "0", "--simulated", "2")
    async with cluster("idle", *options) as made:
        await asyncio.sleep(SETTLE)
        named = made.processes()
        before = {pid: cpu_seconds(pid) for pid in with_descendants(named.values())}
        began = time.monotonic()
        await asyncio.sleep(SPAN)
        span = time.monotonic() - began
        used = {pid: cpu_seconds(pid) - start for pid, start in before.items()}
        parts = {name: used[pid] / span * 100 for name, pid in named.items()}
    detail = ", ".join(f"{name} {share:.2f} %" for name, share in parts.items())
    return [Figure("CPU when idle, all processes", sum(used.values()) / span * 100, "% of a core", Goal("-", 1, False), f"{' '.join(options)}: {detail}")]
