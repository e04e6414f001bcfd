"""A work queue of keys: each at most once, never two workers on the same, with back-off for those that failed.

Rules (client-go's work queue):
* A key added while it waits is not added again. A key added while it is worked on comes back when that work is `done`.
* `add_after` keeps the earliest of several moments.
* Back-off doubles from 5 ms to 1,000 s per key until `forget`.
"""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from tiffin.runtime.clock import Clock, Timer

K = TypeVar("K", bound=Hashable)

FIRST_DELAY, LONGEST_DELAY = 0.005, 1000.0
"""Seconds of back-off after the first failure of a key, and at most."""


class WorkQueue(Generic[K]):
    """Keys to be worked on, in the order they came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._delayed: dict[K, tuple[datetime, Timer]] = {}
        self._failures: dict[K, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Keys that could be worked on now."""
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing is ready or being worked on; delayed keys may remain."""
        return not self._ready and not self._working

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._offer(key)

    def add_after(self, key: K, seconds: float) -> None:
        if seconds <= 0:
            self.add(key)
            return
        moment = self._clock.now() + timedelta(seconds=seconds)
        if earlier := self._delayed.get(key):
            if earlier[0] <= moment:
                return
            earlier[1].cancel()
        self._delayed[key] = (moment, self._clock.call_later(seconds, lambda: self._due(key)))

    def add_rate_limited(self, key: K) -> float:
        """Add a key that failed, after its back-off; answers the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_DELAY * 2.0 ** min(failures, 30), LONGEST_DELAY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure waits briefly again."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key, which is the caller's until `done`."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # Whoever was woken and cannot come passes the call on.
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._dirty:
            self._offer(key)

    def close(self) -> None:
        """Cancel every delayed key."""
        for _, timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()

    def _due(self, key: K) -> None:
        del self._delayed[key]
        self.add(key)

    def _offer(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
