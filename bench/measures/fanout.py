"""One writer, 500 watchers on connections of their own in a process of their own: deliveries per second, and the delay of the slowest."""
from __future__ import annotations

import asyncio
import os
import sys
import time

import orjson

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal, percentile

WATCHERS, WRITES = 500, 200
PATH = "/api/v1/namespaces/default/configmaps"


async def measure() -> list[Figure]:
    async with cluster("fanout", "--nodes", "0") as made:
        began, ended, delays = await fan_out(made)
    return [
        Figure(f"one writer to {WATCHERS} watchers", WATCHERS * WRITES / (ended - began), "events/s", Goal(), f"{WRITES} writes, one after the other"),
        Figure("delay of the last watcher, p50", percentile(delays, 0.5) * 1000, "ms"),
        Figure("delay of the last watcher, p99", percentile(delays, 0.99) * 1000, "ms")]


async def fan_out(made: Cluster) -> tuple[float, float, list[float]]:
    """Begin, end, and per write the seconds from its request until the last watcher had it."""
    async with made.client(1) as client:
        await client.call("POST", PATH, {"metadata": {"name": "written"}, "data": {"n": "-1"}})
        command = [sys.executable, "-m", "bench.watchers", str(made.port), str(WATCHERS), str(WRITES)]
        watchers = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "BENCH_TOKEN": made.token})
        assert watchers.stdout is not None
        await watchers.stdout.readline()  # all of them watch
        sent = []
        for number in range(WRITES):
            sent.append(time.monotonic())
            await client.call("PATCH", f"{PATH}/written", {"data": {"n": str(number)}}, content_type="application/merge-patch+json")
        arrived = orjson.loads(await watchers.stdout.readline())
        await watchers.wait()
    return sent[0], max(arrived), [last - begun for begun, last in zip(sent, arrived)]
