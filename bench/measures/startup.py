"""From `tiffin up` to an API that answers, to a Node that is Ready, to a first pod that runs. The last two need root and containerd."""
from __future__ import annotations

import os
import time

from bench.cluster import cluster
from bench.figures import Figure, Goal
from bench.pods import image_pod, running


async def measure() -> list[Figure]:
    times = []
    for _ in range(3):
        async with cluster("startup", "--nodes", "0") as made:
            times.append(made.up_seconds)
    figures = [Figure("tiffin up --nodes 0 to API ready", sorted(times)[1], "s", Goal("2-3 s", 1, False), "median of 3, the whole command")]
    if os.geteuid() == 0:
        figures += await with_node()
    return figures


async def with_node() -> list[Figure]:
    async with cluster("startup", "--nodes", "1") as made, made.client() as client:
        began = time.perf_counter()
        await client.call("POST", "/api/v1/namespaces/default/pods", image_pod("first"))
        await running(client, {"first"})
        first = time.perf_counter() - began
    return [
        Figure("tiffin up to Node Ready", made.up_seconds, "s", Goal("-", 4, False), "the whole command"),
        Figure("then to a pod Running", first, "s", Goal("-", 1.5, False), "image present")]
