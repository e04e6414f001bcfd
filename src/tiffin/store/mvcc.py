"""The index: every live object in memory, sorted per resource, with a window of past events. Pure: no IO, no clock.

Invariants
* Revisions only grow; each belongs to exactly one event. An event is applied once, in order of its revision.
* An entry never changes. A superseded entry lives on only inside the window, as bytes.
* What the window still holds can be watched from and listed at; anything older raises `Compacted`, never a silent gap.
"""
from __future__ import annotations

import logging
import sys
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import orjson

from tiffin.machinery.object import Key, Object

logger = logging.getLogger(__name__)

AFTER_SLASH = chr(ord("/") + 1)


class Compacted(Exception):
    """The revision asked for is older than the window; `revision` is the oldest that is still known."""

    def __init__(self, requested: int, revision: int) -> None:
        super().__init__(f"revision {requested} has been compacted, the oldest is {revision}")
        self.requested, self.revision = requested, revision


class FutureRevision(Exception):
    """The revision asked for has not happened yet."""

    def __init__(self, requested: int, current: int) -> None:
        super().__init__(f"revision {requested} is ahead of {current}")
        self.requested, self.current = requested, current


class Entry:
    """One version of one object. `data` is its wire encoding; `object` is decoded from it when asked for and kept for a while."""

    __slots__ = ("_decoded", "_object", "data", "key", "revision")

    def __init__(self, key: Key, revision: int, data: bytes, obj: Object | None = None, decoded: Decoded | None = None) -> None:
        self.key, self.revision, self.data, self._object, self._decoded = key, revision, data, obj, decoded
        if obj is not None and decoded is not None:
            decoded.add(self)

    @property
    def object(self) -> Object:
        obj = self._object
        if obj is None:
            obj = self._object = orjson.loads(self.data)
            if self._decoded is not None:
                self._decoded.add(self)
        return obj

    def forget_object(self) -> None:
        """Gives back the memory of the decoded form; it can be decoded again."""
        self._object = None

    def forget_unshared(self) -> None:
        """The same, unless others hold the decoded form too: then keeping it costs nothing, and saves them a second copy."""
        if sys.getrefcount(self._object) <= 2:
            self._object = None


class Decoded:
    """The entries that were decoded last, so many that their encodings have `limit` bytes: only these keep a form nobody else holds.

    A decoded object takes five times the memory of its encoding, and most are never looked at again.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._entries: deque[Entry] = deque()

    def add(self, entry: Entry) -> None:
        """Notes that the entry has just been decoded; the oldest ones forget."""
        self._entries.append(entry)
        self._bytes += len(entry.data)
        while self._bytes > self._limit and len(self._entries) > 1:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.data)
            oldest.forget_unshared()


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event:
    """A change: `entry` is the new version, for DELETED the last content under the revision of the deletion.

    `wire` holds the encoding of this event that many watchers share, once one of them made it.
    """

    __slots__ = ("entry", "previous", "resource", "type", "wire")

    def __init__(self, resource: str, type: EventType, entry: Entry, previous: Entry | None) -> None:
        self.resource, self.type, self.entry, self.previous = resource, type, entry, previous
        self.wire: bytes | None = None

    @property
    def revision(self) -> int:
        return self.entry.revision


class Page(NamedTuple):
    """Part of a list: entries in key order, the revision they are the state of, and how many keys follow."""

    entries: list[Entry]
    revision: int
    remaining: int


Sink = Callable[[Sequence[Event]], None]
"""Takes the events of one resource, in order; is called synchronously. What it raises is logged and harms nobody else."""


def path_of(key: Key) -> str:
    """The text that orders a resource's objects: `namespace/name`, as in the keys of etcd."""
    return f"{key[0]}/{key[1]}"


class _Table:
    """One resource: live entries by path, the paths in order, and who watches."""

    __slots__ = ("entries", "keys", "revision", "sinks")

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: list[str] = []
        self.sinks: dict[int, Sink] = {}
        self.revision = 0


class Mvcc:
    """The index of one store. `window_events` and `window_bytes` bound the past that is kept, `decoded_bytes` what stays decoded."""

    def __init__(self, window_events: int = 100_000, window_bytes: int = 32 << 20, decoded_bytes: int = 4 << 20) -> None:
        self.revision = 0
        self.compacted = 0
        self._tables: dict[str, _Table] = {}
        self._window: deque[Event] = deque()
        self._window_bytes = 0
        self._limits = window_events, window_bytes
        self._next_sink = 0
        self._decoded = Decoded(decoded_bytes)

    def _table(self, resource: str) -> _Table:
        table = self._tables.get(resource)
        if table is None:
            table = self._tables[resource] = _Table()
        return table

    # reading

    def get(self, resource: str, key: Key) -> Entry | None:
        table = self._tables.get(resource)
        return table.entries.get(f"{key[0]}/{key[1]}") if table else None

    def resources(self) -> list[str]:
        """Resources that hold objects."""
        return [name for name, table in self._tables.items() if table.entries]

    def resource_revision(self, resource: str) -> int:
        """Revision of the last change to anything of the resource; 0 before the first."""
        table = self._tables.get(resource)
        return table.revision if table else 0

    def count(self, resource: str) -> int:
        table = self._tables.get(resource)
        return len(table.keys) if table else 0

    def entries(self, resource: str, namespace: str | None = None) -> Iterator[Entry]:
        """The live entries in key order; the index must not change while they are walked."""
        table = self._tables.get(resource)
        if table is None:
            return iter(())
        low, high = self._bounds(table.keys, namespace, None)
        entries = table.entries
        return (entries[key] for key in islice(table.keys, low, high))

    def list(self, resource: str, namespace: str | None = None, after: Key | None = None, limit: int = 0, revision: int = 0) -> Page:
        """Up to `limit` entries (0: all) behind the key `after`, as of `revision` (0: now)."""
        if revision and revision != self.revision:
            return self._list_past(resource, namespace, after, limit, revision)
        table = self._table(resource)
        low, high = self._bounds(table.keys, namespace, after)
        end = min(high, low + limit) if limit else high
        entries = table.entries
        return Page([entries[key] for key in table.keys[low:end]], self.revision, high - end)

    def _list_past(self, resource: str, namespace: str | None, after: Key | None, limit: int, revision: int) -> Page:
        first: dict[str, Entry | None] = {}
        for event in self._events_after(resource, revision):
            first.setdefault(path_of(event.entry.key), event.previous)
        changed = {path: entry for path, entry in first.items() if entry is not None}
        table = self._table(resource)
        keys = table.keys
        if first:
            keys = sorted({path for path in keys if path not in first} | changed.keys())
        low, high = self._bounds(keys, namespace, after)
        end = min(high, low + limit) if limit else high
        return Page([_copy(changed[k]) if k in changed else table.entries[k] for k in keys[low:end]], revision, high - end)

    @staticmethod
    def _bounds(keys: Sequence[str], namespace: str | None, after: Key | None) -> tuple[int, int]:
        low, high = 0, len(keys)
        if namespace is not None:
            low = bisect_left(keys, f"{namespace}/")
            high = bisect_left(keys, f"{namespace}{AFTER_SLASH}", lo=low)
        if after is not None:
            low = max(low, bisect_right(keys, path_of(after)))
        return low, max(low, high)

    def check_revision(self, revision: int) -> None:
        """Raises `Compacted` or `FutureRevision` unless the state right after `revision` is still known."""
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)

    def _events_after(self, resource: str, revision: int) -> Sequence[Event]:
        self.check_revision(revision)
        if revision == self.revision:
            return []
        first = bisect_right(self._window, revision, key=lambda event: event.revision)
        return [event for event in islice(self._window, first, None) if event.resource == resource]

    # watching

    def watch(self, resource: str, since: int, sink: Sink) -> Callable[[], None]:
        """Calls `sink` with what happened after `since`, at once for the past, then as it happens; gives the way to stop."""
        past = self._events_after(resource, since)
        number, self._next_sink = self._next_sink, self._next_sink + 1
        sinks = self._table(resource).sinks
        sinks[number] = sink
        if past:
            _tell(sink, past)
            _settle(past)

        def stop() -> None:
            sinks.pop(number, None)

        return stop

    # changing

    def event(self, resource: str, key: Key, revision: int, data: bytes | None, obj: Object | None, previous: Entry | None) -> Event:
        """The event that `data` (None: a deletion) makes of `previous`. Changes nothing yet."""
        if data is None:
            if previous is None:
                raise KeyError(f"{resource} {key} is deleted but was never there")
            return Event(resource, EventType.DELETED, Entry(key, revision, with_revision(previous.data, revision), decoded=self._decoded), previous)
        type = EventType.MODIFIED if previous else EventType.ADDED
        return Event(resource, type, Entry(key, revision, data, obj, self._decoded), previous)

    def apply(self, events: Sequence[Event]) -> Sequence[int]:
        """Puts events into the index, tells the watchers, and gives the revisions that fell out of the window with it."""
        by_resource: dict[str, list[Event]] = {}
        for event in events:
            self._put(event)
            by_resource.setdefault(event.resource, []).append(event)
        # Who is told is fixed before anyone is: a watch that begins meanwhile gets these events as its past.
        told = [(self._tables[resource].sinks, number, changes) for resource, changes in by_resource.items() for number in self._tables[resource].sinks]
        for sinks, number, changes in told:
            sink = sinks.get(number)
            if sink is not None:
                _tell(sink, changes)
        _settle(events)
        return self._trim()

    def _put(self, event: Event) -> None:
        table = self._table(event.resource)
        key = path_of(event.entry.key)
        if event.type is EventType.DELETED:
            del table.entries[key]
            del table.keys[bisect_left(table.keys, key)]
        else:
            if key not in table.entries:
                if table.keys and key > table.keys[-1]:
                    table.keys.append(key)
                else:
                    insort(table.keys, key)
            table.entries[key] = event.entry
        self.revision = table.revision = event.revision
        self._window.append(event)
        if event.previous is not None:
            self._window_bytes += len(event.previous.data)

    def _trim(self) -> Sequence[int]:
        """Drops the oldest events beyond the limits; gives the revisions whose records no state needs any more."""
        dead: list[int] = []
        max_events, max_bytes = self._limits
        while len(self._window) > max_events or self._window_bytes > max_bytes:
            event = self._window.popleft()
            self.compacted = event.revision
            if event.previous is not None:
                dead.append(event.previous.revision)
                self._window_bytes -= len(event.previous.data)
            if event.type is EventType.DELETED:
                dead.append(event.revision)
        return dead


def _tell(sink: Sink, events: Sequence[Event]) -> None:
    try:
        sink(events)
    except Exception:
        logger.exception("a watcher failed on events up to revision %d", events[-1].revision)


def _copy(entry: Entry) -> Entry:
    """A superseded version for one reader: what that one decodes is not kept for as long as the window is."""
    return Entry(entry.key, entry.revision, entry.data)


def _settle(events: Iterable[Event]) -> None:
    """Gives back what watchers decoded and encoded of events that are past, except for the live objects."""
    for event in events:
        event.wire = None
        if event.previous is not None:
            event.previous.forget_object()
            if event.type is EventType.DELETED:
                event.entry.forget_object()


_FIELD = b'"resourceVersion":"'


def with_revision(data: bytes, revision: int) -> bytes:
    """A stored encoding with another metadata.resourceVersion; falls back to decoding where the text is ambiguous."""
    if data.count(_FIELD) == 1:
        head, _, tail = data.partition(_FIELD)
        return b"%b%b%d%b" % (head, _FIELD, revision, tail[tail.index(b'"'):])
    obj = orjson.loads(data)
    obj["metadata"]["resourceVersion"] = str(revision)
    return orjson.dumps(obj)
