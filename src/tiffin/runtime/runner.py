"""The one runner: keeps a controller's keys coming, asks it what to change, and performs that.

A key is in one of these states; nothing else knows of it:

    waiting in the queue ─→ reconciled and performed ─→ held until the cache has seen its writes ─→ (gone until an event)
           ↑                          │                               │
           └──── back-off ←── failed ─┘                               └── an event or `requeue_after` came meanwhile ─→ queue

Rules:
* Two workers never hold the same key. Holding costs no time of a worker: a held key leaves the queue and is put back by the
  event that completes what it waits for, or after `HOLD_LIMIT` seconds.
* A conflict is ordinary (someone else was first): retried with back-off, not reported. Every other refusal is logged.
* A fault in a controller is logged with its traceback and retried with back-off; the others run on.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable

from tiffin.client.cache import Cache, Caches
from tiffin.client.client import Client
from tiffin.machinery.object import Key, Object, Resource, key_of
from tiffin.runtime import metrics
from tiffin.runtime.clock import Clock, Timer
from tiffin.runtime.controller import Changes, Controller, Later, RecordEvent, Watch
from tiffin.runtime.events import EventRecorder
from tiffin.runtime.perform import NamespaceGoing, Performer, Refused, StillThere, Written
from tiffin.runtime.queue import WorkQueue

log = logging.getLogger(__name__)

HOLD_LIMIT = 30.0
"""Seconds after which a key is looked at again although the cache has not shown its writes."""


DISCOVERY_LIMIT = 30.0
"""Seconds to wait at the start for the first list of discovered resources."""


class Subscription:
    """One watch of a controller on one cache: turns events into keys."""

    def __init__(self, runner: Runner, watch: Watch, cache: Cache) -> None:
        self._runner, self.watch, self._cache = runner, watch, cache
        self._is_open = False
        for name, index in watch.indexes.items():
            cache.add_index(name, index)
        for name, observation in watch.observes.items():
            cache.add_observation(name, observation)

    def open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._cache.subscribe(self._changed)

    def close(self) -> None:
        self._cache.unsubscribe(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        # First what is watched, then who is concerned: the keys may ask for a resource that begins to be served with this event.
        self._runner.noticed(self.watch.resource)
        changed = self.watch.changed
        if old is None or new is None or changed is None or changed(old, new):
            for obj in (old, new):
                if obj is not None:
                    self._runner.enqueue(self._runner.keys_of(self.watch, obj))


class Runner:
    """Runs one controller until cancelled."""

    def __init__(self, client: Client, controller: Controller, caches: Caches, recorder: EventRecorder, clock: Clock) -> None:
        self.controller, self.caches = controller, caches
        self._clock = clock
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._performer = Performer(client, self._record, self._count)
        self._recorder = recorder
        self._unseen: dict[Key, list[Written]] = {}
        self._held: dict[Key, Timer] = {}
        self._subscriptions = [Subscription(self, watch, caches.add(watch.resource)) for watch in controller.watches]
        self._discovered: dict[Resource, Subscription] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._adds = metrics.ADDS.labels(controller.name)
        metrics.DEPTH.labels(controller.name).set_function(lambda: len(self._queue))

    @property
    def idle(self) -> bool:
        """Nothing to do until an event or a moment comes."""
        return self._queue.idle

    async def run(self) -> None:
        """Work until cancelled. Begins when the caches of everything watched have been filled once."""
        await self.caches.synced([s.watch.resource for s in self._subscriptions])
        if self.controller.discover:
            self._discover()
            await self._patiently(self.caches.synced(list(self._discovered)))
        for subscription in (*self._subscriptions, *self._discovered.values()):
            subscription.open()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for _ in range(self.controller.workers):
                    self._tasks.create_task(self._work(), name=self.controller.name)
        finally:
            self._queue.close()
            for timer in self._held.values():
                timer.cancel()
            for subscription in (*self._subscriptions, *self._discovered.values()):
                subscription.close()

    async def _patiently(self, synced: Coroutine[None, None, None]) -> None:
        """Wait for discovered resources, but not for ever: one that cannot be listed must not stop the rest."""
        filling, limit = asyncio.create_task(synced), asyncio.create_task(self._clock.sleep(DISCOVERY_LIMIT))
        try:
            await asyncio.wait((filling, limit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            filling.cancel()
            limit.cancel()

    def enqueue(self, keys: Iterable[Key | Later]) -> None:
        for key in keys:
            self._adds.inc()
            if isinstance(key, Later):
                self._queue.add_after(key.key, key.delay.total_seconds())
            else:
                self._queue.add(key)

    def noticed(self, resource: Resource) -> None:
        """The cache of `resource` moved on: release keys that waited for it, find what else is to be watched."""
        for key in [key for key in tuple(self._unseen) if self._seen(key)]:
            if key in self._held:
                self._release(key)
        if resource == self.controller.discovers and self._tasks:
            self._discover()

    def _discover(self) -> None:
        assert self.controller.discover is not None
        wanted = {watch.resource: watch for watch in self.controller.discover(self.caches)}
        for resource in self._discovered.keys() - wanted.keys():
            self._discovered.pop(resource).close()
            self.caches.drop_unused(resource)
        for resource in wanted.keys() - self._discovered.keys():
            self._discovered[resource] = Subscription(self, wanted[resource], self.caches.add(resource))
            if self._tasks:
                self._tasks.create_task(self._join(resource), name=f"{self.controller.name} joins {resource.group_resource}")

    async def _join(self, resource: Resource) -> None:
        """Begin to listen to a resource discovered late; what it was discovered by is looked at again once it is all there."""
        if resource in self.caches:
            await self.caches[resource].synced.wait()
        if subscription := self._discovered.get(resource):
            subscription.open()
            for watch in self.controller.watches:
                if watch.resource == self.controller.discovers:
                    self.enqueue(key for obj in self.caches.list(watch.resource) for key in self.keys_of(watch, obj))

    def keys_of(self, watch: Watch, obj: Object) -> Iterable[Key | Later]:
        return (key_of(obj),) if watch.keys is None else watch.keys(obj, self.caches)

    def _seen(self, key: Key) -> bool:
        """Whether the cache shows all writes made for this key; forgets those it does."""
        unseen = [write for write in self._unseen.get(key, ()) if not write.seen(self.caches)]
        if unseen:
            self._unseen[key] = unseen
            return False
        self._unseen.pop(key, None)
        return True

    def _is_watched(self, resource: Resource) -> bool:
        """Only what comes back as an event of our own can be waited for."""
        return resource in self._discovered or any(s.watch.resource == resource for s in self._subscriptions)

    def _hold(self, key: Key) -> None:
        if key not in self._held:
            self._held[key] = self._clock.call_later(HOLD_LIMIT, lambda: self._give_up(key))

    def _release(self, key: Key) -> None:
        self._held.pop(key).cancel()
        self._queue.add(key)

    def _give_up(self, key: Key) -> None:
        log.warning("%s: %s: own writes not seen within %.0f s: %s", self.controller.name, _shown(key), HOLD_LIMIT, self._unseen.pop(key, ()))
        self._release(key)

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if self._seen(key):
                    result = await self._process(key)
                else:
                    self._hold(key)
                    result = "waited"
                metrics.RECONCILED.labels(self.controller.name, result).inc()
            finally:
                self._queue.done(key)

    async def _process(self, key: Key) -> str:
        """Reconcile one key and perform what comes of it; answers how it ended."""
        written: list[Written] = []
        try:
            changes = self.controller.reconcile(key, self.caches, self._clock.now())
            result = await self._perform(key, changes, written)
        except Exception:
            log.exception("%s: fault at %s", self.controller.name, _shown(key))
            self._retry(key)
            return "fault"
        finally:
            awaited = [write for write in written if self._is_watched(write.resource) and not write.seen(self.caches)]
            if awaited:
                self._unseen.setdefault(key, []).extend(awaited)
        if result == "done":
            self._queue.forget(key)
            if changes.requeue_after is not None:
                self._queue.add_after(key, changes.requeue_after.total_seconds())
        else:
            self._retry(key)
        return result

    async def _perform(self, key: Key, changes: Changes, written: list[Written]) -> str:
        try:
            await self._performer.perform(changes.changes, written)
        except NamespaceGoing:
            return "done"
        except StillThere:
            return "conflict"
        except OSError as error:
            log.warning("%s: %s: %s", self.controller.name, _shown(key), error)
            return "error"
        except Refused as refusal:
            if refusal.error.reason == "Conflict":
                return "conflict"
            # A controller that tells its failures itself, in events and conditions, needs no second voice.
            level = logging.DEBUG if changes.failed else logging.WARNING
            log.log(level, "%s: %s: %s", self.controller.name, _shown(key), refusal.error.message)
            await self._tell_failure(changes, refusal, written)
            return "error"
        return "done"

    async def _tell_failure(self, changes: Changes, refusal: Refused, written: list[Written]) -> None:
        """Perform what the controller wants said of a refusal; if that is refused too, the retry will say it."""
        if changes.failed:
            try:
                await self._performer.perform(changes.failed(refusal.change, refusal.error), written)
            except (Refused, NamespaceGoing, StillThere, OSError) as error:
                log.warning("%s: could not report a failure: %s", self.controller.name, error)

    def _retry(self, key: Key) -> None:
        metrics.RETRIES.labels(self.controller.name).inc()
        self._queue.add_rate_limited(key)

    def _record(self, event: RecordEvent) -> None:
        self._recorder.event(event.obj, event.type, event.reason, event.message, event.action)

    def _count(self, verb: str) -> None:
        metrics.WRITES.labels(self.controller.name, verb).inc()


def _shown(key: Key) -> str:
    return f"{key.namespace}/{key.name}" if key.namespace else key.name or "everything"
