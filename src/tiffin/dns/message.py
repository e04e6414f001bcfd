"""Messages of other name servers, read. They are as hostile as questions: `Malformed` and nothing else is raised.

Names are decompressed, so that records can be written into another message. A pointer must lead backwards and no name may grow
beyond 255 bytes, so reading ends. EDNS belongs to a hop and is not read.
"""
from __future__ import annotations

import struct
from typing import NamedTuple

from tiffin.dns.wire import (
    CD,
    HEADER,
    IN,
    MAX_LABEL,
    MAX_NAME,
    MAX_UDP,
    OPCODE,
    QR,
    RD,
    TC,
    Malformed,
    Question,
    Rcode,
    Record,
    Type,
    header,
    plain_name_end,
)

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")

_NAMES: dict[int, tuple[int, int]] = {
    2: (0, 1), 3: (0, 1), 4: (0, 1), 5: (0, 1), 6: (0, 2), 7: (0, 1), 8: (0, 1), 9: (0, 1), 12: (0, 1), 14: (0, 2), 15: (2, 1),
    17: (0, 2), 18: (2, 1), 21: (2, 1), 33: (6, 1),
}
"""Types whose data may hold compressed names (RFC 3597, 4): bytes before them, and how many there are."""


class Message(NamedTuple):
    """An answer."""

    code: int
    truncated: bool
    answers: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]


def encode_question(id: int, question: Question, flags: int, *, edns: bool) -> bytes:
    """A question as it is sent on: RD and CD of `flags`, and an OPT record that allows large answers."""
    option = b"\0" + _RECORD.pack(Type.OPT, MAX_UDP, 0, 0) if edns else b""
    return header(id, flags & (RD | CD), (1, 0, 0, 1 if edns else 0)) + question.wire + option


def answers_to(data: bytes, id: int, question: Question) -> bool:
    """Whether the packet claims to answer this very question; anything else that arrives is somebody else's or forged."""
    if len(data) < HEADER:
        return False
    its_id, flags, questions, *_ = _HEADER.unpack_from(data)
    if its_id != id or not flags & QR or flags & OPCODE:
        return False
    if questions == 0:  # as some send errors
        return bool(flags & 0xF) and len(data) == HEADER
    end = HEADER + len(question.name)
    return questions == 1 and data[HEADER:end].lower() == question.name.lower() and data[end:end + 4] == question.wire[-4:]


def parse(data: bytes) -> Message:
    """A message with one question, or none. Raises Malformed."""
    if len(data) < HEADER:
        raise Malformed(Rcode.FORMERR, "no header")
    _, flags, questions, *counts = _HEADER.unpack_from(data)
    at = HEADER
    for _ in range(questions):
        at = plain_name_end(data, at) + 4
    sections = []
    for count in counts:
        records, at = _section(data, at, count)
        sections.append(records)
    return Message(flags & 0xF, bool(flags & TC), *sections)


def _section(data: bytes, at: int, count: int) -> tuple[tuple[Record, ...], int]:
    records = []
    for _ in range(count):
        name, at = _name(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed(Rcode.FORMERR, "a record is cut off")
        type, klass, ttl, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + size > len(data):
            raise Malformed(Rcode.FORMERR, "a record's data are cut off")
        if klass == IN and type != Type.OPT:
            # RFC 2181, 8: a TTL with the highest bit set counts as 0.
            records.append(Record(name, type, ttl if ttl < 1 << 31 else 0, _rdata(data, type, at, size)))
        at += size
    return tuple(records), at


def _rdata(data: bytes, type: int, at: int, size: int) -> bytes:
    end = at + size
    prefix, names = _NAMES.get(type, (0, 0))
    if not names:
        return data[at:end]
    written, at = data[at:at + prefix], at + prefix
    for _ in range(names):
        name, at = _name(data, at)
        written += name
    if at > end:
        raise Malformed(Rcode.FORMERR, "a name goes beyond its record")
    return written + data[at:end]


def _name(data: bytes, at: int) -> tuple[bytes, int]:
    """The name at this place, decompressed, and where what follows it begins."""
    labels: list[bytes] = []
    length, after, floor = 1, -1, at
    while at < len(data):
        size = data[at]
        if size > MAX_LABEL:
            if size < 0xC0 or at + 1 >= len(data):
                break
            after = at + 2 if after < 0 else after
            at = (size & 0x3F) << 8 | data[at + 1]
            if at >= floor or at < HEADER:
                break
            floor = at
            continue
        if not size:
            return b"".join(labels) + b"\0", at + 1 if after < 0 else after
        length += 1 + size
        if length > MAX_NAME or at + 1 + size > len(data):
            break
        labels.append(data[at:at + 1 + size])
        at += 1 + size
    raise Malformed(Rcode.FORMERR, "a name that does not end")
