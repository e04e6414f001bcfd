"""SPDY/3.1 without IO: bytes in, events out; calls in, bytes out. One `Session` is one side of one connection.

Life of a stream, seen from one side (`State`): the transitions are in `Session._finish` and `Session._drop`.

    OPEN ──we send FIN──> HALF_CLOSED_LOCAL ──peer's FIN──> gone
         ──peer's FIN──> HALF_CLOSED_REMOTE ──we send FIN──> gone
         ──RST_STREAM either way──> gone

Rules
* A fault of the peer raises one SpdyError, and the session refuses all further use.
* Frames for streams that are gone are ignored: the peer may not know yet.
* Data is handed on as it comes, never collected to whole frames; control frames and header blocks are bounded.
* A peer may hold at most `MAX_STREAMS` streams. A stream counts until it is gone *and* the application has released it, so
  resetting streams in a row frees nothing (CVE-2023-44487); who goes on beyond `MAX_REFUSED` refusals is cut off.
* WINDOW_UPDATE is read and has no effect. Every implementation in Kubernetes and its runtimes ignores flow control: none sends
  WINDOW_UPDATE nor waits for one, so honouring the windows would stall after 64 KiB. Back-pressure is the connection's.
"""
from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from tiffin.net import spdy_frames as frames
from tiffin.net.spdy_frames import Headers, ResetStatus, SpdyError

MAX_STREAMS = 1024
MAX_REFUSED = 1024
CHUNK = 1 << 20


class Role(Enum):
    """The client opens odd streams and sends odd pings, the server even ones."""

    CLIENT = 1
    SERVER = 0


class State(Enum):
    OPEN = auto()
    HALF_CLOSED_LOCAL = auto()
    HALF_CLOSED_REMOTE = auto()


class Opened(NamedTuple):
    """The peer opened a stream; it waits for `reply` or `reset`."""

    stream: int
    headers: Headers


class Replied(NamedTuple):
    """The peer accepted our stream; only now will it listen to data."""

    stream: int
    headers: Headers


class Data(NamedTuple):
    stream: int
    data: bytes


class Finished(NamedTuple):
    """The peer will send no more on this stream."""

    stream: int


class Reset(NamedTuple):
    """The stream is gone, without more of anything."""

    stream: int
    status: int


class GoneAway(NamedTuple):
    """The peer takes no new streams; those it opened or accepted go on."""

    status: int


class Pong(NamedTuple):
    id: int


Event = Opened | Replied | Data | Finished | Reset | GoneAway | Pong


class Session:
    """The protocol state of one connection. After any call, send what `output` gives."""

    def __init__(self, role: Role) -> None:
        self._ours = role.value
        self._next_stream = 2 - role.value
        self._next_ping = 2 - role.value
        self._last_received = 0
        self._streams: dict[int, State] = {}
        self._held: set[int] = set()
        self._refused = 0
        self._going_away = False
        self._broken: SpdyError | None = None
        self._encoder, self._decoder = frames.HeaderEncoder(), frames.HeaderDecoder()
        self._in = bytearray()
        self._out = bytearray()
        self._data_left = 0
        self._data_stream = 0
        self._data_fin = False

    # ---- what we do

    def output(self) -> bytes:
        """The bytes to send now; each is given once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def open(self, headers: Iterable[tuple[str, str]]) -> int:
        """Opens a stream and gives its number; data may follow after `Replied`."""
        self._check()
        if self._going_away:
            raise SpdyError("the peer takes no new streams")
        stream = self._next_stream
        self._next_stream += 2
        self._streams[stream] = State.OPEN
        self._out += frames.syn_stream(stream, self._encoder.encode(headers), False)
        return stream

    def reply(self, stream: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accepts a stream of the peer."""
        self._check()
        if stream in self._streams:
            self._out += frames.syn_reply(stream, self._encoder.encode(headers), False)

    def send(self, stream: int, data: bytes) -> None:
        """Data on a stream; dropped where the stream is gone. Raises ValueError after `finish`."""
        self._check()
        state = self._streams.get(stream)
        if state is State.HALF_CLOSED_LOCAL:
            raise ValueError(f"data on stream {stream} after its end")
        if state is not None:
            for at in range(0, len(data), CHUNK):
                self._out += frames.data_frame(stream, data[at : at + CHUNK], False)

    def finish(self, stream: int) -> None:
        """We will send no more on this stream."""
        self._check()
        if self._streams.get(stream) in (State.OPEN, State.HALF_CLOSED_REMOTE):
            self._out += frames.data_frame(stream, b"", True)
            self._finish(stream, State.HALF_CLOSED_LOCAL)

    def reset(self, stream: int, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """Ends a stream both ways at once."""
        self._check()
        if stream in self._streams:
            self._out += frames.rst_stream(stream, status)
            self._drop(stream)

    def release(self, stream: int) -> None:
        """The application has done with a stream that the peer opened."""
        self._held.discard(stream)

    def alive(self, stream: int) -> bool:
        """Whether anything may still come or go on the stream."""
        return stream in self._streams

    def ping(self) -> int:
        """Sends a ping; `Pong` with the same id answers it."""
        self._check()
        id, self._next_ping = self._next_ping, self._next_ping % 0x7FFFFFFE + 2
        self._out += frames.ping(id)
        return id

    def go_away(self) -> None:
        """Says that no new streams are taken."""
        self._check()
        self._going_away = True
        self._out += frames.go_away(self._last_received, 0)

    # ---- what the peer does

    def receive(self, data: bytes) -> list[Event]:
        """The events in the next bytes of the peer; raises SpdyError, and then for ever."""
        self._check()
        events: list[Event] = []
        try:
            self._in += data
            while self._step(events):
                pass
        except SpdyError as error:
            self._broken = error
            self._out += frames.go_away(self._last_received, 1)
            raise
        return events

    def _check(self) -> None:
        if self._broken is not None:
            raise SpdyError(str(self._broken))

    def _step(self, events: list[Event]) -> bool:
        """Consumes the next frame, or what there is of a data frame; False when more bytes are needed."""
        if self._data_left:
            return self._take_data(events)
        if len(self._in) < 8:
            return False
        first, second = int.from_bytes(self._in[:4]), int.from_bytes(self._in[4:8])
        flags, length = second >> 24, second & 0xFFFFFF
        if not first >> 31:
            self._start_data(first, bool(flags & frames.Flag.FIN), length, events)
            return True
        if first >> 16 & 0x7FFF != frames.VERSION:
            raise SpdyError(f"SPDY version {first >> 16 & 0x7FFF}")
        if length > frames.MAX_CONTROL:
            raise SpdyError(f"a control frame of {length} bytes")
        if len(self._in) < 8 + length:
            return False
        payload = bytes(self._in[8 : 8 + length])
        del self._in[: 8 + length]
        frame = frames.parse_control(first & 0xFFFF, flags, payload, self._decoder)
        if frame is not None:
            self._handle(frame, events)
        return True

    def _start_data(self, stream: int, fin: bool, length: int, events: list[Event]) -> None:
        if not stream:
            raise SpdyError("data for stream 0")
        if not self._known(stream):
            raise SpdyError(f"data for stream {stream}, which was never opened")
        if self._streams.get(stream) is State.HALF_CLOSED_REMOTE:
            raise SpdyError(f"data on stream {stream} after its end")
        del self._in[:8]
        self._data_stream, self._data_fin, self._data_left = stream, fin, length
        if not length and fin:
            self._peer_finished(stream, events)

    def _take_data(self, events: list[Event]) -> bool:
        piece = bytes(self._in[: self._data_left])
        if not piece:
            return False
        del self._in[: len(piece)]
        self._data_left -= len(piece)
        if self._data_stream in self._streams:
            events.append(Data(self._data_stream, piece))
        if not self._data_left and self._data_fin:
            self._peer_finished(self._data_stream, events)
        return True

    def _known(self, stream: int) -> bool:
        """Whether the number was ever given to a stream."""
        return stream < self._next_stream if stream % 2 == self._ours else stream <= self._last_received

    def _handle(self, frame: frames.Control, events: list[Event]) -> None:
        match frame:
            case frames.SynStream():
                self._peer_opened(frame, events)
            case frames.SynReply(stream, headers, fin) | frames.MoreHeaders(stream, headers, fin):
                if not self._known(stream):
                    raise SpdyError(f"headers for stream {stream}, which was never opened")
                if stream in self._streams:
                    if isinstance(frame, frames.SynReply):
                        events.append(Replied(stream, headers))
                    if fin:
                        self._peer_finished(stream, events)
            case frames.RstStream(stream, status):
                if stream in self._streams:
                    self._drop(stream)
                    events.append(Reset(stream, status))
            case frames.Ping(id):
                if id % 2 == self._ours:
                    events.append(Pong(id))
                else:
                    self._out += frames.ping(id)
            case frames.GoAway(_, status):
                self._going_away = True
                events.append(GoneAway(status))

    def _peer_opened(self, frame: frames.SynStream, events: list[Event]) -> None:
        if frame.stream % 2 == self._ours or frame.stream <= self._last_received:
            raise SpdyError(f"the peer opened stream {frame.stream} after {self._last_received}")
        self._last_received = frame.stream
        if self._going_away or len(self._held) >= MAX_STREAMS:
            self._refused += 1
            if self._refused > MAX_REFUSED:
                raise SpdyError("too many streams")
            self._out += frames.rst_stream(frame.stream, ResetStatus.REFUSED_STREAM)
            return
        self._held.add(frame.stream)
        self._streams[frame.stream] = State.OPEN
        events.append(Opened(frame.stream, frame.headers))
        if frame.fin:
            self._peer_finished(frame.stream, events)

    def _peer_finished(self, stream: int, events: list[Event]) -> None:
        if self._streams.get(stream) in (State.OPEN, State.HALF_CLOSED_LOCAL):
            self._finish(stream, State.HALF_CLOSED_REMOTE)
            events.append(Finished(stream))

    def _finish(self, stream: int, half: State) -> None:
        """One direction ended: `half` names the state when the other is still open."""
        if self._streams[stream] is State.OPEN:
            self._streams[stream] = half
        else:
            self._drop(stream)

    def _drop(self, stream: int) -> None:
        del self._streams[stream]
