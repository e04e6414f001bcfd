"""Load from wrk, a program of its own: what it sends is in requests.lua, what it found comes back as JSON."""
from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.cluster import Cluster

SCRIPT = Path(__file__).with_name("requests.lua")


class Unsound(Exception):
    """Some requests failed, so their rate says nothing."""


@dataclass(frozen=True)
class Load:
    """What one run found. Latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    requests: int


async def run(cluster: Cluster, mode: str, *, connections: int = 32, seconds: float = 5, **settings: str) -> Load:
    """One thread of wrk. `settings` are read by the script from its environment; raises `Unsound` when requests failed."""
    environment = {**os.environ, "BENCH_MODE": mode, "BENCH_TOKEN": cluster.token} | {f"BENCH_{name.upper()}": value for name, value in settings.items()}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(SCRIPT), cluster.url]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    found = next((line for line in output.splitlines() if line.startswith(b'{"')), None)
    if process.returncode or found is None:
        raise Unsound(output.decode())
    result = orjson.loads(found)
    if result["failed"]:
        raise Unsound(f"{result['failed']} of {result['requests']} requests of {mode} failed: {found.decode()}")
    return Load(result["requests"] / (result["microseconds"] / 1e6), result["p50"] / 1000, result["p99"] / 1000, result["requests"])


async def best(cluster: Cluster, mode: str, *, connections: int = 32, seconds: float = 3, prefixes: tuple[str, ...] = ("a", "b", "c"), **settings: str) -> Load:
    """The best of some runs, as the reference's figures are; each has a prefix of its own for what it creates."""
    loads = [await run(cluster, mode, connections=connections, seconds=seconds, prefix=prefix, **settings) for prefix in prefixes]
    return max(loads, key=lambda load: load.rate)
