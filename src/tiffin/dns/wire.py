"""The bytes of DNS: questions in, answers out. RFC 1035, RFC 6891 (EDNS), RFC 2782 (SRV).

Rules:
* A name is its wire form: length-prefixed labels and the root's zero, as `bytes`. Names that are compared are lower case
  (`bytes.lower` leaves lengths alone: they are below 64, letters are not).
* A packet is hostile: reading one raises `Malformed` with the code to answer, or `Ignored` where no answer is due, and nothing else.
* An answer repeats the question as it was sent, with its upper and lower case, so that clients which mix them (0x20) recognise it.
"""
from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple


class Type(IntEnum):
    """Record types that are answered, or refused, by name; any other is just a number."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255


class Rcode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


IN = 1
HEADER = 12
QR, AA, TC, RD, RA, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0010
OPCODE = 0x7800
DO = 0x8000
MIN_UDP, MAX_UDP = 512, 1232
"""Bytes over UDP without EDNS, and with it at most, so that no packet is fragmented (the "flag day" value of 2020)."""
MAX_MESSAGE = 65535
MAX_NAME, MAX_LABEL = 255, 63
MAX_ADDITIONAL = 3
"""Records after the question that a question may bring: EDNS, and a signature or two."""

_HEADER = struct.Struct("!HHHHHH")
_PAIR = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_SERVICE = struct.Struct("!HHH")
_SOA = struct.Struct("!IIIII")
_POINTER = 0xC0
_POINTERS = 0x4000
"""How far into a message a pointer reaches."""


class Ignored(Exception):
    """Nothing to answer: no header, or itself an answer."""


class Malformed(Exception):
    """A message that breaks the format, or asks for what is not offered. `code` is what to answer."""

    def __init__(self, code: Rcode, why: str) -> None:
        super().__init__(why)
        self.code = code


class Question(NamedTuple):
    name: bytes
    """As it was sent."""
    type: int
    klass: int

    @property
    def wire(self) -> bytes:
        return self.name + _PAIR.pack(self.type, self.klass)


class Edns(NamedTuple):
    """What the OPT record of a question says."""

    payload: int
    version: int
    dnssec: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A question with what came around it."""

    id: int
    flags: int
    question: Question
    edns: Edns | None = None

    @property
    def limit(self) -> int:
        """Bytes of a UDP answer."""
        return min(max(self.edns.payload, MIN_UDP), MAX_UDP) if self.edns else MIN_UDP


class Record(NamedTuple):
    """A resource record of class IN; neither `name` nor `rdata` is compressed."""

    name: bytes
    type: int
    ttl: int
    rdata: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question is answered with. Records in `additional` may be left out when there is no room."""

    code: Rcode = Rcode.NOERROR
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    authoritative: bool = True


def encode_name(text: str) -> bytes:
    """The wire form, lower case, of a name in text with or without its final dot. Raises ValueError when it is too long or empty inside."""
    labels = [label.encode() for label in text.lower().rstrip(".").split(".")] if text.strip(".") else []
    if any(not 0 < len(label) <= MAX_LABEL for label in labels):
        raise ValueError(f"{text!r} is no domain name")
    wire = join(labels)
    if len(wire) > MAX_NAME:
        raise ValueError(f"{text!r} is longer than a domain name may be")
    return wire


def join(labels: Iterable[bytes]) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def labels_of(name: bytes) -> list[bytes]:
    """The labels of a name without compression."""
    labels, at = [], 0
    while size := name[at]:
        labels.append(name[at + 1:at + 1 + size])
        at += 1 + size
    return labels


def parse_query(data: bytes) -> Query:
    """Raises Ignored and Malformed."""
    if len(data) < HEADER:
        raise Ignored
    id, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if flags & QR:
        raise Ignored
    if flags & OPCODE:
        raise Malformed(Rcode.NOTIMP, "not a query")
    if questions != 1 or answers or authority or additional > MAX_ADDITIONAL:
        raise Malformed(Rcode.FORMERR, "not exactly one question")
    end = plain_name_end(data, HEADER)
    if end + 4 > len(data):
        raise Malformed(Rcode.FORMERR, "the question is cut off")
    question = Question(data[HEADER:end], *_PAIR.unpack_from(data, end))
    edns = _edns(data, end + 4, additional)
    if edns and edns.version:
        raise Malformed(Rcode.BADVERS, "a version of EDNS that does not exist yet")
    return Query(id, flags, question, edns)


def plain_name_end(data: bytes, at: int) -> int:
    """Where the name that begins at `at` ends; it must not be compressed. Raises Malformed."""
    start = at
    while at < len(data):
        size = data[at]
        if size > MAX_LABEL:
            raise Malformed(Rcode.FORMERR, "a compressed or unknown label in a question")
        at += 1 + size
        if at - start > MAX_NAME:
            raise Malformed(Rcode.FORMERR, "the name is too long")
        if not size:
            return at
    raise Malformed(Rcode.FORMERR, "the name is cut off")


def _edns(data: bytes, at: int, count: int) -> Edns | None:
    """The OPT record among the `count` additional records that begin at `at` and fill the rest of the message."""
    found = None
    for _ in range(count):
        is_root = data[at:at + 1] == b"\0"
        at = skip_name(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed(Rcode.FORMERR, "an additional record is cut off")
        type, klass, ttl, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size + size
        if type == Type.OPT:
            if found or not is_root:
                raise Malformed(Rcode.FORMERR, "two OPT records, or one with a name")
            found = Edns(klass, ttl >> 16 & 0xFF, bool(ttl & DO))
    if at != len(data):
        raise Malformed(Rcode.FORMERR, "bytes after the end of the message, or too few")
    return found


def skip_name(data: bytes, at: int) -> int:
    """Where a name, perhaps compressed, ends; what a pointer points to is not looked at. Raises Malformed."""
    start = at
    while at < len(data) and at - start <= MAX_NAME:
        size = data[at]
        if size & _POINTER == _POINTER:
            return at + 2
        if size > MAX_LABEL:
            break
        at += 1 + size
        if not size:
            return at
    raise Malformed(Rcode.FORMERR, "a name is cut off or too long")


def address_record(name: bytes, ttl: int, address: IPv4Address | IPv6Address) -> Record:
    return Record(name, Type.A if address.version == 4 else Type.AAAA, ttl, address.packed)


def srv_record(name: bytes, ttl: int, weight: int, port: int, target: bytes) -> Record:
    """Of priority 0."""
    return Record(name, Type.SRV, ttl, _SERVICE.pack(0, weight, port) + target)


def txt_record(name: bytes, ttl: int, text: str) -> Record:
    """`text` of at most 255 bytes."""
    return Record(name, Type.TXT, ttl, bytes([len(text.encode())]) + text.encode())


def soa_record(name: bytes, ttl: int, server: bytes, mailbox: bytes, numbers: tuple[int, int, int, int, int]) -> Record:
    """`numbers` are serial, refresh, retry, expire and minimum (the TTL of negative answers)."""
    return Record(name, Type.SOA, ttl, server + mailbox + _SOA.pack(*numbers))


def opt(query: Query, code: int = 0) -> bytes:
    """The OPT record of the answer; nothing to who sent none. The DO bit comes back as it was (RFC 3225)."""
    if query.edns is None:
        return b""
    return b"\0" + _RECORD.pack(Type.OPT, MAX_UDP, (code >> 4) << 24 | (DO if query.edns.dnssec else 0), 0)


def reply_flags(query_flags: int, code: int, *, authoritative: bool = False, truncated: bool = False) -> int:
    """Recursion is available; the question's RD and CD come back."""
    return QR | query_flags & (RD | CD) | RA | code & 0xF | (AA if authoritative else 0) | (TC if truncated else 0)


def header(id: int, flags: int, counts: tuple[int, int, int, int]) -> bytes:
    return _HEADER.pack(id, flags, *counts)


def error_reply(data: bytes, code: Rcode) -> bytes:
    """To a message that could not be read, of at least a header: only a header, so never longer than what came."""
    id, flags = _PAIR.unpack_from(data)
    if code > 0xF:  # the upper bits of the code are in an OPT record; who sent a version sent one, with 11 bytes, and a question
        return header(id, QR | flags & RD | RA | code & 0xF, (0, 0, 0, 1)) + b"\0" + _RECORD.pack(Type.OPT, MAX_UDP, (code >> 4) << 24, 0)
    return header(id, QR | flags & (OPCODE | RD) | RA | code, (0, 0, 0, 0))


def failure(query: Query, code: Rcode) -> bytes:
    """An answer that is only a code."""
    option = opt(query, code)
    return header(query.id, reply_flags(query.flags, code), (1, 0, 0, 1 if option else 0)) + query.question.wire + option


class Writer:
    """Records after a question, with names compressed against what was written. Positions count from the message's start."""

    def __init__(self, question: Question) -> None:
        self.size = HEADER + len(question.name) + 4
        self._names: dict[bytes, int] = {}
        self._note(question.name, HEADER)

    def record(self, record: Record) -> bytes:
        """The record as it follows all that was written so far."""
        name = self._compressed(record.name)
        self._note(record.name, self.size)
        if record.type in (Type.CNAME, Type.PTR, Type.NS):
            start = self.size + len(name) + _RECORD.size
            rdata = self._compressed(record.rdata)
            self._note(record.rdata, start)
        else:
            rdata = record.rdata
            if record.type == Type.SRV:  # its target is not compressed, but what follows may point to it
                self._note(rdata[_SERVICE.size:], self.size + len(name) + _RECORD.size + _SERVICE.size)
        written = name + _RECORD.pack(record.type, IN, record.ttl, len(rdata)) + rdata
        self.size += len(written)
        return written

    def _compressed(self, name: bytes) -> bytes:
        at, lower = 0, name.lower()
        while name[at]:
            if (found := self._names.get(lower[at:])) is not None:
                return name[:at] + (_POINTER << 8 | found).to_bytes(2, "big")
            at += 1 + name[at]
        return name

    def _note(self, name: bytes, position: int) -> None:
        """The name was written at this position, as far as it was not known: its known ending was a pointer."""
        at, lower = 0, name.lower()
        while name[at] and lower[at:] not in self._names and position + at < _POINTERS:
            self._names[lower[at:]] = position + at
            at += 1 + name[at]
