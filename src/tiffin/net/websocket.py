"""WebSocket (RFC 6455) over an upgraded connection: the handshake's headers, then messages piece by piece.

Messages are not assembled: a piece is handed on as it comes, so no peer decides how much memory is used. Pings are answered
here. No extensions are negotiated. The frame format itself is wsproto's.
"""
from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from wsproto import events
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.utilities import LocalProtocolError

from tiffin.net.http import Connection, Request
from tiffin.net.wire import ByteStream

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
NORMAL = 1000
UNSUPPORTED = 1003
TOO_BIG = 1009
INTERNAL_ERROR = 1011


class HandshakeError(Exception):
    """A request for a WebSocket that cannot be granted; the answer is 400 with this text."""


class Piece(NamedTuple):
    """A part of a message: text or bytes; `final` on its last part."""

    data: bytes | str
    final: bool


def is_upgrade(request: Request) -> bool:
    """Whether the client asks for a WebSocket."""
    return "websocket" in request.headers.get("upgrade", "").lower() and "upgrade" in request.headers.get("connection", "").lower()


def _accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def offered(request: Request) -> list[str]:
    """The subprotocols the client offers, in its order."""
    return [p.strip() for p in request.headers.get("sec-websocket-protocol", "").split(",") if p.strip()]


def choose(request: Request, supported: Sequence[str]) -> str:
    """The first offered subprotocol that is supported, "" if none is offered; raises HandshakeError when none fits."""
    offers = offered(request)
    chosen = next((p for p in offers if p in supported), "")
    if offers and not chosen:
        raise HandshakeError(f"requested protocol(s) are not supported: [{' '.join(offers)}]; supports [{' '.join(supported)}]")
    return chosen


def answer_headers(request: Request, protocol: str) -> dict[str, str]:
    """The headers of the 101; raises HandshakeError."""
    key = request.headers.get("sec-websocket-key", "")
    try:
        valid = request.method == "GET" and request.headers.get("sec-websocket-version") == "13" and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise HandshakeError("not a valid WebSocket handshake: GET, Sec-WebSocket-Version 13 and a Sec-WebSocket-Key are required")
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": _accept_key(key)}
    return headers | ({"Sec-WebSocket-Protocol": protocol} if protocol else {})


def request_headers(protocols: Sequence[str]) -> dict[str, str]:
    """The headers with which a client asks for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    return headers | ({"Sec-WebSocket-Protocol": ", ".join(protocols)} if protocols else {})


class WebSocket:
    """One side of an open WebSocket. `receive` is for one task, `send` for any."""

    def __init__(self, connection: Connection | ByteStream, *, client: bool = False) -> None:
        self._connection = connection
        self._frames = Frames(ConnectionType.CLIENT if client else ConnectionType.SERVER)
        self._writing = asyncio.Lock()
        self._events = self._frames.events()

    async def receive(self) -> Piece | None:
        """The next piece of a message; None when the peer has closed or broken the connection."""
        while True:
            for event in self._events:
                match event:
                    case events.TextMessage() | events.BytesMessage():
                        if event.data or event.message_finished:
                            return Piece(event.data if isinstance(event.data, str) else bytes(event.data), event.message_finished)
                    case events.Ping():
                        self._put(event.response())
                    case events.CloseConnection():
                        self._put(event.response() if self._frames.state is ConnectionState.REMOTE_CLOSING else event)
                        return None
            try:
                data = await self._connection.read()
            except ConnectionError:
                return None
            if not data or self._frames.state is ConnectionState.CLOSED:
                return None
            self._frames.receive_data(data)
            self._events = self._frames.events()

    def _put(self, event: events.Event) -> None:
        try:
            self._connection.write(bytes(self._frames.send(event)))
        except LocalProtocolError:
            return  # closing already: what is said now has no listener

    def write(self, data: bytes | str) -> None:
        """Buffers one message; dropped when the connection is closing."""
        self._put(events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(data))

    async def drain(self) -> None:
        """Waits while the peer is slow; raises ConnectionError when it has gone."""
        async with self._writing:
            await self._connection.drain()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Says goodbye and closes the connection."""
        self._put(events.CloseConnection(code, reason))
        self._connection.close()


class MessageTunnel:
    """A `Connection` whose bytes travel in binary messages, as in the tunnelling of SPDY (KEP-4006)."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._rest = b""

    async def read(self, limit: int = 65536) -> bytes:
        while not self._rest:
            piece = await self._socket.receive()
            if piece is None:
                return b""
            if isinstance(piece.data, str):
                self._socket.close(UNSUPPORTED, "binary messages are required")
                return b""
            self._rest = piece.data
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    def write(self, data: bytes) -> None:
        self._socket.write(data)

    async def drain(self) -> None:
        await self._socket.drain()

    def close(self) -> None:
        self._socket.close()
