"""ConfigMaps through TLS with a bearer token, durable: create, get, patch with wrk (1 thread, 32 connections), lists of 16,000 (15 MB).

Of each the best of three runs of three seconds, as for the reference.
"""
from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator

from bench import wrk
from bench.cluster import Cluster, cluster
from bench.figures import Figure, Goal
from tiffin.client.http import HttpClient

LISTED = 16_000
PATH = "/api/v1/namespaces/default/configmaps"


async def measure() -> list[Figure]:
    async with cluster("configmaps", "--nodes", "0") as made:
        create = await wrk.best(made, "create")
        get = await wrk.best(made, "get", known="1000")
        patch = await wrk.best(made, "patch", known="1000")
        pods = await wrk.best(made, "pods")
    return [
        Figure("create ConfigMap", create.rate, "/s", Goal("1,530/s", 3000), latency(create)),
        Figure("get ConfigMap", get.rate, "/s", Goal("3,470/s", 9000), latency(get)),
        Figure("merge-patch ConfigMap", patch.rate, "/s", Goal(), latency(patch)),
        Figure("create Pod of two containers", pods.rate, "/s", Goal("450/s", 1200), latency(pods)),
        *await lists()]


def latency(load: wrk.Load) -> str:
    return f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms"


async def lists() -> list[Figure]:
    async with cluster("lists", "--nodes", "0") as made:
        await fill(made, LISTED)
        async with made.client() as client:
            size = len(await text(client, PATH))
            pages = [path async for path in page_paths(client)]
        whole = await one_after_another(made, [PATH], 1)
        paged = await one_after_another(made, pages, 4)
    return [
        Figure(f"list {LISTED:,} ConfigMaps at once", 1 / whole.rate, "s", Goal("0.17 s", 0.06, False), f"{size / 1e6:.0f} MB"),
        Figure("list 500 at a time, 4 connections", paged.rate, "pages/s", Goal("217/s", 700), latency(paged))]


async def one_after_another(made: Cluster, targets: list[str], connections: int) -> wrk.Load:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(targets))
        file.flush()
        return await wrk.best(made, "target", connections=connections, targets=file.name)


async def fill(made: Cluster, count: int) -> None:
    """Creates `count` ConfigMaps of some 940 bytes, n00000 and so on."""
    from bench.load import in_parallel

    async with made.client() as client:
        await in_parallel(count, lambda number: client.call("POST", PATH, {"metadata": {"name": f"n{number:05}"}, "data": {"value": "0123456789abcdef" * 36}}))


async def text(client: HttpClient, path: str) -> bytes:
    async with await client.open("GET", path) as answer:
        return await answer.body(1 << 30)


async def page_paths(client: HttpClient) -> AsyncIterator[str]:
    path = f"{PATH}?limit=500"
    while path:
        yield path
        token = (await client.call("GET", path))["metadata"].get("continue")
        path = f"{PATH}?limit=500&continue={token}" if token else ""


