"""Bytes from a pod to a pod, straight and through a service: `python -m bench.proxythroughput`, started by `unshare --net`.

Two namespaces stand for the pods, ours for the node between them. Rounds take turns; prints the best of each as JSON (MB/s).
"""
from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from bench.proxychild import PORT, service, slice_of
from tiffin.cluster import netns
from tiffin.proxy import nftables
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.ledger import Ledger
from tiffin.proxy.plan import node_items, plan
from tiffin.proxy.state import NodeView

ROUNDS, SECONDS, CHUNK = 4, 1.0, 1 << 18
CLIENT, SERVER, SERVICE = "10.244.1.2", "10.244.2.2", "10.96.0.1"


def main() -> None:
    names = [f"bench-{os.getpid()}-{each}" for each in ("client", "server")]
    spaces = [netns.create(name) for name in names]
    try:
        for path, address in zip(spaces, (CLIENT, SERVER)):
            connect(path, address)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        program()
        best = {"straight": 0.0, "service": 0.0}
        for _ in range(ROUNDS):
            for name, to in (("straight", (SERVER, PORT)), ("service", (SERVICE, 80))):
                best[name] = max(best[name], rate(spaces, to))
        print(orjson.dumps(best).decode())
    finally:
        for name in names:
            netns.remove(name)


def connect(space: Path, address: str) -> None:
    """A cable from here to that namespace; our end is the gateway, .1."""
    gateway, link = address.rpartition(".")[0] + ".1", f"v{address.split('.')[2]}"
    _ip(f"link add {link} type veth peer name eth0 netns {space.name}", f"address add {gateway}/24 dev {link}", f"link set {link} up")
    netns.inside(space, lambda: _ip(f"address add {address}/24 dev eth0", "link set eth0 up", f"route add default via {gateway}"))


def program() -> None:
    node, config, ledger = NodeView("node-1", "", ("10.244.1.0/24",)), ProxyConfig("node-1", ("10.96.0.0/16",)), Ledger()
    ledger.replace(("node",), node_items(node, config, bridge_is_seen=True))
    ledger.replace(("service",), plan(service(0), [slice_of(0, SERVER)], node, config).items)
    nftables.nft(nftables.made_anew("ip", ledger.contents()), "-f", "-")


def rate(spaces: list[Path], to: tuple[str, int]) -> float:
    """MB/s of one connection."""
    make: Callable[[], socket.socket] = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # noqa: E731
    with netns.inside(spaces[1], make) as listener, netns.inside(spaces[0], make) as sender:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER, PORT))
        listener.listen()
        received: list[int] = []
        reader = threading.Thread(target=lambda: received.append(_read(listener)))
        reader.start()
        sender.settimeout(10)
        sender.connect(to)
        began, data = time.perf_counter(), bytes(CHUNK)
        while time.perf_counter() - began < SECONDS:
            sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)
        reader.join()
        return received[0] / (time.perf_counter() - began) / 1e6


def _read(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    count, buffer = 0, bytearray(CHUNK)
    with connection:
        while size := connection.recv_into(buffer):
            count += size
    return count


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


if __name__ == "__main__":
    main()
