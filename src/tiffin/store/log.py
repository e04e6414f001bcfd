"""The durability port: an ordered log of records, one per revision.

The state of a store is what its log replays to. A record with `data=None` is a deletion. Dead revisions are records that no
live object and no event of the window needs; the log may forget them at any time.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """One write: who, where, and the encoding of the object, None for a deletion."""

    revision: int
    resource: str
    namespace: str
    name: str
    data: bytes | None


class LogError(Exception):
    """The log could not make a batch durable (disk full, IO error). Nothing of the batch counts."""


class Undecipherable(Exception):
    """A record that the keys at hand do not open; the message names the object, and no key."""


class Log(Protocol):
    """Where records live. `append`, `compact` and `close` are called from one thread at a time."""

    durable: bool
    """Whether `append` blocks on a device and so belongs in a thread of its own."""

    def append(self, batch: Sequence[Record]) -> None:
        """Makes the whole batch durable, or raises `LogError` and leaves no part of it."""
        ...

    def replay(self) -> Iterator[Record]:
        """All records in order of revision."""
        ...

    def rewrite(self, records: Sequence[Record]) -> None:
        """Replaces the data of records by revision, and leaves no trace of what was there. Raises LogError."""
        ...

    def compact(self, dead: Sequence[int], compacted: int) -> None:
        """Forgets records that no state from the revision `compacted` on needs."""
        ...

    @property
    def compacted(self) -> int:
        """The oldest revision whose state can still be told; history before it has gaps."""
        ...

    def close(self) -> None: ...


class MemoryLog:
    """The in-memory twin: keeps nothing. For tests and throw-away clusters."""

    durable = False
    compacted = 0

    def append(self, batch: Sequence[Record]) -> None:
        """Nothing to do: the index is the store."""

    def replay(self) -> Iterator[Record]:
        return iter(())

    def rewrite(self, records: Sequence[Record]) -> None:
        """Nothing was kept."""

    def compact(self, dead: Sequence[int], compacted: int) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing is open."""
