"""A limit on how much the runtime is asked to do at once, those first who are nearer to running.

Forty pods begun together on two cores all become ready at the end of the work of all; begun a few at a time, most are ready long
before, and the last one no later.
"""
from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Turn(IntEnum):
    """Who goes first when a place is free."""

    CONTAINER = 0
    SANDBOX = 1


class Gate:
    """At most `limit` inside at once; those who wait enter by turn, then in the order they came."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[Turn, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()

    @asynccontextmanager
    async def place(self, turn: Turn) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        if self._free > 0 and not self._waiting:
            self._free -= 1
        else:
            await self._wait(turn)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, turn: Turn) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, next(self._serial), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._leave()  # the place was given just when its taker gave up
            raise

    def _leave(self) -> None:
        while self._waiting:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
