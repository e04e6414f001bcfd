"""HTTP/2 for clients that offer nothing else: streams of one connection become the same `Request`s and `Response`s as HTTP/1.1.

The protocol itself is the `h2` library's, loaded with the first such client. Rules beside those of `server.py`
* Streams are answered side by side, at most `STREAMS` at once; each has its own task and is limited like a request of HTTP/1.1.
* A client that keeps opening streams and taking them back, or making us do so, is sent away (CVE-2023-44487, CVE-2025-8671): what it took
  back cost us work. So is one that goes on sending what asks for nothing: pings, settings, empty data (CVE-2019-9512, 9515, 9518).
* A request line is held to what HTTP/1.1 could carry, for it may be passed on in that form.
* Who takes no answers is asked no more questions: reading pauses while the socket is full.
* There is no upgrade within HTTP/2; a handler that wants one is told that the client cannot.
Source: RFC 9113.
"""
from __future__ import annotations

import asyncio
import logging
import re
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tiffin.net.deadline import Deadline
from tiffin.net.http import Request, Response
from tiffin.net.http2_stream import Stream

if TYPE_CHECKING:
    from tiffin.net.server import Server

logger = logging.getLogger(__name__)

STREAMS = 100
RESETS = 200
"""Streams a client may take back before it is sent away; one that is answered makes up for one taken back."""
NOISE, NOISE_SECONDS = 2000, 10.0
"""Frames that ask for nothing a client may send in this time; keep-alive pings come every few seconds."""
HIGH_WATER = 1 << 20
WINDOW = 1 << 20
FORBIDDEN = frozenset(("connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"))
"""Headers that HTTP/2 does not have; RFC 9113, 8.2.2."""
METHOD = re.compile(r"[A-Z]{1,32}")
TARGET = re.compile(r"/[^\x00-\x20\x7f]*|\*")


class Http2(asyncio.Protocol):
    """One connection of HTTP/2; the `Carrier` of its streams."""

    def __init__(self, server: Server, peer: str, certificate: bytes | None) -> None:
        self._server, self._peer, self._certificate = server, peer, certificate
        self._transport: asyncio.Transport
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, Stream] = {}
        self._deadline = Deadline(self.abort)
        self._resets = 0
        self._noise, self._noise_since = 0, 0.0
        self._lost = False
        self.clogged = False

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What is being answered."""
        return [stream.task for stream in self._streams.values() if stream.task is not None]

    # the transport speaks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        limits = self._server.limits
        self._h2.local_settings = Settings(client=False, initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS, SettingCodes.MAX_HEADER_LIST_SIZE: limits.headers,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
        })
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self._flush()
        self._deadline.set(limits.receive_timeout)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._server.forget(self, self._peer)
        self._deadline.close()
        for stream in list(self._streams.values()):
            stream.end()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                if self.lost:
                    return
                self._happened(event)
        except ProtocolError as error:
            logger.debug("%s broke the protocol: %s", self._peer, error)
            self._leave()  # h2 has put the reason into a GOAWAY
        self._flush()

    def pause_writing(self) -> None:
        self.clogged = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.clogged = False
        self._transport.resume_reading()
        self._wake_all()

    # the protocol speaks

    def _happened(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._begin(event)
            case DataReceived():
                if not event.data:
                    self._hear_noise()
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if stream := self._streams.get(event.stream_id):
                    stream.received(event.data)
            case StreamEnded():
                if stream := self._streams.get(event.stream_id):
                    stream.complete()
            case StreamReset():
                self._taken_back(event.stream_id)
            case WindowUpdated(stream_id=0):
                self._wake_all()
            case WindowUpdated():
                if stream := self._streams.get(event.stream_id or 0):
                    stream.wake()
            case RemoteSettingsChanged():
                self._wake_all()
                self._hear_noise()
            case PingReceived() | PriorityUpdated():
                self._hear_noise()
            case ConnectionTerminated():
                self._leave()

    def _begin(self, event: RequestReceived) -> None:
        if self._server.stopping:
            self._h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._deadline.clear()
        limits = self._server.limits
        headers = [(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in cast("list[tuple[bytes, bytes]]", event.headers)]
        self._streams[event.stream_id] = Stream(self, event.stream_id, headers, limits.body, limits.receive_timeout, limits.send_timeout)

    def _taken_back(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.end()
        self._resets += 1
        if self._resets > RESETS:
            self._send_away("keeps opening streams and taking them back")

    def _hear_noise(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._noise_since > NOISE_SECONDS:
            self._noise, self._noise_since = 0, now
        self._noise += 1
        if self._noise > NOISE:
            self._send_away("keeps sending what asks for nothing")

    def _send_away(self, why: str) -> None:
        if self.lost:
            return
        logger.warning("%s %s, and is sent away", self._peer, why)
        self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        self._leave()

    def _wake_all(self) -> None:
        for stream in self._streams.values():
            stream.wake()

    def _leave(self) -> None:
        self._flush()
        self._transport.close()

    # for streams

    @property
    def lost(self) -> bool:
        return self._lost or self._transport.is_closing()

    async def handle(self, request: Request) -> Response:
        return await self._server.handler(request)

    def refusal(self, status: int, reason: str) -> Response:
        return self._server.refusal(status, reason)

    def request(self, headers: list[tuple[str, str]], body: bytes) -> Request | None:
        """A request from its header fields; pseudo-headers become method and target. None where HTTP/1.1 could not carry them."""
        pseudo: dict[str, str] = {}
        plain: dict[str, str] = {}
        for name, value in headers:
            if name.startswith(":"):
                pseudo[name] = value
            else:
                plain[name] = f"{plain[name]}{'; ' if name == 'cookie' else ', '}{value}" if name in plain else value
        plain.setdefault("host", pseudo.get(":authority", ""))
        method, target = pseudo.get(":method", ""), pseudo.get(":path", "/")
        if not METHOD.fullmatch(method) or not TARGET.fullmatch(target):
            return None
        target = target.encode("utf-8", "surrogateescape").decode("latin-1")  # as HTTP/1.1 gives it
        return Request(method, target, plain, body, self._peer, self._certificate)

    def head(self, number: int, response: Response, length: int | None, ends: bool) -> None:
        given = (*response.headers.items(), *response.repeated_headers)
        fields = [(":status", str(response.status)), *((name.lower(), value) for name, value in given if name.lower() not in FORBIDDEN)]
        if length is not None:
            fields.append(("content-length", str(length)))
        self._h2.send_headers(number, fields, end_stream=ends)
        self._flush()

    def room(self, number: int) -> int:
        """Bytes that one frame may carry now."""
        return min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)

    def data(self, number: int, data: bytes, ends: bool) -> None:
        self._h2.send_data(number, data, end_stream=ends)
        self._flush()

    def cancel(self, number: int) -> None:
        with suppress(ProtocolError):  # it was closed from the other side
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
            self._flush()

    def finished(self, number: int, answered: bool) -> None:
        """A stream is done with."""
        del self._streams[number]
        if answered and self._resets:
            self._resets -= 1
        if self._streams or self._lost:
            return
        if self._server.stopping:
            self._leave()
        else:
            self._deadline.set(self._server.limits.idle_timeout)

    # for the server

    def close_when_idle(self) -> None:
        """For shutdown: no more streams; the connection closes with the last."""
        self._h2.close_connection()
        self._flush()
        if not self._streams:
            self._transport.close()
        for stream in list(self._streams.values()):
            stream.stop_streaming()

    def abort(self) -> None:
        self._transport.abort()

    def _flush(self) -> None:
        if (data := self._h2.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)
