"""The proxy of one node: loading 10,000 services, one change, connections with few and with many services, throughput through one."""
from __future__ import annotations

import asyncio
import os
import shutil
import sys

import orjson

from bench.figures import Figure, Goal

FEW, MANY = 10, 10_000
PATIENCE = 120.0


async def measure() -> list[Figure]:
    if os.geteuid() != 0 or not all(shutil.which(program) for program in ("nft", "ip", "unshare")):
        return []
    few, many, bytes_ = await child("bench.proxychild", str(FEW)), await child("bench.proxychild", str(MANY)), await child("bench.proxythroughput")
    return [
        Figure(f"load {MANY:,} services with 2 endpoints each", many["load_s"], "s", Goal("-", 5, False), f"{many['load_cpu_s']:.1f} s of CPU, nft's included"),
        Figure("then one change of endpoints, CPU", many["change_cpu_ms"], "ms", Goal("-", 20, False), "agent and nft"),
        Figure("then one change of endpoints, until programmed", many["change_ms"], "ms", note="without the API server"),
        Figure(f"connection set-up with {FEW} services, p50", few["connect_us"], "µs"),
        Figure(f"connection set-up with {MANY:,} services, p50", many["connect_us"], "µs", note="must equal the line before"),
        Figure("throughput through a service, of straight to the pod", bytes_["service"] / bytes_["straight"] * 100, "%", Goal("-", 95), f"straight {bytes_['straight']:,.0f} MB/s")]


async def child(module: str, *arguments: str) -> dict[str, float]:
    """What the module prints, run in a network namespace of its own."""
    command = ["unshare", "--net", sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{module} ended with exit code {process.returncode}")
    found: dict[str, float] = orjson.loads(output)
    return found
