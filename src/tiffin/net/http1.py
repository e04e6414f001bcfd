"""One connection of HTTP/1.1: bytes in, `Request`s to the server's handler, `Response`s out. `server.py` has the rules."""
from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from tiffin.net.deadline import Deadline
from tiffin.net.http import Request, Response
from tiffin.net.wire import keep_alive

if TYPE_CHECKING:
    from tiffin.net.server import Server

logger = logging.getLogger(__name__)

HIGH_WATER = 1 << 20
"""Bytes buffered for a slow peer before `drain` waits."""
READ_SIZE = 256 << 10
"""The most that the transport hands over at once."""
PIECES = 64
"""So many pieces of a body are kept as they come, the rest as one."""
LINGER = 1.0
"""Seconds a refused peer is listened to, so that it can read why."""

_STATUS_LINE = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Http1(asyncio.Protocol):
    """One connection. Also the `Writer` of a streaming response and the `Connection` after an upgrade."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport
        self.peer = ""
        self._certificate: bytes | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._deadline = Deadline(self.abort)
        self._paused_reading = False
        self._refusal: Response | None = None
        self._lost = False
        self._lost_waiters: list[asyncio.Future[None]] = []
        self._drain_waiter: asyncio.Future[None] | None = None
        self._write_paused = False
        self._chunked = False
        self._upgraded: asyncio.StreamReader | None = None
        self._upgrade_requested = False
        self._early = b""
        self._receiving = False
        self._receipt_limited = True
        self._reset_message()

    def _reset_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._headers_complete = False
        self._body: list[bytes | bytearray] = []
        self._header_bytes = 0
        self._unparsed = 0
        self._body_bytes = 0

    # the transport speaks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport does not derive from it
        transport = self.transport
        address = transport.get_extra_info("peername")
        self.peer = address[0] if isinstance(address, tuple) else ""
        limits, server = self.server.limits, self.server
        server.connections.add(self)
        server.by_peer[self.peer] += 1
        if server.stopping or len(server.connections) > limits.connections or server.by_peer[self.peer] > limits.connections_per_peer:
            transport.abort()
            return
        transport.set_write_buffer_limits(HIGH_WATER)
        keep_alive(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(True)
            if tls.selected_alpn_protocol() == "h2":
                self._become_http2()
                return
        self._deadline.set(limits.receive_timeout)

    def _become_http2(self) -> None:
        """The client speaks nothing else."""
        from tiffin.net.http2 import Http2

        successor = Http2(self.server, self.peer, self._certificate)
        self.server.connections.discard(self)
        self.server.connections.add(successor)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        return [self.task] if self.task is not None else []

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self.server.forget(self, self.peer)
        self._deadline.close()
        if self._upgraded is not None:
            self._upgraded.feed_eof()
        for waiter in (self._wake, self._drain_waiter, *self._lost_waiters):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.feed_data(data)
            return
        if self._upgrade_requested:
            self._early += data
            if len(self._early) > HIGH_WATER:
                self.abort()
            return
        if self._refusal is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._early = data[upgrade.args[0]:]
        except httptools.HttpParserCallbackError:
            pass  # one of our callbacks refused the message and has said why
        except httptools.HttpParserError:
            self._refuse(400, "400 Bad Request")
        else:
            if self._receiving:
                self._watch_receipt(len(data))

    def _watch_receipt(self, size: int) -> None:
        """A message is there in part: limits its time, and the size of a header that the parser still gathers."""
        limits = self.server.limits
        if not self._receipt_limited:
            self._receipt_limited = True
            self._deadline.set(limits.receive_timeout)
        if not self._headers_complete:
            self._unparsed += size
            if self._unparsed > limits.headers + READ_SIZE:
                self._refuse_headers()

    def eof_received(self) -> bool:
        if self._upgraded is not None:
            self._upgraded.feed_eof()
            return not self.transport.get_extra_info("ssl_object")
        return False

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # the parser speaks

    def on_message_begin(self) -> None:
        self._reset_message()
        self._receiving = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        if self._headers_complete:
            return  # a trailer: counted, and of no meaning
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "surrogateescape")
        present = self._headers.get(key)
        self._headers[key] = text if present is None else f"{present}, {text}"

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.server.limits.headers:
            self._refuse_headers()
            raise ValueError("headers too large")

    def on_headers_complete(self) -> None:
        self._headers_complete = True
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.server.limits.body:
            self._refuse_body()
            raise ValueError("body too large")
        if self._headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self.server.limits.body:
            self._refuse_body()
            raise ValueError("body too large")
        if len(self._body) < PIECES:
            self._body.append(data)
        else:  # or a body in pieces of two bytes would take twenty times its size
            last = self._body[-1]
            if not isinstance(last, bytearray):
                last = self._body[-1] = bytearray(last)
            last += data

    def on_message_complete(self) -> None:
        parser = self._parser
        self._receiving = self._receipt_limited = False
        self._deadline.clear()
        self._upgrade_requested = parser.should_upgrade()
        request = Request(
            parser.get_method().decode("latin-1"), self._target.decode("latin-1"), self._headers,
            bytes(self._body[0]) if len(self._body) == 1 else b"".join(self._body), self.peer, self._certificate)
        self._queue.append((request, parser.should_keep_alive() and not self._upgrade_requested))
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._serve())
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        if len(self._queue) > self.server.limits.read_ahead and not self._paused_reading:
            self._paused_reading = True
            self.transport.pause_reading()

    def _refuse_headers(self) -> None:
        self._refuse(431, "431 Request Header Fields Too Large")

    def _refuse_body(self) -> None:
        self._refuse(413, f"Request entity too large: limit is {self.server.limits.body}")

    def _refuse(self, status: int, reason: str) -> None:
        """Nothing more is taken from this peer; it is told so after the answers to its earlier requests."""
        self._refusal = self.server.refusal(status, reason)
        self._resume_reading()
        if self.task is None:
            self._send_refusal(self._refusal)
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _send_refusal(self, refusal: Response) -> None:
        self._send(Request("GET", "/", {}), refusal, False)
        self._deadline.set(LINGER)
        if self.transport.can_write_eof() and not self.transport.is_closing():
            with suppress(OSError):  # the peer has gone already, as `connection_lost` will say
                self.transport.write_eof()

    # answering

    async def _serve(self) -> None:
        """Answers this connection's requests until it ends."""
        try:
            while not self._lost:
                if self._queue:
                    request, keep_alive = self._queue.popleft()
                    if len(self._queue) <= self.server.limits.read_ahead // 2:
                        self._resume_reading()
                    if not await self._answer(request, keep_alive):
                        break
                elif self._refusal is not None:
                    self._send_refusal(self._refusal)
                    return
                elif self.server.stopping:
                    break
                else:
                    await self._next_request()
        except BaseException:
            self.transport.close()
            raise
        if not self._lost:
            self.transport.close()

    async def _next_request(self) -> None:
        if not self._receiving:
            self._deadline.set(self.server.limits.idle_timeout)
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake
        self._wake = None

    def _resume_reading(self) -> None:
        if self._paused_reading:
            self._paused_reading = False
            self.transport.resume_reading()

    async def _answer(self, request: Request, keep_alive: bool) -> bool:
        """Handles one request; gives whether the connection may be used again."""
        try:
            response = await self.server.handler(request)
        except Exception:
            logger.exception("unhandled error: %s %s", request.method, request.raw_path)
            response = Response(500, {"Content-Type": "text/plain; charset=utf-8"}, b"Internal Server Error")
        if self._lost:
            if response.discard is not None:
                response.discard()
            return False
        if response.upgrade is not None:
            await self._upgrade(response)
            return False
        keep_alive = keep_alive and not self.server.stopping
        if response.stream is None:
            self._send(request, response, keep_alive)
            if self._write_paused:
                await self._taken()
            return keep_alive
        return await self._stream(request, response, keep_alive)

    async def _taken(self) -> None:
        """Waits for a slow peer to take a large answer, within the limit."""
        self._deadline.set(self.server.limits.send_timeout)
        try:
            await self.drain()
        except ConnectionError:
            return  # it left, and the caller looks for that
        self._deadline.clear()

    def _head(self, response: Response, extra: bytes) -> bytes:
        lines = [_STATUS_LINE.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status]
        lines += [f"{name}: {value}\r\n".encode("utf-8", "surrogateescape") for name, value in response.headers.items()]
        lines += [f"{name}: {value}\r\n".encode() for name, value in response.repeated_headers]
        lines.append(extra)
        return b"".join(lines)

    def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        connection = b"" if keep_alive else b"Connection: close\r\n"
        head = self._head(response, b"Content-Length: %d\r\n%b\r\n" % (len(response.body), connection))
        if request.method == "HEAD" or response.status in (204, 304):
            self.transport.write(head)
        elif len(response.body) < 32768:
            self.transport.write(head + response.body)
        else:
            self.transport.write(head)
            self.transport.write(response.body)

    async def _stream(self, request: Request, response: Response, keep_alive: bool) -> bool:
        assert response.stream is not None
        self.transport.write(self._head(response, b"Transfer-Encoding: chunked\r\n\r\n"))
        if request.method == "HEAD":
            return False
        self._chunked = True
        try:
            await response.stream(self)
        except ConnectionError:
            return False
        except asyncio.CancelledError:
            self.transport.write(b"0\r\n\r\n")  # the server ends: what was sent is whole
            raise
        except Exception:
            logger.exception("stream broke: %s %s", request.method, request.raw_path)
            self.abort()
            return False
        finally:
            self._chunked = False
        if not self._lost:
            self.transport.write(b"0\r\n\r\n")
        return keep_alive and not self.server.stopping

    async def _upgrade(self, response: Response) -> None:
        assert response.upgrade is not None
        self.transport.write(self._head(response, b"\r\n"))
        self._upgraded = asyncio.StreamReader(limit=HIGH_WATER)
        self._upgraded.set_transport(self.transport)
        if self._early:
            self._upgraded.feed_data(self._early)
        try:
            await response.upgrade(self)
        except (ConnectionError, asyncio.IncompleteReadError):
            logger.debug("upgraded connection of %s ended", self.peer)
        except Exception:
            logger.exception("upgraded connection broke")
        self.transport.close()

    # Writer and Connection

    def write(self, data: bytes) -> None:
        if self._lost or not data or self.transport.is_closing():
            return
        if self._chunked:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self.transport.write(data)

    async def drain(self) -> None:
        if self._write_paused and not self._lost:
            self._drain_waiter = asyncio.get_running_loop().create_future()
            await self._drain_waiter
            self._drain_waiter = None
        if self._lost:
            raise ConnectionResetError("the peer has gone")

    @property
    def closed(self) -> bool:
        return self._lost

    @property
    def buffered(self) -> int:
        return self.transport.get_write_buffer_size()

    async def wait_closed(self) -> None:
        if not self._lost:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._lost_waiters.append(waiter)
            try:
                await waiter
            finally:
                self._lost_waiters.remove(waiter)

    async def read(self, limit: int = 65536) -> bytes:
        assert self._upgraded is not None
        return await self._upgraded.read(limit)

    def close(self) -> None:
        self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def close_when_idle(self) -> None:
        """For shutdown: ends the connection after the request that is being answered, at once if there is none."""
        if self.task is None:
            self.transport.close()
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        elif self._chunked or self._upgraded is not None:
            self.task.cancel()
