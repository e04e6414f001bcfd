"""How objects of a custom resource stand in the store, and how they are read and written in each of its versions.

An object is stored in the version that was the storage version when it was written, and under the schema of that time. So
* reading brings an object to what is asked for: pruned and given the defaults of the version it is stored in, converted, and pruned
  by the schema of the version asked for. What was written under the present definition in the version asked for is exact already:
  its bytes are served as they are;
* writing converts to the storage version and prunes by its schema.

With the strategy None only `apiVersion` changes. With Webhook objects go through `conversion.py`, which takes time: `remote` says
so, and only the asynchronous functions work then. Source: KEP-598; CRD docs, "Versions in CustomResourceDefinitions".
"""
from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import orjson

from tiffin.machinery.decode import DecodeError
from tiffin.machinery.errors import internal_error
from tiffin.machinery.object import Object
from tiffin.machinery.structural.decoding import Structure
from tiffin.store.mvcc import Entry, Event

Convert = Callable[[list[Object], str], Awaitable[list[Object]]]
"""Objects in other versions, and the apiVersion they are wanted in; raises ApiError."""


class Family:
    """What the versions of one definition share.

    `structures` is by apiVersion, `since` the revision the definition was met at, `stamp` a text that changes with its spec.
    """

    def __init__(self, structures: dict[str, Structure], storage: str, since: int, stamp: str, convert: Convert | None = None) -> None:
        self.structures, self.storage, self.since, self.stamp, self.convert = structures, storage, since, stamp, convert


class StoredForm:
    """One version's way into the store and out of it."""

    def __init__(self, family: Family, api_version: str) -> None:
        self.family, self.api_version = family, api_version
        self.is_storage = api_version == family.storage
        self.remote = family.convert is not None
        self.structure = family.structures[api_version]

    def exact(self, entry: Entry) -> bool:
        """Whether what is stored is already what this version shows."""
        return self.is_storage and entry.revision > self.family.since

    # out of the store

    def read_now(self, entry: Entry) -> Entry:
        """The entry in this version, where no webhook has to be asked."""
        if self.exact(entry):
            return entry
        obj = self._decoded(entry)
        if obj["apiVersion"] != self.api_version:
            obj["apiVersion"] = self.api_version
            self._prune(obj, self.structure)
        return _entry(entry, obj)

    async def read(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries in this version; one webhook call converts all that need it."""
        if not self.remote:
            return [self.read_now(entry) for entry in entries]
        objects = [entry.object if self.exact(entry) else self._decoded(entry) for entry in entries]
        others = [index for index, obj in enumerate(objects) if obj["apiVersion"] != self.api_version]
        if others:
            assert self.family.convert is not None
            converted = await self.family.convert([objects[index] for index in others], self.api_version)
            for index, obj in zip(others, converted, strict=True):
                self._prune(obj, self.structure)
                objects[index] = obj
        return [entry if self.exact(entry) else _entry(entry, obj) for entry, obj in zip(entries, objects, strict=True)]

    async def read_one(self, entry: Entry) -> Entry:
        return self.read_now(entry) if not self.remote else (await self.read([entry]))[0]

    async def read_event(self, event: Event) -> Event:
        """The event in this version, with what was there before."""
        entries = await self.read([event.entry, event.previous] if event.previous is not None else [event.entry])
        return Event(event.resource, event.type, entries[0], entries[1] if event.previous is not None else None)

    def read_event_now(self, event: Event) -> Event:
        previous = self.read_now(event.previous) if event.previous is not None else None
        return Event(event.resource, event.type, self.read_now(event.entry), previous)

    def _decoded(self, entry: Entry) -> Object:
        """The stored object as the definition of today reads it, in the version it is stored in."""
        obj: Object = orjson.loads(entry.data)
        structure = self.family.structures.get(obj["apiVersion"])
        if structure is not None:
            self._prune(obj, structure)
            structure.default(obj)
        return obj

    @staticmethod
    def _prune(obj: Object, structure: Structure) -> None:
        try:
            structure.decode(obj)
        except DecodeError as error:
            raise internal_error(str(error)) from None

    # into the store

    async def write(self, obj: Object) -> Object:
        """The object in the storage version; it belongs to the request and may be changed."""
        if self.is_storage:
            return obj
        if self.family.convert is not None:
            (obj,) = await self.family.convert([obj], self.family.storage)
        else:
            obj = {**orjson.loads(orjson.dumps(obj)), "apiVersion": self.family.storage}
        self._prune(obj, self.family.structures[self.family.storage])
        return obj


def _entry(entry: Entry, obj: Object) -> Entry:
    return Entry(entry.key, entry.revision, orjson.dumps(obj), obj)
