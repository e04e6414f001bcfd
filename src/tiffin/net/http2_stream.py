"""One request of an HTTP/2 connection and its answer; `http2.py` is the connection.

Bytes go out as the peer's window and the socket allow; what a streaming response writes meanwhile is kept, and counted in `buffered`, so
that the writer can see a slow peer as it does with HTTP/1.1.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from tiffin.net.http import Request, Response

logger = logging.getLogger(__name__)

HIGH_WATER = 1 << 20
NO_UPGRADE = Response(501, {"content-type": "text/plain; charset=utf-8"}, b"HTTP/2 connections cannot be upgraded")


class Carrier(Protocol):
    """What a stream needs of its connection."""

    @property
    def lost(self) -> bool: ...

    @property
    def clogged(self) -> bool: ...

    def head(self, number: int, response: Response, length: int | None, ends: bool) -> None: ...

    def room(self, number: int) -> int: ...

    def data(self, number: int, data: bytes, ends: bool) -> None: ...

    def cancel(self, number: int) -> None: ...

    def finished(self, number: int, answered: bool) -> None: ...

    def request(self, headers: list[tuple[str, str]], body: bytes) -> Request | None: ...

    async def handle(self, request: Request) -> Response: ...

    def refusal(self, status: int, reason: str) -> Response: ...


class Stream:
    """Receives one request, answers it. Also the `Writer` of a streaming response."""

    def __init__(self, carrier: Carrier, number: int, headers: list[tuple[str, str]], limit: int, receive_timeout: float, send_timeout: float) -> None:
        self._carrier, self._number, self._headers, self._limit, self._send_timeout = carrier, number, headers, limit, send_timeout
        self._body = bytearray()  # not a list: a byte to a frame must not take fifty bytes of memory
        self._size = 0
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._pending = bytearray()
        self._streaming = False
        self.task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(receive_timeout, self._too_slow)

    # the request

    def received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            self._body += data
        elif self.task is None:
            self._start(self._send_whole(self._carrier.refusal(413, f"Request entity too large: limit is {self._limit}"), ""))

    def complete(self) -> None:
        """The request is whole."""
        if self.task is not None:
            return
        request = self._carrier.request(self._headers, bytes(self._body))
        if request is None:
            self._start(self._send_whole(self._carrier.refusal(400, "400 Bad Request"), ""))
        else:
            self._start(self._answer(request))

    def _too_slow(self) -> None:
        self._carrier.cancel(self._number)
        self.end()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._timer.cancel()
        self.task = asyncio.get_running_loop().create_task(self._run(work))

    def end(self) -> None:
        """The peer has gone, or took the request back: nobody waits for the answer."""
        self._timer.cancel()
        self._gone.set()
        self._changed.set()
        self.stop_streaming()
        if self.task is None:
            self._carrier.finished(self._number, False)

    def stop_streaming(self) -> None:
        if self._streaming and self.task is not None:
            self.task.cancel()

    def wake(self) -> None:
        """The peer can take more, perhaps."""
        self._changed.set()

    # the answer

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectionError:
            logger.debug("stream %d ended before its answer was sent", self._number)
        except TimeoutError:
            self._carrier.cancel(self._number)
        finally:
            self._carrier.finished(self._number, not self._gone.is_set())

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._carrier.handle(request)
        except Exception:
            logger.exception("unhandled error: %s %s", request.method, request.raw_path)
            response = Response(500, {"content-type": "text/plain; charset=utf-8"}, b"Internal Server Error")
        if self.closed or response.upgrade is not None:
            if response.discard is not None:
                response.discard()
            if self.closed:
                return
            response = NO_UPGRADE
        if response.stream is None:
            await self._send_whole(response, request.method)
        else:
            await self._send_stream(response, request)

    async def _send_whole(self, response: Response, method: str) -> None:
        empty = method == "HEAD" or response.status in (204, 304) or not response.body
        self._carrier.head(self._number, response, len(response.body), empty)
        if not empty:
            async with asyncio.timeout(self._send_timeout):
                await self._send(response.body, ends=True)

    async def _send_stream(self, response: Response, request: Request) -> None:
        assert response.stream is not None
        self._carrier.head(self._number, response, None, request.method == "HEAD")
        if request.method == "HEAD":
            return
        self._streaming = True
        sender = asyncio.get_running_loop().create_task(self._send_pending())
        try:
            await response.stream(self)
            self._streaming = False
            await self._send_rest()
        except asyncio.CancelledError:
            if not self.closed:
                await self._send_rest()  # the server ends: what was sent is whole
            raise
        except ConnectionError:
            raise
        except Exception:
            logger.exception("stream broke: %s %s", request.method, request.raw_path)
            self._carrier.cancel(self._number)
        finally:
            sender.cancel()

    async def _send_pending(self) -> None:
        """Passes on what is written, as fast as the peer takes it."""
        while not self.closed:
            await self._passage()
            if room := min(self._carrier.room(self._number), len(self._pending)):
                self._carrier.data(self._number, bytes(self._pending[:room]), False)
                del self._pending[:room]
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _send_rest(self) -> None:
        rest = bytes(self._pending)
        self._pending.clear()
        async with asyncio.timeout(self._send_timeout):
            await self._send(rest, ends=True)

    async def _send(self, data: bytes, ends: bool) -> None:
        view, at = memoryview(data), 0
        while at < len(data):
            await self._passage()
            room = min(self._carrier.room(self._number), len(data) - at)
            if room <= 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            self._carrier.data(self._number, bytes(view[at:at + room]), ends and at + room == len(data))
            at += room
        if ends and not data and not self.closed:
            self._carrier.data(self._number, b"", True)

    async def _passage(self) -> None:
        """Returns when the socket takes more. Raises ConnectionResetError when the stream is gone."""
        while self._carrier.clogged and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        if self.closed:
            raise ConnectionResetError("the peer has gone")

    # Writer

    def write(self, data: bytes) -> None:
        if data and not self.closed:
            self._pending += data
            self._changed.set()

    async def drain(self) -> None:
        while len(self._pending) > HIGH_WATER and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        if self.closed:
            raise ConnectionResetError("the peer has gone")

    @property
    def closed(self) -> bool:
        return self._gone.is_set() or self._carrier.lost

    @property
    def buffered(self) -> int:
        return len(self._pending)

    async def wait_closed(self) -> None:
        await self._gone.wait()
