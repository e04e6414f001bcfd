"""The client port inside the server's own process: the same rules, no network, and stored objects passed by reference.

Reads and watches give the stored objects themselves. Writes copy what they are given, are authorized and admitted like any
other request, and give the stored object back.
"""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from tiffin.apiserver import bodies
from tiffin.apiserver.authz.attributes import Attributes, refusal
from tiffin.apiserver.context import Query, RequestContext, RequestInfo
from tiffin.apiserver.deletion import DeleteOptions
from tiffin.apiserver.handler import Authorize
from tiffin.apiserver.reads import list_options
from tiffin.apiserver.registry import Served
from tiffin.apiserver.resources import Resources
from tiffin.apiserver.selection import Selection
from tiffin.apiserver.user import User
from tiffin.client.client import ObjectList, PatchType, WatchEvent
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, Resource
from tiffin.net.http import Request
from tiffin.store.mvcc import Compacted, Event, EventType


class LocalClient:
    """A `Client` for one user of this server. `agent` owns the fields that are written."""

    def __init__(self, resources: Resources, authorize: Authorize, user: User, agent: str) -> None:
        self.resources, self.authorize, self.user = resources, authorize, user
        self._headers = {"user-agent": agent}

    def _context(self, verb: str, resource: Resource, namespace: str, name: str = "", subresource: str = "", **query: str) -> RequestContext:
        info = RequestInfo(verb, "", True, resource, namespace, name, subresource)
        values = {key: [value] for key, value in query.items() if value}
        context = RequestContext(info, Query(values), self._headers, self.user, field_validation="Ignore")
        attributes = Attributes(self.user, verb, *resource, subresource, namespace, name)
        decision = self.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)
        return context

    def _served(self, resource: Resource) -> Served:
        served = self.resources.registry.lookup(*resource)
        if served is None:
            raise errors.path_not_found()
        return served

    # reading

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Object:
        served = self._served(resource)
        context = self._context("get", resource, namespace, name, subresource)
        if subresource:
            return await self._through_handler(context, served, "GET", {})
        entry = self.resources.reads.entry(served, Key(namespace, name))
        return served.from_stored((await served.form.read_one(entry)).object if served.form is not None else entry.object)

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, continue_token: str = "",
        resource_version: str = "",
    ) -> ObjectList:
        served = self._served(resource)
        context = self._context(
            "list", resource, namespace, labelSelector=labels, fieldSelector=fields, limit=str(limit or ""), **{"continue": continue_token},
            resourceVersion=resource_version)
        options = list_options(context.query, self.resources.reads.store.revision)
        entries, metadata = self.resources.reads.page(served, namespace, Selection(served, context.query), options)
        if served.form is not None:
            entries = await served.form.read(entries)
        return ObjectList([served.from_stored(e.object) for e in entries], metadata["resourceVersion"], metadata.get("continue", ""))

    async def watch(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        served = self._served(resource)
        context = self._context("watch", resource, namespace, labelSelector=labels, fieldSelector=fields)
        queue = _EventQueue(served, namespace, Selection(served, context.query))
        try:
            stop = self.resources.reads.store.watch(served.storage, int(resource_version or self.resources.reads.store.revision), queue.sink)
        except Compacted as error:
            raise errors.expired(str(error)) from None
        try:
            while True:
                for event in await queue.take():
                    yield event
        finally:
            stop()

    # writing

    @staticmethod
    def _copy(served: Served, obj: Object) -> Object:
        copy: Object = orjson.loads(orjson.dumps(obj))
        copy["kind"], copy["apiVersion"] = served.kind.kind, served.api_version
        bodies.decode_served(copy, served)
        copy = served.to_stored(copy)
        served.kind.default(copy)
        return copy

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        served = self._served(resource)
        context = self._context("create", resource, namespace, name, subresource)
        if subresource:
            return await self._through_handler(context, served, "POST", obj)
        virtual = self.resources.virtual.get(served.storage)
        if virtual is not None:
            return await virtual(context, served, obj)
        written = await self.resources.writes.create(context, served, self._copy(served, obj), namespace)
        return served.from_stored(written.entry.object)

    async def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        served = self._served(resource)
        name = obj["metadata"]["name"]
        context = self._context("update", resource, namespace, name, subresource)
        sub = served.kind.subresource_by_name.get(subresource)
        if sub is not None and not sub.updates_object:
            return await self._through_handler(context, served, "PUT", obj)
        written = await self.resources.writes.update(
            context, served, Key(namespace, name), lambda old: self._copy(served, obj), subresource=sub)
        return served.from_stored(written.entry.object)

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "",
        field_manager: str = "", force: bool = False,
    ) -> Object:
        served = self._served(resource)
        context = self._context("patch", resource, namespace, name, subresource, force="true" if force else "")
        context.field_manager = field_manager
        sub = served.kind.subresource_by_name.get(subresource)
        if sub is not None and not sub.updates_object:
            return await self._through_handler(context, served, "PATCH", patch, type.value)
        if type is PatchType.APPLY:
            written = await self.resources.apply(context, served, patch, sub)
        else:
            written = await self.resources.patch(context, served, type, orjson.dumps(patch), sub)
        return served.from_stored(written.entry.object)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", resource_version: str = "", propagation: str = "",
        grace_period: int | None = None,
    ) -> Object:
        served = self._served(resource)
        context = self._context("delete", resource, namespace, name)
        options = DeleteOptions(grace_period, uid, resource_version, propagation)
        obj, _ = await self.resources.writes.delete(context, served, Key(namespace, name), options)
        return served.from_stored(obj)

    async def _through_handler(self, context: RequestContext, served: Served, method: str, obj: Any, content_type: str = "application/json") -> Object:
        """Subresources with handlers of their own are asked as if over HTTP."""
        request = Request(method, "", {**self._headers, "content-type": content_type}, orjson.dumps(obj))
        context.headers = request.headers
        sub = served.kind.subresource_by_name.get(context.info.subresource)
        handler = self.resources.subresources.get(context.info.subresource)
        if sub is None or handler is None:
            raise errors.path_not_found()
        response = await handler(context, served, sub, request)
        answer: Object = orjson.loads(response.body)
        if response.status >= 400:
            raise ApiError.from_status(response.status, answer)
        return answer


class _EventQueue:
    """Events on their way from the store's sink to one watcher of this process."""

    def __init__(self, served: Served, namespace: str, selection: Selection) -> None:
        self.served, self.namespace, self.matches = served, namespace, selection.matches
        self._events: deque[WatchEvent] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def sink(self, events: Sequence[Event]) -> None:
        try:
            for event in events:
                if not self.namespace or event.entry.key.namespace == self.namespace:
                    self._add(event)
        except Exception as error:  # of a conversion or a selector: it is for the one who watches
            self._error = error
        if (self._events or self._error) and self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _add(self, event: Event) -> None:
        converted = self._convert(event)
        if converted is not None:
            self._events.append(converted)

    def _convert(self, event: Event) -> WatchEvent | None:
        form = self.served.form
        if form is not None and not form.remote:  # what only a webhook could convert is watched as it is stored
            event = form.read_event_now(event)
        obj = event.entry.object
        type = event.type.value
        if self.matches is not None:
            now = event.type is not EventType.DELETED and self.matches(obj)
            before = event.previous is not None and self.matches(event.previous.object)
            if not now and not before:
                return None
            type = ("MODIFIED" if before else "ADDED") if now else "DELETED"
        return WatchEvent(type, self.served.from_stored(obj))

    async def take(self) -> list[WatchEvent]:
        """The events that have come, at least one."""
        while not self._events:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
            self._wake = None
        taken = list(self._events)
        self._events.clear()
        return taken
