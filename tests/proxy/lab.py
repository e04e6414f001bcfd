"""A node, two pods on its bridge, and a machine outside that also plays a pod of another node: network namespaces, no containers.

    outside 192.168.77.1, pod 10.244.2.2 ── eth0 192.168.77.2 node cni0 10.244.1.1 ── pods 10.244.1.2 and 10.244.1.3
"""
from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pyroute2.iproute.linux import IPRoute

from tests.proxy.builders import CONFIG, NODE
from tiffin.cluster import netns
from tiffin.machinery.object import Object
from tiffin.proxy import conntrack, nftables
from tiffin.proxy.ledger import Ledger
from tiffin.proxy.plan import FrontKey, node_items, plan, rank

OUTSIDE, NODE_IP, POD, POD_2, REMOTE_POD = "192.168.77.1", "192.168.77.2", "10.244.1.2", "10.244.1.3", "10.244.2.2"
#: For answers, and for the silence of what is dropped.
_SECONDS = 0.5

T = TypeVar("T")


class Lab:
    """The namespaces, and what is programmed on the node."""

    def __init__(self) -> None:
        self._prefix = f"lab{os.getpid()}"
        self.spaces = {name: netns.create(f"{self._prefix}-{name}") for name in ("outside", "node", "pod", "pod-2")}
        self._sockets: list[socket.socket] = []
        self.ledger = Ledger()
        self._services: set[str] = set()

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        for path in self.spaces.values():
            netns.remove(path.name)

    def inside(self, where: str, action: Callable[[], T]) -> T:
        return netns.inside(self.spaces[where], action)

    def nft(self, text: str, *arguments: str) -> str:
        return self.inside("node", lambda: nftables.nft(text, *(arguments or ("-f", "-")))).decode()

    def program(self, *pairs: tuple[Object, Iterable[Object]], node: object = NODE, config: object = CONFIG, bridge_is_seen: bool = True) -> None:
        """The node's table is what these services with their slices need."""
        first = not list(self.ledger.owners())
        self.ledger.replace(("node",), node_items(node, config, bridge_is_seen))  # type: ignore[arg-type]
        names = {service["metadata"]["name"] for service, _ in pairs}
        for gone in self._services - names:
            self.ledger.replace(("service", gone), {})
        for service, slices in pairs:
            self.ledger.replace(("service", service["metadata"]["name"]), plan(service, list(slices), node, config).items, rank(service))  # type: ignore[arg-type]
        self._services = names
        changes = self.ledger.take()
        self.nft(nftables.made_anew("ip", self.ledger.contents()) if first else nftables.transaction(changes))

    def forget_flows(self, wanted: dict[FrontKey, frozenset[conntrack.Target]]) -> int:
        return self.inside("node", lambda: conntrack.forget_stale(wanted))

    def serve(self, where: str, address: str, port: int = 8080, kind: int = socket.SOCK_STREAM) -> None:
        """Answers every call with its own address and the caller's."""
        listener = self.inside(where, lambda: socket.socket(socket.AF_INET, kind))
        self._sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        if kind == socket.SOCK_STREAM:
            listener.listen(16)
        threading.Thread(target=_answer, args=(listener, address, kind), daemon=True).start()

    def call(self, where: str, address: str, port: int, kind: int = socket.SOCK_STREAM) -> tuple[str, str]:
        """Who answered, and whom they took us for. Raises `ConnectionRefusedError`, `TimeoutError`."""
        with self.caller(where, kind) as caller:
            return ask(caller, address, port)

    @contextmanager
    def caller(self, where: str, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
        with self.inside(where, lambda: socket.socket(socket.AF_INET, kind)) as caller:
            caller.settimeout(_SECONDS)
            yield caller


def ask(caller: socket.socket, address: str, port: int) -> tuple[str, str]:
    caller.connect((address, port))
    caller.send(b"?")
    who, _, whom = caller.recv(100).decode().partition(" ")
    return who, whom


def _answer(listener: socket.socket, address: str, kind: int) -> None:
    while True:
        try:
            if kind == socket.SOCK_STREAM:
                connection, caller = listener.accept()
                connection.send(f"{address} {caller[0]}".encode())
                connection.close()
            else:
                _, caller = listener.recvfrom(100)
                listener.sendto(f"{address} {caller[0]}".encode(), caller)
        except OSError:
            return  # the lab is closed


@contextmanager
def lab() -> Iterator[Lab]:
    made = Lab()
    try:
        _connect(made)
        yield made
    finally:
        made.close()


def _connect(made: Lab) -> None:
    _cable(made.spaces, "outside", "eth0", "node", "eth0")
    made.inside("outside", lambda: _configure("eth0", OUTSIDE, 24, f"{REMOTE_POD}/32", {"10.96.0.0/16": NODE_IP, "10.244.1.0/24": NODE_IP, "203.0.113.0/24": NODE_IP}))
    made.inside("node", lambda: _bridge("cni0"))
    for name, address in (("pod", POD), ("pod-2", POD_2)):
        _cable(made.spaces, "node", name, name, "eth0", master="cni0")
        made.inside(name, lambda address=address: _configure("eth0", address, 24, "", {"0.0.0.0/0": "10.244.1.1"}))  # type: ignore[misc]
    made.inside("node", lambda: _configure("cni0", "10.244.1.1", 24, "", {}))
    made.inside("node", lambda: _configure("eth0", NODE_IP, 24, "", {"0.0.0.0/0": OUTSIDE}))
    made.inside("node", lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
    made.inside("node", lambda: [path.write_text("0") for path in Path("/proc/sys/net/ipv4/conf").glob("*/send_redirects")])


def _cable(spaces: dict[str, Path], one: str, name: str, other: str, peer: str, master: str = "") -> None:
    def make() -> None:
        with IPRoute() as ip, open(spaces[other]) as there:
            ip.link("add", ifname=name, kind="veth", peer={"ifname": peer, "net_ns_fd": there.fileno()})
            if master:
                index = ip.link_lookup(ifname=name)[0]
                ip.link("set", index=index, master=ip.link_lookup(ifname=master)[0], state="up")
                ip.brport("set", index=index, mode=1)  # hairpin, as the CNI configuration has it

    netns.inside(spaces[one], make)


def _bridge(name: str) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="bridge", br_forward_delay=0)


def _configure(name: str, address: str, length: int, second: str, routes: dict[str, str]) -> None:
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="lo")[0], state="up")
        index = ip.link_lookup(ifname=name)[0]
        ip.addr("add", index=index, address=address, prefixlen=length)
        ip.link("set", index=index, state="up")
        if second:
            ip.addr("add", index=index, address=second.partition("/")[0], prefixlen=32)
        for to, via in routes.items():
            ip.route("add", dst=to, gateway=via)
