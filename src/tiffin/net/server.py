"""The HTTP server: it accepts connections, and hands their `Request`s to one handler. `http1.py` and `http2.py` are one connection each.

Rules
* Requests of one connection are answered one after the other; a few may be read ahead, then reading pauses.
* Everything a peer can make grow is bounded: header bytes, body bytes, connections in all and per peer, the time to send
  headers and body and to take an answer. What goes beyond is answered once, after the requests before it, and the connection
  is closed; what still comes in meanwhile is read and dropped, for a close with bytes unread would take the answer with it.
* An upgrade begins only when the handler's response asks for it; a refused upgrade closes the connection.
* A handler never sees the transport, and an exception that leaves it is answered with a plain 500 and logged.
"""
from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tiffin.net.http import Handler, Response
from tiffin.net.http1 import Http1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server accepts. Sizes in bytes, times in seconds."""

    headers: int = 64 << 10
    body: int = 3 << 20
    receive_timeout: float = 30.0
    idle_timeout: float = 240.0
    send_timeout: float = 120.0
    """For a whole answer to be taken; streams have no such limit."""
    connections: int = 10_000
    connections_per_peer: int = 5_000
    read_ahead: int = 8


Refusal = Callable[[int, str], Response]
"""Words the answer to what cannot become a request, from its status and the reason."""


def plain_refusal(status: int, reason: str) -> Response:
    return Response(status, {"Content-Type": "text/plain; charset=utf-8"}, reason.encode())


class Server:
    """Accepts connections for one handler. `start` listens, `stop` finishes what is under way and closes the rest."""

    def __init__(self, handler: Handler, limits: Limits | None = None, refusal: Refusal = plain_refusal) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.refusal = refusal
        self.connections: set[Served] = set()
        self.by_peer: Counter[str] = Counter()
        self.stopping = False
        self._listeners: list[asyncio.Server] = []

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listens on one more address; gives the port, which matters where `port` is 0."""
        loop = asyncio.get_running_loop()
        handshake = 15.0 if tls else None
        listener = await loop.create_server(lambda: Http1(self), host, port, ssl=tls, backlog=1024, ssl_handshake_timeout=handshake)
        self._listeners.append(listener)
        return listener.sockets[0].getsockname()[1]

    async def stop(self, grace: float = 2.0) -> None:
        """Stops accepting, lets running requests finish for `grace` seconds, ends the streams, closes every connection."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.close_when_idle()
        tasks = [task for connection in self.connections for task in connection.tasks]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        for connection in list(self.connections):
            connection.abort()

    def forget(self, connection: Served, peer: str) -> None:
        """A connection that has ended."""
        self.connections.discard(connection)
        self.by_peer[peer] -= 1
        if not self.by_peer[peer]:
            del self.by_peer[peer]


class Served(Protocol):
    """A connection as the server sees it, whatever version of HTTP it speaks."""

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """What is being answered."""
        ...

    def close_when_idle(self) -> None:
        """For shutdown: ends the connection after what is being answered, and streams at once."""
        ...

    def abort(self) -> None: ...
