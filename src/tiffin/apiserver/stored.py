"""The `Reader` port over the store: what authentication, authorization and admission look up."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tiffin.machinery.object import Key, Object, Resource
from tiffin.store.mvcc import Event, EventType
from tiffin.store.store import Store


class StoreReader:
    """Stored objects by resource; synchronous and uncopied."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        entry = self._store.get(resource.group_resource, Key(namespace, name))
        return entry.object if entry else None

    def list(self, resource: Resource, namespace: str | None = None) -> Iterable[Object]:
        return (entry.object for entry in self._store.entries(resource.group_resource, namespace))

    def revision(self, resource: Resource) -> int:
        return self._store.index.resource_revision(resource.group_resource)

    def follow(self, resource: Resource, changed: Callable[[], None]) -> None:
        self._store.watch(resource.group_resource, self._store.revision, lambda events: changed())

    async def appears(self, resource: Resource, namespace: str, name: str, seconds: float) -> Object | None:
        if found := self.get(resource, namespace, name):
            return found
        appeared: asyncio.Future[Object] = asyncio.get_running_loop().create_future()

        def notice(events: Sequence[Event]) -> None:
            for event in events:
                if event.entry.key == (namespace, name) and event.type is not EventType.DELETED and not appeared.done():
                    appeared.set_result(event.entry.object)

        stop = self._store.watch(resource.group_resource, self._store.revision, notice)
        try:
            return await asyncio.wait_for(appeared, seconds)
        except TimeoutError:
            return None
        finally:
            stop()
