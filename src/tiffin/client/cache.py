"""The indexed copy of resources that controllers, scheduler and node agent read.

Rules:
* Objects are shared by reference and read-only; a cache never copies one.
* Subscribers are called synchronously, in order, with `(old, new)`: `(None, new)` for an addition and `(old, None)` for a
  removal. When they are called the cache already holds the new state. Everything runs on one event loop.
* A replacement (first list, or list after 410) is told as the differences, so a subscriber never notices the relist.
* `seen(version)` answers whether the cache has reached a revision: one counter serves the whole cluster, so that is how a
  writer waits for its own writes.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tiffin.client.client import Client
from tiffin.client.watcher import Applied, Delivery, Progressed, Removed, Replaced, Selection, follow
from tiffin.machinery.object import Key, Object, Resource, controller_of, key_of, meta

log = logging.getLogger(__name__)

Subscriber = Callable[[Object | None, Object | None], None]
Index = Callable[[Object], Iterable[str]]
Observation = Callable[[Object], Any]


def by_controller(obj: Object) -> Iterable[str]:
    """The index "owner": the UID of the controller that owns the object."""
    reference = controller_of(obj)
    return (reference["uid"],) if reference else ()


def revision(version: str) -> int:
    """A resourceVersion as a number; text that is none, or absent, counts as 0."""
    return int(version) if version.isdigit() else 0


class Cache:
    """The objects of one resource by namespace and name, with indexes."""

    def __init__(self, resource: Resource, now: Callable[[], datetime], indexes: Mapping[str, Index] | None = None) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.revision = 0
        self._now = now
        self._objects: dict[str, dict[str, Object]] = {}
        self._indexes: dict[str, tuple[Index, dict[str, dict[Key, None]]]] = {}
        self._observations: dict[str, tuple[Observation, dict[Key, datetime]]] = {}
        self._subscribers: list[Subscriber] = []
        for name, index in {"owner": by_controller, **(indexes or {})}.items():
            self.add_index(name, index)

    def __len__(self) -> int:
        return sum(map(len, self._objects.values()))

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get(namespace, {}).get(name)

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        """Objects of one namespace, or of all; the list is the caller's own."""
        if namespace is not None:
            return list(self._objects.get(namespace, {}).values())
        return [obj for objects in self._objects.values() for obj in objects.values()]

    def by_index(self, index: str, value: str) -> Sequence[Object]:
        keys = self._indexes[index][1].get(value, ())
        return [self._objects[key.namespace][key.name] for key in keys]

    def observed(self, namespace: str, name: str, observation: str) -> datetime | None:
        """When, by our own clock, the observed value of this object was last seen to change."""
        return self._observations[observation][1].get(Key(namespace, name))

    def seen(self, version: str) -> bool:
        """Whether everything up to this resourceVersion is in the cache."""
        return self.revision >= revision(version)

    def add_index(self, name: str, index: Index) -> None:
        """Add an index, also to a cache already filled; a name that exists keeps its function."""
        if name not in self._indexes:
            self._indexes[name] = (index, {})
            for obj in self.list():
                self._enter(self._indexes[name], key_of(obj), obj)

    def add_observation(self, name: str, observation: Observation) -> None:
        """Keep the moment at which `observation(obj)` last changed; objects already here count from now."""
        if name not in self._observations:
            self._observations[name] = (observation, {key_of(obj): self._now() for obj in self.list()})

    @property
    def used(self) -> bool:
        return bool(self._subscribers)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell `subscriber` of every object now and of every change from now on."""
        for obj in self.list():
            self._tell_one(subscriber, None, obj)
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    def deliver(self, delivery: Delivery) -> None:
        """What a watcher saw; see `watcher.Listener`."""
        match delivery:
            case Replaced(objects, version):
                self._replace(objects)
                self._reach(version)
                self.synced.set()
            case Applied(obj):
                self._reach(meta(obj).get("resourceVersion") or "")
                self._put(obj)
            case Removed(obj):
                self._reach(meta(obj).get("resourceVersion") or "")
                self._remove(key_of(obj))
            case Progressed(version):
                self._reach(version)

    def _reach(self, version: str) -> None:
        self.revision = max(self.revision, revision(version))

    def _replace(self, objects: Sequence[Object]) -> None:
        remaining = {key_of(obj) for obj in objects}
        for key in [key for obj in self.list() if (key := key_of(obj)) not in remaining]:
            self._remove(key)
        for obj in objects:
            old = self.get(*key_of(obj))
            if old is None or meta(old).get("resourceVersion") != meta(obj).get("resourceVersion") or meta(old).get("uid") != meta(obj).get("uid"):
                self._put(obj)

    def _put(self, obj: Object) -> None:
        key = key_of(obj)
        old = self.get(*key)
        for index in self._indexes.values():
            if old is not None:
                self._leave(index, key, old)
            self._enter(index, key, obj)
        self._objects.setdefault(key.namespace, {})[key.name] = obj
        for observe, moments in self._observations.values():
            if old is None or meta(old).get("uid") != meta(obj).get("uid") or observe(old) != observe(obj):
                moments[key] = self._now()
        self._tell(old, obj)

    def _remove(self, key: Key) -> None:
        old = self.get(*key)
        if old is None:
            return
        for index in self._indexes.values():
            self._leave(index, key, old)
        for _, moments in self._observations.values():
            moments.pop(key, None)
        objects = self._objects[key.namespace]
        del objects[key.name]
        if not objects:
            del self._objects[key.namespace]
        self._tell(old, None)

    @staticmethod
    def _enter(index: tuple[Index, dict[str, dict[Key, None]]], key: Key, obj: Object) -> None:
        function, entries = index
        for value in function(obj):
            entries.setdefault(value, {})[key] = None

    @staticmethod
    def _leave(index: tuple[Index, dict[str, dict[Key, None]]], key: Key, obj: Object) -> None:
        function, entries = index
        for value in function(obj):
            keys = entries.get(value, {})
            keys.pop(key, None)
            if not keys:
                entries.pop(value, None)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for subscriber in tuple(self._subscribers):
            self._tell_one(subscriber, old, new)

    def _tell_one(self, subscriber: Subscriber, old: Object | None, new: Object | None) -> None:
        try:
            subscriber(old, new)
        except Exception:
            # One subscriber's fault must not stop the others from seeing the cluster.
            log.exception("subscriber %r failed on %s %s", subscriber, self.resource.group_resource, key_of(new or old or {}))


def _report(task: asyncio.Task[None]) -> None:
    """A watch ends by cancellation only; anything else is a fault that must not go unnoticed."""
    if not task.cancelled() and (error := task.exception()):
        log.error("%s ended", task.get_name(), exc_info=error)


class Caches:
    """A shared set of caches, one per resource, kept true by one watch each. It is the `View` of controllers."""

    def __init__(self, client: Client, now: Callable[[], datetime], sleep: Callable[[float], Any]) -> None:
        self._client, self._now, self._sleep = client, now, sleep
        self._caches: dict[Resource, Cache] = {}
        self._selections: dict[Resource, Selection] = {}
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._running = False

    def add(self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = "") -> Cache:
        """The cache of a resource, made on first use; what it selects is settled then. Once `run` has begun it starts at once."""
        if resource not in self._caches:
            self._caches[resource] = Cache(resource, self._now)
            self._selections[resource] = Selection(resource, namespace, labels, fields)
            if self._running:
                self._start(resource)
        return self._caches[resource]

    def drop_unused(self, resource: Resource) -> None:
        """Stop following a resource that nobody subscribes to any more, because it is no longer served."""
        if resource in self._caches and not self._caches[resource].used:
            del self._caches[resource], self._selections[resource]
            if task := self._tasks.pop(resource, None):
                task.cancel()

    def __getitem__(self, resource: Resource) -> Cache:
        return self._caches[resource]

    def __contains__(self, resource: object) -> bool:
        return resource in self._caches

    async def run(self) -> None:
        """Keep every cache true until cancelled."""
        self._running = True
        try:
            for resource in self._caches:
                self._start(resource)
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            tasks = list(self._tasks.values())
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, resource: Resource) -> None:
        watching = follow(self._client, self._selections[resource], self._caches[resource], self._sleep)
        task = asyncio.create_task(watching, name=f"watch {resource.group_resource}")
        task.add_done_callback(_report)
        self._tasks[resource] = task

    async def synced(self, resources: Iterable[Resource] | None = None) -> None:
        """Wait until these caches (or all) have had their first list."""
        for resource in list(self._caches) if resources is None else resources:
            await self._caches[resource].synced.wait()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._caches[resource].get(namespace, name)

    def list(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        return self._caches[resource].list(namespace)

    def by_index(self, resource: Resource, index: str, value: str) -> Sequence[Object]:
        return self._caches[resource].by_index(index, value)

    def observed(self, resource: Resource, namespace: str, name: str, observation: str) -> datetime | None:
        return self._caches[resource].observed(namespace, name, observation)
