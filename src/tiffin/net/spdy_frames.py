"""SPDY/3.1 frames as values, and their bytes.

Encoders give the whole frame; `parse_control` reads the payload of one control frame. Header blocks are compressed with one
zlib stream per direction and connection that starts from the dictionary of the draft, so a `HeaderEncoder` and a
`HeaderDecoder` live as long as their connection and must see every block in order.

Source: draft-mbelshe-httpbis-spdy-00 (SPDY/3), sections 2.2 and 2.6; SPDY/3.1 differs only in WINDOW_UPDATE for stream 0.
"""
from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import NamedTuple

VERSION = 3
MAX_CONTROL = 64 * 1024
"""Largest control frame accepted; the protocol allows 16 MiB."""
MAX_HEADERS = 128 * 1024
"""Largest header block accepted, after decompression."""
MAX_DATA = 1 << 24

_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization
cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range
content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified
location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding
upgrade user-agent vary via warning www-authenticate method get status|200 OK|version|HTTP/1.1|url public set-cookie keep-alive origin"""
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information"
    "204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error"
    "501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """The compression dictionary of section 2.6.10.1: length-prefixed words, then a tail of plain text."""
    words = [word for part in _WORDS.split("|") for word in ([part] if part in ("200 OK", "HTTP/1.1") else part.split())]
    return b"".join(struct.pack(">I", len(w)) + w.encode() for w in words) + _TAIL.encode()


class Type(IntEnum):
    """Types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class Flag(IntFlag):
    FIN = 1
    UNIDIRECTIONAL = 2


class ResetStatus(IntEnum):
    """Why a stream is reset."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9
    FRAME_TOO_LARGE = 11


class SpdyError(ConnectionError):
    """The peer broke the protocol or a bound; the connection is of no more use."""


Headers = list[tuple[str, str]]
"""Names in lower case with one value each; a name may occur several times."""


class SynStream(NamedTuple):
    stream: int
    headers: Headers
    fin: bool


class SynReply(NamedTuple):
    stream: int
    headers: Headers
    fin: bool


class MoreHeaders(NamedTuple):
    stream: int
    headers: Headers
    fin: bool


class RstStream(NamedTuple):
    stream: int
    status: int


class Settings(NamedTuple):
    values: dict[int, int]


class Ping(NamedTuple):
    id: int


class GoAway(NamedTuple):
    last_good_stream: int
    status: int


class WindowUpdate(NamedTuple):
    stream: int
    delta: int


Control = SynStream | SynReply | MoreHeaders | RstStream | Settings | Ping | GoAway | WindowUpdate


class HeaderEncoder:
    """Compresses the header blocks of one direction."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=_dictionary())

    def encode(self, headers: Iterable[tuple[str, str]]) -> bytes:
        values: dict[str, list[str]] = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(value)
        block = [struct.pack(">I", len(values))]
        for name, several in values.items():
            for text in (name, "\0".join(several)):
                data = text.encode()
                block += [struct.pack(">I", len(data)), data]
        return self._zlib.compress(b"".join(block)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class HeaderDecoder:
    """Decompresses the header blocks of one direction."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=_dictionary())

    def decode(self, block: bytes) -> Headers:
        try:
            data = self._zlib.decompress(block, MAX_HEADERS)
        except zlib.error as error:
            raise SpdyError(f"header block: {error}") from error
        if self._zlib.unconsumed_tail:
            raise SpdyError("header block too large")
        return _split_block(data)


def _split_block(data: bytes) -> Headers:
    at = 4

    def text() -> str:
        nonlocal at
        if at + 4 > len(data):
            raise SpdyError("header block ends early")
        size = int.from_bytes(data[at : at + 4])
        at += 4 + size
        if at > len(data):
            raise SpdyError("header block ends early")
        try:
            return data[at - size : at].decode()
        except UnicodeDecodeError as error:
            raise SpdyError("header block is not UTF-8") from error

    if len(data) < 4:
        raise SpdyError("header block ends early")
    headers: Headers = []
    for _ in range(int.from_bytes(data[:4])):
        name = text()
        if not name or name != name.lower():
            raise SpdyError("a header name is empty or not in lower case")
        headers += [(name, value) for value in text().split("\0")]
    if at != len(data):
        raise SpdyError("header block with a rest")
    return headers


def control(type: Type, flags: int, payload: bytes) -> bytes:
    """The bytes of a control frame."""
    return struct.pack(">HHI", 0x8000 | VERSION, type, flags << 24 | len(payload)) + payload


def data_frame(stream: int, data: bytes, fin: bool) -> bytes:
    """The bytes of a data frame; `data` is shorter than `MAX_DATA`."""
    return struct.pack(">II", stream, bool(fin) << 24 | len(data)) + data


def syn_stream(stream: int, block: bytes, fin: bool) -> bytes:
    return control(Type.SYN_STREAM, Flag.FIN if fin else 0, struct.pack(">IIH", stream, 0, 0) + block)


def syn_reply(stream: int, block: bytes, fin: bool) -> bytes:
    return control(Type.SYN_REPLY, Flag.FIN if fin else 0, struct.pack(">I", stream) + block)


def rst_stream(stream: int, status: int) -> bytes:
    return control(Type.RST_STREAM, 0, struct.pack(">II", stream, status))


def ping(id: int) -> bytes:
    return control(Type.PING, 0, struct.pack(">I", id))


def go_away(last_good_stream: int, status: int) -> bytes:
    return control(Type.GOAWAY, 0, struct.pack(">II", last_good_stream, status))


_SIZES = {Type.RST_STREAM: 8, Type.PING: 4, Type.GOAWAY: 8, Type.WINDOW_UPDATE: 8}


def parse_control(type: int, flags: int, payload: bytes, decoder: HeaderDecoder) -> Control | None:
    """The frame, None for a type that is to be ignored; raises SpdyError for what no peer may send."""
    if type in _SIZES and len(payload) != _SIZES[Type(type)]:
        raise SpdyError(f"a frame of type {type} has {len(payload)} bytes")
    if type in (Type.SYN_STREAM, Type.SYN_REPLY, Type.HEADERS):
        return _parse_with_headers(type, flags, payload, decoder)
    words = struct.unpack(f">{len(payload) // 4}I", payload[: len(payload) // 4 * 4])
    match type:
        case Type.RST_STREAM:
            return RstStream(_stream(words[0]), words[1])
        case Type.PING:
            return Ping(words[0])
        case Type.GOAWAY:
            return GoAway(words[0] & 0x7FFFFFFF, words[1])
        case Type.WINDOW_UPDATE:
            return WindowUpdate(words[0] & 0x7FFFFFFF, words[1] & 0x7FFFFFFF)
        case Type.SETTINGS:
            return _parse_settings(words, len(payload))
    return None


def _stream(word: int) -> int:
    if not word & 0x7FFFFFFF:
        raise SpdyError("a frame for stream 0")
    return word & 0x7FFFFFFF


def _parse_with_headers(type: int, flags: int, payload: bytes, decoder: HeaderDecoder) -> Control:
    fixed = 10 if type == Type.SYN_STREAM else 4
    if len(payload) < fixed:
        raise SpdyError(f"a frame of type {type} has {len(payload)} bytes")
    fields = _stream(int.from_bytes(payload[:4])), decoder.decode(payload[fixed:]), bool(flags & Flag.FIN)
    if type == Type.SYN_STREAM:
        return SynStream(*fields)
    return SynReply(*fields) if type == Type.SYN_REPLY else MoreHeaders(*fields)


def _parse_settings(words: tuple[int, ...], size: int) -> Settings:
    if not words or size != 4 + 8 * words[0]:
        raise SpdyError("SETTINGS of a wrong length")
    return Settings({words[i] & 0xFFFFFF: words[i + 1] for i in range(1, len(words), 2)})
