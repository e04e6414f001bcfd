"""4,000 pods onto 1,000 simulated nodes that are Ready: from the first request to the last pod that is bound."""
from __future__ import annotations

import asyncio
import time

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal
from bench.load import in_parallel
from tiffin.client.http import HttpClient
from tiffin.machinery.object import Object, Resource, dig, name_of

NODES, COUNT = 1000, 4000
PODS = Resource("", "v1", "pods")


def small_pod(name: str) -> Object:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    return {"metadata": {"name": name, "labels": {"app": "bench"}}, "spec": {"containers": [container]}}


async def measure() -> list[Figure]:
    async with cluster("scheduling", "--nodes", "0", "--simulated", str(NODES)) as made:
        bound, begun, created = await schedule(made, COUNT)
    first, last = min(bound.values()), max(bound.values())
    return [
        Figure(f"schedule {COUNT:,} pods on {NODES:,} nodes", COUNT / (last - begun), "/s", Goal("417/s", 1500), "from the first create to the last bind, kubelets' status updates included"),
        Figure("of that, creating them", COUNT / (created - begun), "/s"),
        Figure("first to last bind", COUNT / (last - first), "/s")]


async def schedule(made: Cluster, count: int) -> tuple[dict[str, float], float, float]:
    """When each pod was seen bound, when the first was begun and when the last was created."""
    async with made.client() as client:
        watching = asyncio.create_task(bindings(client, count))
        await asyncio.sleep(0.1)
        begun = time.perf_counter()
        await in_parallel(count, lambda number: client.call("POST", "/api/v1/namespaces/default/pods", small_pod(f"p{number}")))
        created = time.perf_counter()
        return await asyncio.wait_for(watching, 300), begun, created


async def bindings(client: HttpClient, count: int) -> dict[str, float]:
    seen: dict[str, float] = {}
    async for event in client.watch(PODS, "default", fields="spec.nodeName!="):
        if dig(event.object, "spec", "nodeName"):
            seen.setdefault(name_of(event.object), time.perf_counter())
        if len(seen) == count:
            break
    return seen
