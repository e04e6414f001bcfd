"""From a packet to an answer in bytes, at once where the cluster's own names decide it.

Answers that stay true until a known Service or a namespace changes are kept, under everything of the packet but its id and the case of
its letters: the same question again costs one look-up. What is kept is bounded: when it is full it is all forgotten.
"""
from __future__ import annotations

from typing import NamedTuple

from tiffin.dns import wire
from tiffin.dns.encoding import Encoded, encode
from tiffin.dns.metrics import Counter, Metrics
from tiffin.dns.records import Found, Records
from tiffin.dns.wire import IN, MAX_MESSAGE, Malformed, Query, Rcode, Type

MAX_BYTES = 8 * 1024 * 1024
PLAIN_OPT = 11
"""Bytes of an OPT record without options."""
ENTRY = 700
"""Bytes of memory that an entry takes besides its records, about."""


class Elsewhere(NamedTuple):
    """A question that others have to answer, or to finish: then `found` is the alias that leads to them."""

    query: Query
    found: Found | None


class _Kept(NamedTuple):
    encoded: Encoded
    counter: Counter


class Answers:
    """All answers of one node's server. Nothing here waits."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._kept: tuple[dict[bytes, _Kept], dict[bytes, _Kept]] = ({}, {})
        """Over UDP, and over TCP."""
        self._size = 0
        self._of_service: dict[tuple[str, str], list[tuple[bool, bytes]]] = {}
        self._turn = 0

    def changed(self, service: tuple[str, str] | None) -> None:
        """Names of this Service may have changed; None: any may have."""
        if service is None:
            self._forget()
        else:
            for stream, key in self._of_service.pop(service, ()):
                self._size -= _size(self._kept[stream].pop(key))

    def kept(self, data: bytes, stream: bool = False) -> bytes | None:
        """The answer to a question that was answered before."""
        end = data.find(b"\0", wire.HEADER)
        found = self._kept[stream].get(data[2:12] + data[12:end].lower() + data[end:])
        if found is None:
            return None
        self._turn += 1
        found.counter[0] += 1
        return found.encoded.message(data[:2], data[12:end + 5], self._turn)

    def find(self, data: bytes, records: Records, *, stream: bool) -> bytes | Elsewhere:
        """Raises `wire.Ignored` when there is nothing to answer. A stream has room for 64 KiB."""
        try:
            query = wire.parse_query(data)
        except Malformed as error:
            self._metrics.counted(stream, 0, error.code, cluster=False)
            return wire.error_reply(data, error.code)
        if code := _refused(query):
            self._metrics.counted(stream, query.question.type, code, cluster=False)
            return wire.failure(query, code)
        found = records.find(query.question.name.lower(), query.question.type)
        if found is None or found.elsewhere:
            return Elsewhere(query, found)
        encoded = encode(query, found.answer, MAX_MESSAGE if stream else query.limit)
        counter = self._metrics.counted(stream, query.question.type, found.answer.code, cluster=True)
        if found.lasting:
            self._keep(data, query, stream, _Kept(encoded, counter), found.service)
        self._turn += 1
        return encoded.message(data[:2], query.question.wire, self._turn)

    def _keep(self, data: bytes, query: Query, stream: bool, kept: _Kept, service: tuple[str, str] | None) -> None:
        end = data.index(b"\0", wire.HEADER)
        if end != wire.HEADER + len(query.question.name) - 1:
            return  # a zero within a label: `kept` would take it for the name's end
        if len(data) > wire.HEADER + len(query.question.wire) + PLAIN_OPT:
            return  # a cookie, a signature: the very same packet will not come again
        key = data[2:12] + data[12:end].lower() + data[end:]
        if key in self._kept[stream]:
            return
        self._size += _size(kept)
        if self._size > MAX_BYTES:
            self._forget()
            self._size = _size(kept)
        self._kept[stream][key] = kept
        if service is not None:
            self._of_service.setdefault(service, []).append((stream, key))

    def _forget(self) -> None:
        for kept in self._kept:
            kept.clear()
        self._of_service.clear()
        self._size = 0


def _size(kept: _Kept) -> int:
    return ENTRY + len(kept.encoded.addresses) + len(kept.encoded.tail)


def _refused(query: Query) -> Rcode | None:
    """Questions that nobody gets an answer to: for everything there is, for whole zones, and for other classes than IN."""
    question = query.question
    if question.klass != IN or question.type in (Type.ANY, Type.AXFR, Type.IXFR):
        return Rcode.REFUSED
    if question.type in (Type.MAILA, Type.MAILB):
        return Rcode.NOTIMP
    return Rcode.FORMERR if question.type in (0, Type.OPT) else None
