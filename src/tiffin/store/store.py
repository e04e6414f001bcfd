"""The store: optimistic writes, group commit, and reads from memory.

Rules
* A write is checked against the newest version, also one that is still on its way to the log, and gets its revision at once.
* It is answered, readable and watched only after its whole batch is durable. While one batch is written the next one gathers.
* When the log fails, every write that is on its way fails with `LogError` and nothing of it was ever visible.
"""
from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple

import orjson

from tiffin.machinery.object import Key, Object
from tiffin.store.log import Log, LogError, Record, Undecipherable
from tiffin.store.mvcc import Entry, Event, EventType, Mvcc, Page, Sink

logger = logging.getLogger(__name__)

MUST_NOT_EXIST = 0
SEALED = b"k8s:enc:"
"""How encrypted data begins."""
COMPACT_EVERY = 1000
"""Dead records gathered before the log is asked to forget them."""


class Write(NamedTuple):
    """A put (or, with `object=None`, a deletion). `expected` is the revision it replaces, 0 for none, None for any."""

    resource: str
    key: Key
    object: Object | None
    expected: int | None


class Mismatch(Exception):
    """The newest version is not the one expected; `current` is it, None if there is none. Nothing was written."""

    def __init__(self, write: Write, current: Entry | None) -> None:
        super().__init__(f"{write.resource} {write.key}: expected {write.expected}, found {current.revision if current else 'nothing'}")
        self.write, self.current = write, current


class _Batch:
    __slots__ = ("compact", "compact_again", "compacted", "events", "records", "waiters")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.records: list[Record] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.compact: list[int] = []
        self.compacted = 0
        self.compact_again = False


class Store:
    """One cluster's objects. Belongs to the event loop it is used in; only the log runs elsewhere."""

    def __init__(self, log: Log, index: Mvcc | None = None) -> None:
        self.index = index or Mvcc()
        self._log = log
        self._pending: dict[tuple[str, Key], Event] = {}
        self._batch = _Batch()
        self._writing = False
        self._dead: list[int] = []
        self._queue: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._revision = self._load()

    def _load(self) -> int:
        index = self.index
        for record in self._log.replay():
            key = Key(record.namespace, record.name)
            if record.data is not None and record.data[:8] == SEALED:
                raise Undecipherable("the store holds encrypted objects: tell the server its encryption provider config")
            previous = index.get(record.resource, key)
            if record.data is None and previous is None:
                continue  # its creation was forgotten already, the deletion not yet
            self._dead += index.apply([index.event(record.resource, key, record.revision, record.data, None, previous)])
        index.compacted = max(index.compacted, self._log.compacted)
        index.revision = max(index.revision, index.compacted)  # the last records may be deletions, and forgotten
        return index.revision

    # reading

    @property
    def revision(self) -> int:
        """The newest visible revision."""
        return self.index.revision

    def get(self, resource: str, key: Key) -> Entry | None:
        return self.index.get(resource, key)

    def newest(self, resource: str, key: Key) -> Entry | None:
        """The version a write will be checked against: the visible one, or one that is still on its way to the log."""
        pending = self._pending.get((resource, key))
        if pending is not None:
            return None if pending.type is EventType.DELETED else pending.entry
        return self.index.get(resource, key)

    def entries(self, resource: str, namespace: str | None = None) -> Iterator[Entry]:
        return self.index.entries(resource, namespace)

    def list(self, resource: str, namespace: str | None = None, after: Key | None = None, limit: int = 0, revision: int = 0) -> Page:
        return self.index.list(resource, namespace, after, limit, revision)

    def watch(self, resource: str, since: int, sink: Sink) -> Callable[[], None]:
        return self.index.watch(resource, since, sink)

    # writing

    async def commit(self, *writes: Write) -> Sequence[Entry]:
        """Makes the writes durable together, in order; gives the entries (for deletions the last content). No two share a key.

        Raises `Mismatch` before anything is written, or `LogError` when the log could not take them.
        """
        for write in writes:
            current = self.newest(write.resource, write.key)
            if write.expected is not None and (current.revision if current else 0) != write.expected:
                raise Mismatch(write, current)
            if write.object is None and current is None:
                raise Mismatch(write, None)
        encoded = [self._encode(write, revision) for revision, write in enumerate(writes, self._revision + 1)]
        events = [self._stage(write, data) for write, data in zip(writes, encoded)]
        await self._landing()
        return [event.entry for event in events]

    async def settled(self, resource: str, key: Key) -> None:
        """Returns once the newest version of the object is durable and visible."""
        if (resource, key) in self._pending:
            await self._landing()

    @staticmethod
    def _encode(write: Write, revision: int) -> bytes | None:
        if write.object is None:
            return None
        write.object["metadata"]["resourceVersion"] = str(revision)
        return bytes(memoryview(orjson.dumps(write.object)))  # a copy of the right size: orjson's own buffer keeps several KB more

    def _stage(self, write: Write, data: bytes | None) -> Event:
        self._revision += 1
        revision = self._revision
        previous = self.newest(write.resource, write.key)
        event = self.index.event(write.resource, write.key, revision, data, write.object, previous)
        self._pending[write.resource, write.key] = event
        self._batch.events.append(event)
        self._batch.records.append(Record(revision, write.resource, write.key.namespace, write.key.name, data))
        return event

    async def _landing(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._batch.waiters.append(future)
        if not self._writing:
            self._writing = True
            loop.call_soon(self._send)
        await future

    def _send(self) -> None:
        batch, self._batch = self._batch, _Batch()
        if len(self._dead) >= COMPACT_EVERY:
            batch.compact, self._dead = self._dead, []
            batch.compacted = self.index.compacted
        if not self._log.durable:
            self._landed(batch, self._write(batch))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_writer, name="store-writer", daemon=True)
            self._thread.start()
        self._queue.put(batch)

    def _run_writer(self) -> None:
        while (batch := self._queue.get()) is not None:
            error = self._write(batch)
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._landed, batch, error)

    def _write(self, batch: _Batch) -> LogError | None:
        try:
            self._log.append(batch.records)
        except LogError as error:
            return error
        except Exception as error:  # whatever it is, the writers must hear of it and the next batch gets its try
            logger.exception("the log failed")
            return LogError(repr(error))
        try:
            if batch.compact:
                self._log.compact(batch.compact, batch.compacted)
        except LogError:
            logger.warning("compaction postponed", exc_info=True)
            batch.compact_again = True
        return None

    def _landed(self, batch: _Batch, error: LogError | None) -> None:
        if error is not None:
            self._fail(batch, error)
        else:
            for event in batch.events:
                place = event.resource, event.entry.key
                if self._pending.get(place) is event:
                    del self._pending[place]
            self._dead += self.index.apply(batch.events)
            if batch.compact_again:
                self._dead += batch.compact
            for waiter in batch.waiters:
                if not waiter.done():
                    waiter.set_result(None)
        self._writing = bool(self._batch.waiters)
        if self._writing:  # after those who were just answered had their turn: what they write next is in the same batch
            asyncio.get_running_loop().call_soon(self._send)

    def _fail(self, batch: _Batch, error: LogError) -> None:
        """Also fails what gathered meanwhile: it may build on versions that never came to be."""
        waiters = batch.waiters + self._batch.waiters
        self._batch = _Batch()
        self._pending.clear()
        self._dead = batch.compact + self._dead
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    async def close(self) -> None:
        """Waits for the writes that are on their way, then closes the log."""
        while self._writing:
            await self._landing()
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        self._log.close()

