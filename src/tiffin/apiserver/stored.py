"""The `Reader` port over the store: what authentication, authorization and admission look up."""
from __future__ import annotations

from collections.abc import Iterable

from tiffin.machinery.object import Key, Object, Resource
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
