"""Pods that wait for a node: active ones by priority, others until their back-off ends or something happens that may help.

Rules
* A pod is in one place only: active, backing off, or unschedulable. Of two versions of a pod the newer counts.
* Back-off begins at 1 s and doubles to 10 s with every failed attempt; an event that may help lifts a pod out of
  `unschedulable`, never out of its back-off.
"""
from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tiffin.machinery.object import Key, Object
from tiffin.runtime.clock import Clock
from tiffin.scheduler.podinfo import PodInfo

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 10.0
UNSCHEDULABLE_TIMEOUT = 300.0
"""Seconds after which an unschedulable pod is tried again although nothing happened."""


@dataclass
class Waiting:
    """A pod in the queue. `plugins` are those that refused it the last time."""

    info: PodInfo
    since: datetime
    attempts: int = 0
    ready_at: datetime | None = None
    plugins: frozenset[str] = frozenset()


class Queue:
    """The scheduling queue of one profile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pods: dict[Key, Waiting] = {}
        self._active: list[tuple[int, datetime, int, Key]] = []
        self._active_keys: set[Key] = set()
        self._unschedulable: dict[Key, Waiting] = {}
        self._serial = itertools.count()
        self._arrived: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, key: Key) -> bool:
        return key in self._pods

    def put(self, pod: Object) -> None:
        """A pod that is new or has changed; a change of an unschedulable pod gives it another try."""
        info = PodInfo.of(pod)
        known = self._pods.get(info.key)
        if known is None:
            known = self._pods[info.key] = Waiting(info, self._clock.now())
            self._activate(info.key)
            return
        changed = known.info.pod["spec"] != pod["spec"] or known.info.labels != info.labels
        known.info = info
        if changed and info.key in self._unschedulable:
            self._lift(info.key)

    def remove(self, key: Key) -> None:
        self._pods.pop(key, None)
        self._unschedulable.pop(key, None)
        self._active_keys.discard(key)

    def _activate(self, key: Key) -> None:
        waiting = self._pods.get(key)
        if waiting is None or key in self._active_keys:
            return
        self._active_keys.add(key)
        heapq.heappush(self._active, (-waiting.info.priority, waiting.since, next(self._serial), key))
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def take(self) -> Waiting:
        """The next pod to schedule; waits for one."""
        while True:
            while self._active:
                key = heapq.heappop(self._active)[3]
                if key in self._active_keys:
                    self._active_keys.discard(key)
                    return self._pods[key]
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived

    def failed(self, waiting: Waiting, plugins: frozenset[str]) -> None:
        """The attempt found no node: the pod waits for something that concerns `plugins`, none meaning anything."""
        key = waiting.info.key
        if self._pods.get(key) is not waiting:
            return
        waiting.attempts += 1
        waiting.plugins = plugins
        backoff = min(FIRST_BACKOFF * 2 ** (waiting.attempts - 1), LONGEST_BACKOFF)
        waiting.ready_at = self._clock.now() + timedelta(seconds=backoff)
        self._unschedulable[key] = waiting
        attempts = waiting.attempts
        self._clock.call_later(UNSCHEDULABLE_TIMEOUT, lambda: self._timed_out(key, attempts))

    def _timed_out(self, key: Key, attempts: int) -> None:
        waiting = self._unschedulable.get(key)
        if waiting is not None and waiting.attempts == attempts:
            self._lift(key)

    def retry(self, waiting: Waiting) -> None:
        """The attempt failed for a reason outside the plan (a conflict): try again after a back-off."""
        self.failed(waiting, frozenset())
        self._lift(waiting.info.key)

    def happened(self, plugins: frozenset[str] | None, concerns: Callable[[PodInfo], bool] = lambda info: True) -> None:
        """Something changed that may satisfy these plugins (None: any) for the pods that it concerns."""
        for key, waiting in list(self._unschedulable.items()):
            if (plugins is None or not waiting.plugins or waiting.plugins & plugins) and concerns(waiting.info):
                self._lift(key)

    def _lift(self, key: Key) -> None:
        waiting = self._unschedulable.pop(key, None)
        if waiting is None or waiting.ready_at is None:
            return
        wait = (waiting.ready_at - self._clock.now()).total_seconds()
        if wait <= 0:
            self._activate(key)
        else:
            self._clock.call_later(wait, lambda: self._activate(key))
