"""Answers in bytes, ready to be sent to whoever asks the same again.

An answer is the question's id, a fixed head, the question as it came, and records. Addresses of one name are all of the same length, so
that each time another one comes first: clients take the first, and load spreads.

What does not fit into a UDP packet is left out, additional records first; when answers are missing the TC bit says so, and those that fit
are sent all the same, for clients that never ask again over TCP.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tiffin.dns.wire import Answer, Query, Record, Type, Writer, header, opt, reply_flags


class Encoded(NamedTuple):
    """An answer but for the id and the question. `stride` is the length of a record that takes turns, 0 when none do."""

    head: bytes
    addresses: bytes
    stride: int
    sent: int
    """Bytes of `addresses` that fit."""
    tail: bytes

    def message(self, id: bytes, question: bytes, turn: int) -> bytes:
        addresses = self.addresses
        if self.stride:
            at = turn * self.stride % len(addresses)
            addresses = (addresses[at:] + addresses[:at])[: self.sent]
        return id + self.head + question + addresses + self.tail


def encode(query: Query, answer: Answer, limit: int) -> Encoded:
    """For an answer of at most `limit` bytes."""
    writer = Writer(query.question)
    option = opt(query, answer.code)
    limit -= len(option)
    turning = _take_turns(query, answer.answers)
    if turning:
        addresses = b"".join(writer.record(record) for record in answer.answers)
        stride = len(addresses) // len(answer.answers)
        room = max(limit - (writer.size - len(addresses)), 0)
        fitting = min(len(answer.answers), room // stride)
        body = b""
    else:
        addresses, stride = b"", 0
        pieces = list(_fitting(writer, answer.answers, limit))
        fitting, body = len(pieces), b"".join(pieces)
    truncated = fitting < len(answer.answers)
    authority = [] if truncated else list(_fitting(writer, answer.authority, limit))
    truncated = truncated or len(authority) < len(answer.authority)
    additional = [] if truncated else list(_fitting(writer, answer.additional, limit))
    flags = reply_flags(query.flags, answer.code, authoritative=answer.authoritative, truncated=truncated)
    head = header(0, flags, (1, fitting, len(authority), len(additional) + (1 if option else 0)))[2:]
    return Encoded(head, addresses, stride, fitting * stride, b"".join([body, *authority, *additional, option]))


def _take_turns(query: Query, records: Sequence[Record]) -> bool:
    if len(records) < 2:
        return False
    name, type = query.question.name.lower(), query.question.type
    return type in (Type.A, Type.AAAA) and all(record.type == type and record.name.lower() == name for record in records)


def _fitting(writer: Writer, records: Iterable[Record], limit: int) -> Iterable[bytes]:
    for record in records:
        written = writer.record(record)
        if writer.size > limit:
            return
        yield written
