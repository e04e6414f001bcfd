"""Byte streams with back-pressure over asyncio transports: what an HTTP connection turns into after an upgrade.

Rules: the transport is paused while more than `HIGH` bytes wait to be read and resumed below `LOW`; `drain` waits while
the peer is slow. A lost connection shows as the end of the stream to a reader and as ConnectionError to a writer.
"""
from __future__ import annotations

import asyncio
import socket
from collections import deque

from tiffin.net.http import Connection

HIGH = 256 * 1024
LOW = 64 * 1024


class Inbox:
    """Received chunks waiting for one reader; pauses the transport that fills it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH and not self._paused:
            self._paused = True
            if not self._transport.is_closing():
                self._transport.pause_reading()
        self._notify()

    def end(self, error: Exception | None = None) -> None:
        """No more will come; a reader that has taken what there is sees the end, or `error`."""
        if not self._ended:
            self._ended, self._error = True, error
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    @property
    def paused(self) -> bool:
        """Whether so much waits to be read that the transport was told to stop."""
        return self._paused

    async def read(self, limit: int = 65536) -> bytes:
        """Up to `limit` bytes as soon as there are any; b"" at the end."""
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        chunk = self._chunks.popleft()
        if len(chunk) > limit:
            self._chunks.appendleft(chunk[limit:])
            chunk = chunk[:limit]
        self._size -= len(chunk)
        if self._paused and self._size < LOW:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return chunk


class Gate:
    """Whether writing may go on: closed between `pause_writing` and `resume_writing`."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._shut = False
        self.lost = False

    def shut(self) -> None:
        self._shut = True

    def open(self) -> None:
        self._shut = False
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def lose(self) -> None:
        """The connection is gone; whoever waits or comes later gets ConnectionResetError."""
        self.lost = True
        self.open()

    async def passage(self) -> None:
        while self._shut and not self.lost:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self.lost:
            raise ConnectionResetError("the connection is closed")


class ByteStream:
    """A `Connection` over a transport, with half-close where the transport has it (not over TLS)."""

    def __init__(self, transport: asyncio.Transport, inbox: Inbox, gate: Gate) -> None:
        self._transport, self._inbox, self._gate = transport, inbox, gate

    async def read(self, limit: int = 65536) -> bytes:
        return await self._inbox.read(limit)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    @property
    def can_half_close(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        """Ends our direction; does nothing where the transport cannot do so."""
        if self.can_half_close and not self._transport.is_closing():
            self._transport.write_eof()

    async def drain(self) -> None:
        await self._gate.passage()

    def close(self) -> None:
        self._transport.close()
        self._inbox.end()

    def abort(self) -> None:
        """Closes without sending what is buffered."""
        self._transport.abort()
        self._inbox.end()


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Lets the kernel find out within some 45 s that a silent peer is gone, without waking this process while it is there."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # not every system can be told
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def copy(source: Connection, target: Connection) -> None:
    """Bytes from `source` to `target` until the source ends; raises what either side raises."""
    while data := await source.read():
        target.write(data)
        await target.drain()


async def tunnel(a: Connection, b: Connection) -> None:
    """Joins two connections until either side ends, then closes both. A reset of either is an ordinary end."""
    tasks = [asyncio.ensure_future(copy(a, b)), asyncio.ensure_future(copy(b, a))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, OSError):
                raise error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        a.close()
        b.close()
