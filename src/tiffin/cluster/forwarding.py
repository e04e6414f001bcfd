"""Ports of this machine that hand what comes to a node: TCP connections byte by byte, UDP by client.

A forwarder that is closed takes nothing new; connections it has go on until they end, at most `DRAIN` seconds.
"""
from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address

from tiffin.cluster.balancing import Route, Slot

DRAIN, CONNECT, IDLE = 30.0, 3.0, 60.0
"""Seconds: for connections of a closed port, for a node to take a connection, for a UDP client to be forgotten."""
MAX_CLIENTS, MAX_CONNECTIONS = 4096, 4096
"""Of one UDP port and of one TCP port: those who come must not take every file descriptor of the API server's process."""
CHUNK = 1 << 16
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """A port that could not be opened; `error` is what the system said."""

    def __init__(self, slot: Slot, address: str, error: OSError) -> None:
        super().__init__(f"{address} port {slot}: {error}")
        self.slot, self.address, self.error = slot, address, error


def open_sockets(slot: Slot, addresses: Iterable[str]) -> list[socket.socket]:
    """Bound sockets, one for each address this machine has. Raises `Unavailable`, and leaves none open then."""
    opened: list[socket.socket] = []
    missing: tuple[str, OSError] | None = None
    for address in addresses:
        try:
            opened.append(_bound(slot, address))
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS:  # no IPv6 here, say
                missing = address, error
                continue
            for each in opened:
                each.close()
            raise Unavailable(slot, address, error) from error
    if not opened and missing:
        raise Unavailable(slot, *missing) from missing[1]
    return opened


def _bound(slot: Slot, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    each = socket.socket(family, socket.SOCK_STREAM if slot.protocol == "TCP" else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if slot.protocol == "TCP":
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setblocking(False)
        each.bind((address, slot.port))
        if slot.protocol == "TCP":
            each.listen(256)
    except OSError:
        each.close()
        raise
    return each


class Chooser:
    """The nodes for the next connection, in the order to be tried. `route` may be replaced at any time."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._next = 0

    def admits(self, client: str) -> bool:
        address = ip_address(client.partition("%")[0])
        return not self.route.sources or any(address in network for network in self.route.sources)

    def nodes(self, client: str) -> Sequence[str]:
        nodes = self.route.nodes
        if not nodes:
            return ()
        self._next += 1
        start = (sum(client.encode()) if self.route.sticky else self._next) % len(nodes)
        return nodes[start:] + nodes[:start]


class TcpForwarder:
    """One TCP port."""

    def __init__(self, slot: Slot, chooser: Chooser) -> None:
        self._slot, self._chooser = slot, chooser
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        for each in sockets:
            self._servers.append(await asyncio.start_server(self._accept, sock=each))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._running.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        if len(self._running) > MAX_CONNECTIONS or not self._chooser.admits(client):
            writer.transport.abort()
            return
        for node in self._chooser.nodes(client):
            try:
                there = await asyncio.wait_for(asyncio.open_connection(node, self._slot.port), CONNECT)
            except (OSError, TimeoutError):
                continue
            await _join(reader, writer, *there)
            return
        writer.transport.abort()  # as if nobody listened

    def close(self) -> None:
        for server in self._servers:
            server.close()
        if self._running:
            asyncio.get_running_loop().call_later(DRAIN, self.abort)

    def abort(self) -> None:
        for task in self._running:
            task.cancel()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far_reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter) -> None:
    """Both directions, each until its own end, as half-closed connections are ordinary."""
    ways = [asyncio.ensure_future(_copy(reader, far_writer)), asyncio.ensure_future(_copy(far_reader, writer))]
    try:
        await asyncio.gather(*ways)
    except OSError:
        writer.transport.abort()  # a reset of one side is a reset for the other
        far_writer.transport.abort()
    finally:
        for way in ways:
            way.cancel()
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class UdpForwarder:
    """One UDP port: every client gets a socket of its own towards its node, so that answers find back."""

    def __init__(self, slot: Slot, chooser: Chooser) -> None:
        self._slot, self._chooser = slot, chooser
        self._ports: list[asyncio.DatagramTransport] = []

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        for each in sockets:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _UdpPort(self._slot, self._chooser), sock=each)
            self._ports.append(transport)

    def close(self) -> None:
        for transport in self._ports:
            transport.close()

    abort = close


class _UdpPort(asyncio.DatagramProtocol):
    """A bound socket and the clients it heard of; the one silent for longest is forgotten for a new one."""

    def __init__(self, slot: Slot, chooser: Chooser) -> None:
        self._slot, self._chooser = slot, chooser
        self._clients: dict[tuple[str, int], _UdpClient] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport) or hasattr(transport, "sendto")
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        client = self._clients.pop(address, None)
        if client is not None and client.node not in self._chooser.route.nodes:
            client.close()
            client = None
        client = client or self._new(address)
        if client is not None:
            self._clients[address] = client  # now the youngest
            client.forward(data)

    def _new(self, address: tuple[str, int]) -> _UdpClient | None:
        nodes = self._chooser.nodes(address[0]) if self._chooser.admits(address[0]) else ()
        if not nodes:
            return None
        if len(self._clients) >= MAX_CLIENTS:
            self._clients[next(iter(self._clients))].close()
        return _UdpClient((nodes[0], self._slot.port), lambda data: self.transport.sendto(data, address), lambda: self._clients.pop(address, None))

    def connection_lost(self, error: Exception | None) -> None:
        for client in list(self._clients.values()):
            client.close()


class _UdpClient(asyncio.DatagramProtocol):
    """One client's way to a node, forgotten after `IDLE` seconds without a datagram from either side."""

    def __init__(self, node: tuple[str, int], answer: Callable[[bytes], None], forget: Callable[[], object]) -> None:
        self.node = node[0]
        self._answer, self._forget = answer, forget
        self._waiting: list[bytes] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(IDLE, self._look)
        self._opening = self._loop.create_task(self._open(node))

    async def _open(self, node: tuple[str, int]) -> None:
        try:
            self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, remote_addr=node)
        except OSError as error:
            log.debug("no way to %s: %s", node, error)
            self.close()
            return
        for data in self._waiting:
            self._transport.sendto(data)
        self._waiting.clear()

    def forward(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._transport is not None:
            self._transport.sendto(data)
        elif len(self._waiting) < 16:
            self._waiting.append(data)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._heard = self._loop.time()
        self._answer(data)

    def error_received(self, error: Exception) -> None:
        """Nobody listens at that node; the next datagram tries another."""
        self.close()

    def _look(self) -> None:
        rest = self._heard + IDLE - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._look)
        else:
            self.close()

    def close(self) -> None:
        self._timer.cancel()
        self._opening.cancel()
        self._forget()
        if self._transport is not None:
            self._transport.close()
