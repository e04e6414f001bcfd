"""Answers of other name servers, for as long as they say. RFC 2308 for those that say no.

Bounded in bytes; the ones that were not asked for the longest go first. Nothing is given out after its end. An answer is kept as it came,
since most are never asked for again.
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from tiffin.dns.message import Message
from tiffin.dns.wire import Rcode, Type

MAX_BYTES = 4 * 1024 * 1024
ENTRY = 400
"""Bytes that an entry takes besides its message, about."""
LONGEST, LONGEST_NO, FAILURE = 3600, 300, 1
"""Seconds that answers, negative answers and failures are kept at most."""

Asked = tuple[bytes, int]
"""Name in lower case, and type."""


class _Entry(NamedTuple):
    stored: datetime
    seconds: int
    data: bytes


class KeptAnswers:
    def __init__(self, now: Callable[[], datetime], limit: int = MAX_BYTES) -> None:
        self._now, self._limit = now, limit
        self._entries: dict[Asked, _Entry] = {}
        self._size = 0

    def get(self, asked: Asked) -> tuple[bytes, int] | None:
        """The message, and its age in seconds."""
        entry = self._entries.pop(asked, None)
        if entry is None:
            return None
        age = (self._now() - entry.stored).total_seconds()
        if not 0 <= age < entry.seconds:  # also after the clock was set back
            self._size -= _size(entry)
            return None
        self._entries[asked] = entry
        return entry.data, int(age)

    def put(self, asked: Asked, message: Message, data: bytes) -> None:
        """Keeps the message if it may be kept."""
        if old := self._entries.pop(asked, None):
            self._size -= _size(old)
        seconds = lifetime(message, asked[1])
        if seconds <= 0:
            return
        entry = _Entry(self._now(), seconds, data)
        self._entries[asked] = entry
        self._size += _size(entry)
        while self._size > self._limit:
            first = next(iter(self._entries))
            self._size -= _size(self._entries.pop(first))

    def clear(self) -> None:
        self._entries.clear()
        self._size = 0


def lifetime(message: Message, type: int) -> int:
    """Seconds that the answer to a question for `type` may be kept, 0 when not at all."""
    if message.truncated:
        return 0
    if message.code == Rcode.SERVFAIL:
        return FAILURE
    if message.code not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return 0
    ttls = [record.ttl for section in (message.answers, message.authority, message.additional) for record in section]
    if message.code == Rcode.NOERROR and any(record.type == type for record in message.answers):
        return min(*ttls, LONGEST)
    soa = next((record for record in message.authority if record.type == Type.SOA and len(record.rdata) >= 4), None)
    if soa is None:
        return 0
    return min(*ttls, int.from_bytes(soa.rdata[-4:], "big"), LONGEST_NO)


def _size(entry: _Entry) -> int:
    return ENTRY + len(entry.data)
