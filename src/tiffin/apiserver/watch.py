"""WATCH: one sink per watcher, called as events become visible; encodings are made once and shared.

Rules
* Events come in order, none is skipped or repeated. A watcher that reads too slowly gets an ERROR 410 and is closed.
* With a selector an object that comes to match is ADDED, one that stops matching is DELETED with its old content.
* Bookmarks tell the revision up to which nothing is missing; all watchers get theirs from one timer.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import JSON, PROTOBUF, STREAMED, Form
from tiffin.apiserver.reads import check_match, parse_revision
from tiffin.apiserver.registry import Served
from tiffin.apiserver.render import Renderer, as_protobuf, entry_protobuf
from tiffin.apiserver.selection import Selection
from tiffin.apiserver.storedform import StoredForm
from tiffin.machinery import errors
from tiffin.machinery.managedfields import zero
from tiffin.machinery.object import Object
from tiffin.machinery.protoencode import encode_event
from tiffin.net.http import Response, Writer
from tiffin.store.mvcc import Compacted, Entry, Event, EventType, FutureRevision, with_revision
from tiffin.store.store import Store

logger = logging.getLogger(__name__)

MAX_BUFFERED = 8 << 20
"""Bytes a watcher may leave unread before it is given up."""
INITIAL_ENTRIES = 200
"""Objects of the initial state that are sent before the client has to take them."""
BOOKMARK_SECONDS = 60.0
DEFAULT_TIMEOUT = 3600.0
BINARY = Form(PROTOBUF)


class Watcher:
    """One watch of one client."""

    def __init__(self, store: Store, context: RequestContext, served: Served, form: Form) -> None:
        query = context.query
        check_match(query, True)
        self.store, self.served, self.form = store, served, form
        self.namespace = context.info.namespace if served.kind.namespaced else ""
        self.revision_text = query.text("resourceVersion")
        self.since = parse_revision(self.revision_text, 500)
        timeout = query.number("timeoutSeconds")
        self.timeout = float(timeout) if timeout else DEFAULT_TIMEOUT
        self.bookmarks = query.flag("allowWatchBookmarks")
        self.initial = query.flag("sendInitialEvents") or not self.since
        self.initial_end = self.bookmarks and (query.flag("sendInitialEvents") or self.revision_text == "0")
        self.selection = Selection(served, query)
        if context.info.name:
            self.selection.name = context.info.name
        self.renderer = Renderer(served, form, context.now, query.text("includeObject"))
        self.shared = form.plain and served.version is None
        self.unread: asyncio.Queue[Sequence[Event]] | None = asyncio.Queue() if served.form is not None and served.form.remote else None
        """Events that have to be converted by a webhook before they are sent."""
        self.columns_sent = False
        self.writer: Writer
        self.done: asyncio.Future[None]

    async def stream(self, writer: Writer) -> None:
        """Runs the watch until the client leaves, the time is up or the server ends."""
        self.writer = writer
        self.done = asyncio.get_running_loop().create_future()
        since = self.since
        try:
            if self.initial:
                since = await self._send_initial()
            stop = self.store.watch(self.served.storage, since, self._sink)
        except Compacted as error:
            self._fail(errors.expired(f"too old resource version: {error.requested} ({error.revision})"))
            return
        except FutureRevision as error:
            self._fail(errors.timeout(f"Too large resource version: {error.requested}, current: {error.current}"))
            return
        except TimeoutError:
            return
        gone = asyncio.ensure_future(writer.wait_closed())
        converting = asyncio.ensure_future(self._convert_all(self.unread)) if self.unread is not None else gone
        try:
            await asyncio.wait((self.done, gone, converting), timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop()
            gone.cancel()
            converting.cancel()

    async def _send_initial(self) -> int:
        """Sends the present state as fast as the client takes it; gives its revision."""
        revision = self.store.revision
        if self.since > revision:
            raise FutureRevision(self.since, revision)
        entries = self.selection.select(list(self.store.entries(self.served.storage, self.namespace or None)))
        if self.served.form is not None:
            entries = await self.served.form.read(entries)
        async with asyncio.timeout(self.timeout):
            for start in range(0, len(entries), INITIAL_ENTRIES):
                part = entries[start:start + INITIAL_ENTRIES]
                self.writer.write(b"".join([self._encode("ADDED", entry) for entry in part if self._named(entry)]))
                await self.writer.drain()
        if self.initial_end:
            self.writer.write(self._bookmark(revision, True))
        return revision

    def _named(self, entry: Entry) -> bool:
        return not self.selection.name or entry.key.name == self.selection.name

    def _sink(self, events: Sequence[Event]) -> None:
        if self.done.done():
            return
        try:
            if self.unread is not None:
                self.unread.put_nowait(events)
            else:
                self._send(events if self.served.form is None else self._read(self.served.form, events))
        except Exception:
            logger.exception("a watch of %s broke", self.served.storage)
            self._fail(errors.internal_error("the watch cannot go on"))
            self.done.set_result(None)

    @staticmethod
    def _read(form: StoredForm, events: Sequence[Event]) -> Sequence[Event]:
        """The events in the watched version; those that are in it already are the ones all watchers share."""
        return [event if form.exact(event.entry) else form.read_event_now(event) for event in events]

    async def _convert_all(self, unread: asyncio.Queue[Sequence[Event]]) -> None:
        """Converts and sends what comes, in its order, until the watch ends or the webhook fails."""
        form = self.served.form
        assert form is not None
        while True:
            try:
                self._send([await form.read_event(event) for event in await unread.get()])
            except errors.ApiError as error:
                self._fail(error)
                return

    def _send(self, events: Sequence[Event]) -> None:
        pieces = []
        for event in events:
            if (self.namespace and event.entry.key.namespace != self.namespace) or not self._named(event.entry):
                continue
            piece = self._event(event)
            if piece:
                pieces.append(piece)
        if pieces:
            self.writer.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if self.writer.buffered > MAX_BUFFERED:
                self._fail(errors.expired("the watch fell too far behind and has been closed"))
                self.done.set_result(None)

    def _event(self, event: Event) -> bytes:
        matches = self.selection.matches
        if matches is None:
            if not self.shared:
                return self._encode(event.type.value, event.entry)
            if event.wire is None:
                event.wire = self._encode(event.type.value, event.entry)
            return event.wire
        now = event.type is not EventType.DELETED and matches(event.entry.object)
        before = event.previous is not None and matches(event.previous.object)
        if now:
            return self._encode("MODIFIED" if before else "ADDED", event.entry)
        if not before or event.previous is None:
            return b""
        if event.type is EventType.DELETED:
            return self._encode("DELETED", event.entry)
        revision = event.revision
        return self._encode("DELETED", Entry(event.entry.key, revision, with_revision(event.previous.data, revision)))

    def _encode(self, type: str, entry: Entry) -> bytes:
        if self.form.plain:
            return b'{"type":"%b","object":%b}\n' % (type.encode(), self.renderer.data(entry))
        if self.form == BINARY:
            return encode_event(type, entry_protobuf(self.served, entry))
        obj = self.served.from_stored(entry.object)
        if self.form.kind == "Table":
            self.renderer.now = datetime.now(UTC)
            return self._line(type, self._table(obj))
        return self._line(type, self.renderer.transform(obj))

    def _table(self, obj: Object) -> Object:
        columns, self.columns_sent = not self.columns_sent, True
        return self.renderer.table([obj], {"resourceVersion": obj["metadata"]["resourceVersion"]}, columns)

    def _line(self, type: str, obj: Object) -> bytes:
        if self.form.media_type == PROTOBUF:
            return encode_event(type, as_protobuf(obj))
        return orjson.dumps({"type": type, "object": obj}) + b"\n"

    def _bookmark(self, revision: int, initial_end: bool = False) -> bytes:
        metadata: Object = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Object = {"kind": self.served.kind.kind, "apiVersion": self.served.api_version, "metadata": metadata}
        if not self.served.custom:
            obj = {**_empty(self.served), **obj}
        if self.form.kind == "Table":
            columns, self.columns_sent = not self.columns_sent, True
            return self._line("BOOKMARK", self.renderer.table([obj], {"resourceVersion": str(revision)}, columns))
        return self._line("BOOKMARK", self.renderer.transform(obj))

    def send_bookmark(self) -> None:
        """Called by the timer that all watchers share."""
        if self.bookmarks and not self.done.done():
            self.writer.write(self._bookmark(self.store.revision))

    def _fail(self, error: errors.ApiError) -> None:
        self.writer.write(self._line("ERROR", error.status()))


def _empty(served: Served) -> Object:
    """An object that says nothing, as Kubernetes writes it out: its own form of workloads has a plain number of replicas."""
    obj = zero(served.type)
    if served.resource.group == "apps" and any(each.name == "scale" for each in served.kind.subresources):
        obj["spec"] = {"replicas": 0, **obj["spec"]}
    return obj


class Watches:
    """The running watches of one server."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.running: set[Watcher] = set()

    def response(self, context: RequestContext, served: Served, form: Form) -> Response:
        """The streaming answer of a watch; what is wrong with the request is raised before it begins."""
        if form.kind == "PartialObjectMetadataList":
            raise errors.not_acceptable("a watch sends single objects, not lists")
        if form.media_type not in (JSON, PROTOBUF):
            raise errors.not_acceptable(f"only the following media types are accepted: {STREAMED}")
        watcher = Watcher(self.store, context, served, form)

        async def stream(writer: Writer) -> None:
            self.running.add(watcher)
            try:
                await watcher.stream(writer)
            finally:
                self.running.discard(watcher)

        return Response(200, {"Content-Type": JSON if form.media_type == JSON else f"{PROTOBUF};stream=watch"}, stream=stream)

    async def send_bookmarks(self) -> None:
        """Sends bookmarks to all watchers, once a minute, for ever."""
        while True:
            await asyncio.sleep(BOOKMARK_SECONDS)
            for watcher in list(self.running):
                watcher.send_bookmark()
