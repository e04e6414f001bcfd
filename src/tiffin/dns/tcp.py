"""Questions and answers over TCP, each behind its length in two bytes. RFC 7766.

Questions may follow one another without waiting; answers come as they are found, in any order. A connection that says nothing, or takes
no answers, for `IDLE` seconds is closed; one with too many open questions is not read until some are answered; there are so many
connections in all and so many of one asker.
"""
from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import cast

from tiffin.dns.metrics import Metrics
from tiffin.dns.service import Service
from tiffin.dns.sources import Sources
from tiffin.runtime.clock import Clock, Timer

log = logging.getLogger(__name__)

IDLE = 10.0
CONNECTIONS, OF_ONE = 256, 32
OPEN_QUESTIONS = 64
BURST = 64
"""Questions taken from one connection before others have their turn."""


class TcpServer:
    """What the connections of one listening socket share. A call makes a connection's protocol."""

    def __init__(self, service: Service, sources: Sources, metrics: Metrics, clock: Clock) -> None:
        self.service, self.sources, self.metrics, self.clock = service, sources, metrics, clock
        self.connections: Counter[str] = Counter()
        self._open: set[TcpConnection] = set()

    def __call__(self) -> asyncio.Protocol:
        return TcpConnection(self)

    def enter(self, connection: TcpConnection, source: str) -> bool:
        """Whether the connection may stay."""
        if not self.sources.allowed(source):
            self.metrics.dropped["source"] += 1
            return False
        if len(self._open) >= CONNECTIONS or self.connections[source] >= OF_ONE:
            self.metrics.dropped["overload"] += 1
            return False
        self._open.add(connection)
        self.connections[source] += 1
        return True

    def leave(self, connection: TcpConnection, source: str) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self.connections[source] -= 1
            if not self.connections[source]:
                del self.connections[source]

    def close(self) -> None:
        for connection in list(self._open):
            connection.abort()


class TcpConnection(asyncio.Protocol):
    def __init__(self, server: TcpServer) -> None:
        self._server = server
        self._source = ""
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._questions = 0
        self._reading, self._writable = True, True
        self._timer: Timer | None = None
        self._more: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by birth
        name = transport.get_extra_info("peername")
        self._source = name[0] if name else ""
        if not name or not self._server.enter(self, self._source):
            self._transport.abort()
            return
        self._alive()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._alive()
        self._take_questions()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.leave(self, self._source)
        if self._timer:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._writable = False
        self._read_or_wait()

    def resume_writing(self) -> None:
        self._writable = True
        self._alive()
        self._take_questions()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def _take_questions(self) -> None:
        """Those that are complete, as long as there is room for their answers."""
        if self._more:
            self._more.cancel()
            self._more = None
        for _ in range(BURST):
            if not (self._writable and self._questions < OPEN_QUESTIONS and self._transport and len(self._received) >= 2):
                break
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                break
            data = bytes(self._received[2:end])
            del self._received[:end]
            self._take(data)
        else:
            self._take_more_soon()
        self._read_or_wait()

    def _take_more_soon(self) -> None:
        if self._more is None:
            self._more = asyncio.get_running_loop().call_soon(self._take_questions)

    def _take(self, data: bytes) -> None:
        self._questions += 1
        before = self._questions
        try:
            later = self._server.service.handle(data, self._source, stream=True, send=self._answer)
        except Exception:
            # A fault of ours with one question costs its connection, not the others'.
            log.exception("the question %s of %s was not answered", data.hex(), self._source)
            self.abort()
            return
        if not later and self._questions == before:  # it had no answer
            self._questions -= 1

    def _answer(self, answer: bytes) -> None:
        self._questions -= 1
        if self._transport:
            self._transport.write(len(answer).to_bytes(2, "big") + answer)
            self._alive()
            if not self._reading:
                self._take_more_soon()

    def _read_or_wait(self) -> None:
        wanted = self._writable and self._questions < OPEN_QUESTIONS
        if self._transport and not self._transport.is_closing() and wanted != self._reading:
            self._reading = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def _alive(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._server.clock.call_later(IDLE, self.abort)
