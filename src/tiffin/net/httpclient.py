"""An HTTP/1.1 client: one `Pool` of keep-alive connections per origin, answers whose bodies stream.

Invariants:
* Redirects are answers like any other; nothing here follows them.
* A connection returns to the pool only after a complete answer; after anything odd it is closed.
* A request is sent again only when its method is safe and a *reused* connection died before the first byte of an answer.
* Heads are bounded by `MAX_HEAD` bytes; bodies are bounded by whoever reads them.
* After a 101 the connection belongs to the caller, bytes that came with the answer first.
"""
from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import NamedTuple, cast

import httptools

from tiffin.net.wire import ByteStream, Gate, Inbox, keep_alive

MAX_HEAD = 64 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODYLESS = frozenset({204, 304})


class Origin(NamedTuple):
    """Where requests go: `host` names the server (Host header, TLS name), `address` is dialled in its place when given."""

    host: str
    port: int = 80
    tls: ssl.SSLContext | None = None
    address: str = ""
    unix: str = ""
    """Path of a unix socket to dial instead."""
    server_name: str = ""
    """Name the certificate must bear, if not `host`."""
    common_name: str = ""
    """Common name its subject must have besides, where the address alone does not tell servers of one authority apart."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def _why(error: OSError, origin: Origin) -> str:
    """Why no connection came about, in the words of Go's net package, which users know."""
    place = f"dial unix {origin.unix}" if origin.unix else f"dial tcp {origin.address or origin.host}:{origin.port}"
    if isinstance(error, TimeoutError):
        return f"{place}: i/o timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return f"{place}: {error.strerror or error}"
    return f"{place}: connect: {os.strerror(error.errno).lower() if error.errno else error}"


def _common_names(transport: asyncio.BaseTransport) -> list[str]:
    """Those of the verified certificate on the other side."""
    certificate = transport.get_extra_info("peercert") or {}
    return [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]


class StaleConnectionError(ConnectionError):
    """A kept connection turned out dead before any byte of an answer came."""


class HttpProtocolError(ConnectionError):
    """The server sent something that is not HTTP/1.1, or a head beyond bounds."""


class IncompleteBodyError(ConnectionError):
    """The connection ended in the middle of a body."""


class BodyTooLargeError(ConnectionError):
    """A body is larger than its reader allows."""


class _Exchange(asyncio.Protocol):
    """The parser's side of one connection; `request` runs one exchange at a time."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.transport: asyncio.Transport
        self.inbox: Inbox
        self.reusable = False
        self.upgraded = False
        self._head: asyncio.Future[None] | None = None
        self._started = False
        self._complete = True
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's TLS transport does not derive from it
        self.inbox = Inbox(self.transport)
        keep_alive(transport)

    def start(self, method: str, head: bytes, body: bytes) -> asyncio.Future[None]:
        """Sends a request; the future is done when the head of its answer is in `status` and `header_list`."""
        self.parser = httptools.HttpResponseParser(self)
        self.parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)  # small servers in pods end lines so; RFC 9112, 2.2
        self.inbox = Inbox(self.transport)
        self.method, self.reusable, self._started, self._complete, self._in_body = method, False, False, False, False
        self._head = asyncio.get_running_loop().create_future()
        self._reset_head()
        self.transport.writelines([head, body] if body else [head])
        return self._head

    def _reset_head(self) -> None:
        self.status = 0
        self.header_list: list[tuple[str, str]] = []
        self._head_size = 0

    def data_received(self, data: bytes) -> None:
        if self.upgraded:
            self.inbox.feed(data)
            return
        if self._complete:
            self.reusable = False
            self.transport.close()  # nobody asked: not HTTP any more
            return
        self._started = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._become_stream(data[upgrade.args[0]:])
        except httptools.HttpParserError as error:
            self._fail(HttpProtocolError(f"malformed HTTP response: {error}"))

    def _become_stream(self, rest: bytes) -> None:
        self.upgraded = True
        if rest:
            self.inbox.feed(rest)
        assert self._head is not None
        if not self._head.done():
            self._head.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._complete, self.reusable = True, False
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        self.inbox.end(error)
        self.transport.abort()

    # ---- callbacks of the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            raise HttpProtocolError("the head of the response is too large")
        self.header_list.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status < 200:
            return
        self._in_body = True
        assert self._head is not None
        if not self._head.done():
            self._head.set_result(None)
        if self.method == "HEAD" and self.status not in BODYLESS:
            self._complete = True  # the parser waits for a body that never comes, so this connection is not kept
            self.inbox.end()

    def on_body(self, data: bytes) -> None:
        if not self._complete:
            self.inbox.feed(data)

    def on_message_complete(self) -> None:
        if not self._in_body:
            if self.status != 101:
                self._reset_head()  # an interim answer such as 100 Continue
            return
        if not self._complete:
            self.reusable, self._complete = self.parser.should_keep_alive(), True
            self.inbox.end()

    # ---- callbacks of the transport

    def eof_received(self) -> bool:
        if self.upgraded:
            self.inbox.end()
            return self.transport.can_write_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self.gate.lose()
        if self.upgraded:
            self.inbox.end(exc)
        elif not self._complete:
            self._complete = True
            if self._head is not None and not self._head.done():
                cause = HttpProtocolError("the connection ended within a response") if self._started else StaleConnectionError("the server closed the connection")
                self._head.set_exception(cause)
            else:
                self.inbox.end(None if self._ends_at_close() else IncompleteBodyError("the connection ended within a body"))

    def _ends_at_close(self) -> bool:
        return not any(name in ("content-length", "transfer-encoding") for name, _ in self.header_list)

    def pause_writing(self) -> None:
        self.gate.shut()

    def resume_writing(self) -> None:
        self.gate.open()


class Answer:
    """The answer to a request: the head at once, the body as it comes. Always `close()` it, or use `async with`."""

    def __init__(self, exchange: _Exchange, pool: Pool) -> None:
        self._exchange, self._pool = exchange, pool
        self.method, self.status = exchange.method, exchange.status
        self.header_list = exchange.header_list
        """Names in lower case, in the order sent."""
        self.headers: dict[str, str] = {}
        for name, value in self.header_list:
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    async def read(self, limit: int = 65536) -> bytes:
        """The next piece of the body, b"" at its end; raises ConnectionError when it ends early."""
        return await self._exchange.inbox.read(limit)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body piece by piece."""
        while data := await self.read():
            yield data

    async def body(self, limit: int) -> bytes:
        """The whole body; raises BodyTooLargeError past `limit` bytes."""
        pieces, size = [], 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.close()
                raise BodyTooLargeError(f"the response body is larger than {limit} bytes")
            pieces.append(data)
        return b"".join(pieces)

    def connection(self) -> ByteStream:
        """The connection after a 101: the caller's to close."""
        assert self._exchange.upgraded, "only after status 101"
        return ByteStream(self._exchange.transport, self._exchange.inbox, self._exchange.gate)

    def close(self) -> None:
        """Gives the connection back if the body was complete, otherwise closes it."""
        self._pool.release(self._exchange)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class Pool:
    """Connections to one origin. At most `limit` are open at once (further requests wait), `idle` are kept."""

    def __init__(self, origin: Origin, *, limit: int = 256, idle: int = 16, connect_timeout: float = 10) -> None:
        self.origin = origin
        self._idle: list[_Exchange] = []
        self._keep = idle
        self._slots = asyncio.Semaphore(limit)
        self._connect_timeout = connect_timeout
        self._busy: set[_Exchange] = set()
        self._closed = False

    async def request(self, method: str, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = (), body: bytes = b"", *, timeout: float | None = 60) -> Answer:
        """Sends a request and waits at most `timeout` seconds for the head of the answer.

        Host and Content-Length are added. Raises ConnectionError, TimeoutError or another OSError.
        """
        head = self._render(method, target, headers, body)
        async with asyncio.timeout(timeout):
            while True:
                exchange, reused = await self._take()
                try:
                    await exchange.start(method, head, body)
                except StaleConnectionError:
                    self.release(exchange)
                    if not reused or method not in SAFE_METHODS:
                        raise
                except BaseException:
                    self.release(exchange)
                    raise
                else:
                    return Answer(exchange, self)

    def _render(self, method: str, target: str, headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> bytes:
        items = headers.items() if isinstance(headers, Mapping) else headers
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.origin.authority}", *(f"{k}: {v}" for k, v in items)]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        if any("\r" in line or "\n" in line or "\0" in line for line in lines) or " " in target:
            raise ValueError("a line break, NUL or blank in a request line or header")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _take(self) -> tuple[_Exchange, bool]:
        if self._closed:
            raise ConnectionError("the connection pool is closed")
        await self._slots.acquire()
        while self._idle:
            exchange = self._idle.pop()
            if not exchange.transport.is_closing():
                self._busy.add(exchange)
                return exchange, True
        try:
            exchange = await self._connect()
            if self._closed:
                exchange.transport.abort()
                raise ConnectionError("the connection pool is closed")
        except BaseException:
            self._slots.release()
            raise
        self._busy.add(exchange)
        return exchange, False

    async def _connect(self) -> _Exchange:
        loop, origin = asyncio.get_running_loop(), self.origin
        try:
            async with asyncio.timeout(self._connect_timeout):
                if origin.unix:
                    return (await loop.create_unix_connection(_Exchange, origin.unix))[1]
                name = (origin.server_name or origin.host) if origin.tls else None
                host = origin.address or origin.host
                transport, exchange = await loop.create_connection(_Exchange, host, origin.port, ssl=origin.tls, server_hostname=name)
        except OSError as error:
            raise ConnectionError(_why(error, origin)) from error
        if origin.common_name and origin.common_name not in _common_names(transport):
            transport.abort()
            raise ConnectionError(f"tls: failed to verify certificate: it is not that of {origin.common_name}")
        return exchange

    def release(self, exchange: _Exchange) -> None:
        """Called once an answer is done with; later calls do nothing."""
        if exchange not in self._busy:
            return
        self._busy.remove(exchange)
        self._slots.release()
        if exchange.upgraded:
            return
        if exchange.reusable and not exchange.inbox.paused and not self._closed and len(self._idle) < self._keep and not exchange.transport.is_closing():
            self._idle.append(exchange)
        else:
            exchange.transport.close()

    def retire(self) -> None:
        """Takes no more requests; what is under way goes on."""
        self._closed = True
        for exchange in self._idle:
            exchange.transport.close()
        self._idle.clear()

    def close(self) -> None:
        """Closes every connection but those given away by an upgrade."""
        self._closed = True
        for exchange in [*self._idle, *(e for e in self._busy if not e.upgraded)]:
            exchange.transport.abort()
        self._idle.clear()
