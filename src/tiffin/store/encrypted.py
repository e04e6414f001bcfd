"""A log whose records are encrypted where they lie: the index in memory stays plain, the file does not.

Rules
* Each record is sealed for its place (resource, namespace, name): moved to another one it cannot be opened.
* Whatever is not sealed by the cipher that seals now (plain, or by an older key) is sealed anew when the log is read at start. So a
  key is rotated by putting a new one first and starting again; after that the old one can be removed.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tiffin.store.log import Log, Record


class Ciphers(Protocol):
    """What seals and opens records."""

    def seal(self, record: Record, data: bytes) -> bytes:
        """What is to lie in the log for this data."""
        ...

    def open(self, record: Record, data: bytes) -> tuple[bytes, bool]:
        """The plain data, and whether it should be sealed anew. Raises `log.Undecipherable`."""
        ...


class EncryptedLog:
    """`inner` with sealed data."""

    def __init__(self, inner: Log, ciphers: Ciphers) -> None:
        self._inner, self._ciphers = inner, ciphers
        self.durable = inner.durable

    @property
    def compacted(self) -> int:
        return self._inner.compacted

    def append(self, batch: Sequence[Record]) -> None:
        self._inner.append([self._sealed(record) for record in batch])

    def _sealed(self, record: Record) -> Record:
        return record if record.data is None else record._replace(data=self._ciphers.seal(record, record.data))

    def replay(self) -> Iterator[Record]:
        stale = []
        for record in self._inner.replay():
            if record.data is None:
                yield record
                continue
            data, is_stale = self._ciphers.open(record, record.data)
            plain = record._replace(data=data)
            if is_stale:
                stale.append(self._sealed(plain))
            yield plain
        if stale:
            self._inner.rewrite(stale)

    def rewrite(self, records: Sequence[Record]) -> None:
        self._inner.rewrite([self._sealed(record) for record in records])

    def compact(self, dead: Sequence[int], compacted: int) -> None:
        self._inner.compact(dead, compacted)

    def close(self) -> None:
        self._inner.close()
