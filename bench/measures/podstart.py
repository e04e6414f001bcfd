"""Pods on one real node, image present: from the request to Running as a watcher sees it; 20 one by one, then 40 at once."""
from __future__ import annotations

import asyncio
import os
import time

from bench.cluster import cluster
from bench.figures import Figure, Goal, percentile
from bench.pods import PATH, image_pod, running
from tiffin.client.http import HttpClient


async def measure() -> list[Figure]:
    if os.geteuid() != 0:
        return []
    async with cluster("podstart", "--nodes", "1") as made, made.client(64) as client:
        single = []
        for number in range(20):
            single += await started(client, [f"s{number}"])
            await client.call("DELETE", f"{PATH}/s{number}")
        many = await started(client, [f"m{number}" for number in range(40)])
    return [
        Figure("pod start, one by one, p50", percentile(single, 0.5) * 1000, "ms", Goal("-", 400, False)),
        Figure("pod start, one by one, p99", percentile(single, 0.99) * 1000, "ms", Goal("-", 900, False), "the slowest of 20"),
        Figure("pod start, 40 at once, p50", percentile(many, 0.5) * 1000, "ms"),
        Figure("pod start, 40 at once, p99", percentile(many, 0.99) * 1000, "ms", note="the slowest")]


async def started(client: HttpClient, names: list[str]) -> list[float]:
    """Creates the pods together; seconds until each runs."""
    watching = asyncio.create_task(running(client, set(names)))
    await asyncio.sleep(0.05)
    began = {}

    async def create(name: str) -> None:
        began[name] = time.perf_counter()
        await client.call("POST", PATH, image_pod(name))

    await asyncio.gather(*map(create, names))
    seen = await asyncio.wait_for(watching, 60)
    return [seen[name] - began[name] for name in names]
