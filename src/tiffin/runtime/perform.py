"""Performing what a controller wants: one `Changes` against one client, remembering what must be seen before the next look.

Rules:
* Changes are performed in order; the first error ends them. `Together` tries all of its own and raises the first error.
* A 404 or 409 that the change declares harmless is no error. Content refused because its namespace is going is no error either,
  but ends the changes: there is nothing left to do, and retrying would not help.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, Resource, dig, is_deleting, key_of, meta, namespace_of, uid_of
from tiffin.runtime.controller import Absent, Change, Create, Delete, Patch, RecordEvent, Sweep, Swept, Together, Update

SWEPT_AT_ONCE = 100


class Written(NamedTuple):
    """A write that was answered: seen once the cache has its revision, or, for a deletion, once the object is gone or going."""

    resource: Resource
    key: Key
    version: str = ""
    uid: str = ""

    def seen(self, caches: Caches) -> bool:
        if self.resource not in caches:
            return True
        cache = caches[self.resource]
        if self.version:
            return cache.seen(self.version)
        obj = cache.get(*self.key)
        return obj is None or is_deleting(obj) or bool(self.uid and uid_of(obj) != self.uid)


class StillThere(Exception):
    """An `Absent` found its object: the cache lags, look again."""


class NamespaceGoing(Exception):
    """The namespace is being deleted and takes no new content."""


class Refused(Exception):
    """A change that failed, with the error of the server."""

    def __init__(self, change: Change, error: ApiError) -> None:
        super().__init__(str(error))
        self.change, self.error = change, error


class Performer:
    """Performs changes as one identity. `record` takes events, `count` is told the verb of every write."""

    def __init__(self, client: Client, record: Callable[[RecordEvent], None], count: Callable[[str], None]) -> None:
        self._client, self._record, self._count = client, record, count

    async def perform(self, changes: Sequence[Change], written: list[Written]) -> None:
        """All changes in order; what was written is added to `written` even when a later change fails."""
        for change in changes:
            await self._one(change, written)

    async def _one(self, change: Change, written: list[Written]) -> None:
        match change:
            case RecordEvent():
                self._record(change)
            case Together(changes):
                await self._together(changes, written)
            case Absent():
                await self._absent(change)
            case Sweep(resources, namespace, then):
                await self.perform(then(await self._sweep(resources, namespace)), written)
            case Create() | Update() | Patch() | Delete():
                await self._write(change, written)

    async def _together(self, changes: Sequence[Change], written: list[Written]) -> None:
        results = await asyncio.gather(*(self._one(change, written) for change in changes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _absent(self, change: Absent) -> None:
        if not change.name:
            if (await self._client.list(change.resource, change.namespace, limit=1)).items:
                raise StillThere
            return
        try:
            obj = await self._client.get(change.resource, change.namespace, change.name)
        except ApiError as error:
            if error.code == 404:
                return
            raise Refused(change, error) from error
        if not change.uid or uid_of(obj) == change.uid:
            raise StillThere

    async def _sweep(self, resources: Sequence[Resource], namespace: str) -> Swept:
        remaining, errors = {}, {}
        for resource in resources:
            try:
                left = await self._sweep_one(resource, namespace)
            except ApiError as error:
                # A resource that is no longer served has nothing left to sweep.
                if error.code != 404:
                    errors[resource] = error.message
                continue
            if left:
                remaining[resource] = left
        return Swept(remaining, errors)

    async def _sweep_one(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Delete what is not being deleted yet; answers what is left."""
        found = (await self._client.list(resource, namespace)).items
        doomed = [obj for obj in found if not is_deleting(obj)]
        for start in range(0, len(doomed), SWEPT_AT_ONCE):
            await asyncio.gather(*(self._remove(resource, obj) for obj in doomed[start : start + SWEPT_AT_ONCE]))
        return (await self._client.list(resource, namespace)).items if doomed else found

    async def _remove(self, resource: Resource, obj: Object) -> None:
        self._count("delete")
        try:
            await self._client.delete(resource, *key_of(obj), uid=uid_of(obj), propagation="Background")
        except ApiError as error:
            # Gone, or replaced by another of its name, which the next pass finds.
            if error.code not in (404, 409):
                raise

    async def _write(self, change: Create | Update | Patch | Delete, written: list[Written]) -> None:
        self._count(type(change).__name__.lower())
        try:
            answer = await self._send(change, written)
        except ApiError as error:
            if _harmless(change, error):
                return
            if _namespace_going(error):
                raise NamespaceGoing from error
            raise Refused(change, error) from error
        if not isinstance(change, Update) and change.then:
            await self.perform(change.then(answer), written)

    async def _send(self, change: Create | Update | Patch | Delete, written: list[Written]) -> Object:
        client = self._client
        match change:
            case Create(resource, obj, subresource=""):
                answer = await client.create(resource, namespace_of(obj), obj)
            case Create(resource, obj, subresource=subresource):
                return await client.create(resource, namespace_of(obj), obj, name=key_of(obj).name, subresource=subresource)
            case Update(resource, obj, subresource):
                answer = await client.update(resource, namespace_of(obj), obj, subresource=subresource)
            case Patch(resource, namespace, name, patch, kind, subresource):
                answer = await client.patch(resource, namespace, name, patch, type=kind, subresource=subresource)
            case Delete(resource, namespace, name, uid, version, propagation, grace):
                answer = await client.delete(
                    resource, namespace, name, uid=uid, resource_version=version, propagation=propagation, grace_period=grace
                )
                written.append(Written(resource, Key(namespace, name), uid=uid))
                return answer
        written.append(Written(change.resource, key_of(answer), meta(answer).get("resourceVersion") or ""))
        return answer


def _harmless(change: Create | Update | Patch | Delete, error: ApiError) -> bool:
    match change:
        case Create():
            return change.ignore_exists and error.reason == "AlreadyExists"
        case Patch() | Delete():
            return change.ignore_missing and error.code == 404
        case _:
            return False


def _namespace_going(error: ApiError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in dig(error.details, "causes", default=()))
