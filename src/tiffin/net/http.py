"""HTTP as values: the request a handler receives and the answer it gives. IO is in `server.py` and what it names.

A handler is one callable, `async (Request) -> Response`; filters wrap handlers. A response is a whole body, a stream written
by a coroutine (watch, logs), or a takeover of the connection (exec, port-forward) that begins only after the handler said so.
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl


@dataclass(slots=True)
class Request:
    """One request with its whole body. Header names are lower case; a header sent several times is joined with ", "."""

    method: str
    target: str
    """As sent: the path still percent-encoded, with its query."""
    headers: dict[str, str]
    body: bytes = b""
    peer: str = ""
    """Address of the other side, without the port."""
    peer_certificate: bytes | None = None
    """DER of the client certificate, verified against the client CA by TLS."""
    context: dict[str, Any] = field(default_factory=dict)
    """What filters learned: user, audit id, request info."""

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)


class Writer(Protocol):
    """Where a streaming response goes. `write` only buffers; `drain` waits while the peer is slow; `closed` tells it left."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    @property
    def closed(self) -> bool: ...

    @property
    def buffered(self) -> int:
        """Bytes not yet taken by the peer."""
        ...

    async def wait_closed(self) -> None:
        """Returns when the peer has gone."""
        ...


class Connection(Protocol):
    """A connection after an upgrade: bytes both ways. `read` gives b"" at the end of the peer's side."""

    async def read(self, limit: int = 65536) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def close(self) -> None: ...


Headers = Mapping[str, str]


@dataclass(slots=True)
class Response:
    """An answer: `body`, or `stream` for one of unknown length (sent chunked), or `upgrade`.

    With `upgrade` the server sends status line and headers as they stand (101) and then gives the connection away; bytes the
    client sent early are the first that `Connection.read` returns. The connection is closed when `upgrade` returns.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[Writer], Awaitable[None]] | None = None
    upgrade: Callable[[Connection], Awaitable[None]] | None = None
    repeated_headers: tuple[tuple[str, str], ...] = ()
    """Headers that occur more than once, such as Warning."""
    discard: Callable[[], None] | None = None
    """Called in place of `stream` or `upgrade` when the client has left before its answer: frees what was held for it."""


Handler = Callable[[Request], Awaitable[Response]]
