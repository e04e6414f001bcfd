"""A view made of given objects, and one reconciliation over it: what a controller's table tests are written with."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tiffin.client.cache import Cache
from tiffin.client.watcher import Replaced
from tiffin.machinery.object import Key, Object, Resource
from tiffin.runtime.controller import Changes, Controller


class Snapshot:
    """A `View` that never changes. `seen` is when everything in it was first observed."""

    def __init__(self, controller: Controller, objects: Mapping[Resource, Sequence[Object]], seen: datetime) -> None:
        self._caches: dict[Resource, Cache] = {}
        self._seen = seen
        self._fill(controller.watches, objects)
        if controller.discover:
            self._fill(controller.discover(self), objects)

    def _fill(self, watches, objects: Mapping[Resource, Sequence[Object]]) -> None:  # type: ignore[no-untyped-def]
        for watch in watches:
            cache = self._caches.setdefault(watch.resource, Cache(watch.resource, lambda: self._seen, watch.indexes))
            for name, index in watch.indexes.items():
                cache.add_index(name, index)
            for name, observation in watch.observes.items():
                cache.add_observation(name, observation)
            cache.deliver(Replaced(objects.get(watch.resource, ()), "1"))

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._caches[resource].get(namespace, name)

    def list(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        return self._caches[resource].list(namespace)

    def by_index(self, resource: Resource, index: str, value: str) -> Sequence[Object]:
        return self._caches[resource].by_index(index, value)

    def observed(self, resource: Resource, namespace: str, name: str, observation: str) -> datetime | None:
        return self._caches[resource].observed(namespace, name, observation)


def run_table(controller: Controller, objects: Mapping[Resource, Sequence[Object]], key: Key, now: datetime, seen: datetime | None = None) -> Changes:
    """What the controller would change for `key`, seeing exactly these objects at `now`, all first observed at `seen` (or now)."""
    return controller.reconcile(key, Snapshot(controller, objects, seen or now), now)
