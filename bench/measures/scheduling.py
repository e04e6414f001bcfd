"""4,000 pods onto 1,000 nodes: from the first request to the last pod that is bound; then the same on simulated nodes, whose pods run."""
from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal
from bench.load import in_parallel
from tiffin.client.http import HttpClient
from tiffin.machinery.object import Object, Resource, dig, name_of

NODES, COUNT = 1000, 4000
PODS = Resource("", "v1", "pods")
NODE_RESOURCE = Resource("", "v1", "nodes")
NODE_SIZE = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}


def small_pod(name: str) -> Object:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    return {"metadata": {"name": name, "labels": {"app": "bench"}}, "spec": {"containers": [container]}}


async def measure() -> list[Figure]:
    async with cluster("scheduling", "--nodes", "0") as made:
        await bare_nodes(made, NODES)
        bare = await schedule(made, COUNT)
    async with cluster("scheduling", "--nodes", "0", "--simulated", str(NODES)) as made:
        simulated = await schedule(made, COUNT)
    return [
        Figure(f"schedule {COUNT:,} pods on {NODES:,} nodes", bare[0], "/s", Goal("417/s", 1500), f"from the first create to the last bind; created at {bare[1]:.0f}/s"),
        Figure("the same while simulated kubelets run them", simulated[0], "/s", Goal(), f"created at {simulated[1]:.0f}/s")]


async def bare_nodes(made: Cluster, count: int) -> None:
    """Nodes without kubelets, Ready and untainted for as long as their only heartbeat counts."""
    async with made.client() as client:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": now, "lastTransitionTime": now}
        status = {"capacity": NODE_SIZE, "allocatable": NODE_SIZE, "conditions": [ready]}

        async def create(number: int) -> None:
            name = f"bare-{number}"
            await client.call("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
            await client.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, content_type="application/merge-patch+json")

        await in_parallel(count, create)
        clean: set[str] = set()
        async for event in client.watch(NODE_RESOURCE):
            if event.type != "BOOKMARK" and not dig(event.object, "spec", "taints"):
                clean.add(name_of(event.object))
            if len(clean) == count:
                break


async def schedule(made: Cluster, count: int) -> tuple[float, float]:
    """Pods bound per second from the first create to the last bind, and created per second."""
    async with made.client() as client:
        watching = asyncio.create_task(all_bound(client, count))
        await asyncio.sleep(0.1)
        begun = time.perf_counter()
        await in_parallel(count, lambda number: client.call("POST", "/api/v1/namespaces/default/pods", small_pod(f"p{number}")))
        created = time.perf_counter()
        return count / (await asyncio.wait_for(watching, 300) - begun), count / (created - begun)


async def all_bound(client: HttpClient, count: int) -> float:
    """When the last of so many pods was seen bound."""
    seen: set[str] = set()
    async for event in client.watch(PODS, "default", fields="spec.nodeName!="):
        if dig(event.object, "spec", "nodeName"):
            seen.add(name_of(event.object))
        if len(seen) == count:
            break
    return time.perf_counter()
