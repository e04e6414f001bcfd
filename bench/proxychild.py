"""A node's proxy alone in a network namespace: `python -m bench.proxychild SERVICES`, started by `unshare --net`.

It is given so many services of two endpoints each by a make-believe API server, programs them, then one change after the other;
then connections are made through the last service's address. Prints what it measured as JSON.
"""
from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

import orjson

from tiffin.client.cache import Caches
from tiffin.client.memory import MemoryClient
from tiffin.machinery.object import Object
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.nftables import Nft
from tiffin.proxy.run import NODES, SERVICES, SLICES, Proxy
from tiffin.runtime.clock import SystemClock

CHANGES, CONNECTIONS = 20, 1500
NODE, LOCAL, PORT = "node-1", "10.244.0.1", 8080


class Watched(Nft):
    """The kernel's tables, telling when a transaction is through."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def run(self, text: str) -> None:
        await super().run(text)
        self.done.set()


def service(number: int) -> Object:
    spec = {"type": "ClusterIP", "clusterIP": address(number), "clusterIPs": [address(number)], "ports": [{"port": 80, "protocol": "TCP", "targetPort": PORT}]}
    return {"metadata": {"namespace": "default", "name": f"s{number}", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}


def slice_of(number: int, *endpoints: str) -> Object:
    return {
        "metadata": {"namespace": "default", "name": f"s{number}-a", "labels": {"kubernetes.io/service-name": f"s{number}"}},
        "addressType": "IPv4", "ports": [{"name": "", "port": PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}, "nodeName": "node-2"} for each in endpoints],
    }  # fmt: skip


def address(number: int) -> str:
    return f"10.96.{number // 250}.{number % 250 + 1}"


def cpu() -> float:
    """Our own and our finished children's, in seconds."""
    return sum(os.times()[:4])


async def programmed(count: int) -> dict[str, float]:
    client, clock, tables = MemoryClient(), SystemClock(), Watched()
    client.put(NODES, {"metadata": {"name": NODE}, "spec": {"podCIDR": "10.244.1.0/24"}})
    for number in range(count):
        client.put(SERVICES, service(number))
        client.put(SLICES, slice_of(number, LOCAL, "10.244.0.2"))
    caches = Caches(client, clock.now, clock.sleep)
    proxy = Proxy(ProxyConfig(NODE, ("10.96.0.0/12",)), caches, clock, tables)
    began, used = time.perf_counter(), cpu()
    tasks = [asyncio.create_task(caches.run()), asyncio.create_task(proxy.run())]
    await asyncio.wait([asyncio.create_task(tables.done.wait()), *tasks], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            await task
    result = {"load_s": time.perf_counter() - began, "load_cpu_s": cpu() - used}
    await asyncio.sleep(0.5)
    seconds, used = [], cpu()
    for number in range(CHANGES):
        tables.done.clear()
        began = time.perf_counter()
        client.put(SLICES, slice_of(number % count, LOCAL, f"10.244.9.{number + 1}"))
        await asyncio.wait_for(tables.done.wait(), 30)
        seconds.append(time.perf_counter() - began)
    result |= {"change_ms": statistics.median(seconds) * 1000, "change_cpu_ms": (cpu() - used) / CHANGES * 1000}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result


def connected(to: str) -> float:
    """The median time of a connection's set-up, in microseconds."""
    listener = socket.create_server((LOCAL, PORT), backlog=128)
    threading.Thread(target=_accept, args=(listener,), daemon=True).start()
    seconds = []
    for _ in range(CONNECTIONS):
        began = time.perf_counter()
        with socket.create_connection((to, PORT if to == LOCAL else 80)):
            seconds.append(time.perf_counter() - began)
    listener.close()
    return statistics.median(seconds) * 1e6


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            listener.accept()[0].close()
        except OSError:
            return  # closed: that was all


def main() -> None:
    count = int(sys.argv[1])
    for command in ("link set lo up", f"address add {LOCAL}/32 dev lo", "address add 10.244.0.2/32 dev lo", "route add 10.96.0.0/12 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    result = asyncio.run(programmed(count))
    subprocess.run(["nft", "delete element ip tiffin services { " + f"{address(count - 1)} . tcp . 80" + " }; add element ip tiffin services { " + f"{address(count - 1)} . tcp . 80 : goto endpoint-0" + " }"], check=True)
    result["connect_us"] = connected(address(count - 1))
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
