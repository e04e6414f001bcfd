"""Audit events posted to somebody who collects them, in batches.

A batch goes when it is full or its first event is a second old. What cannot be delivered is tried again for a while, then dropped and
counted in the server's own log; requests never wait. Source: Kubernetes documentation, "Auditing", webhook backend.
"""
from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import orjson

from tiffin.apiserver.audit.log import Sink
from tiffin.machinery.object import Object

logger = logging.getLogger(__name__)
MAX_BATCH, MAX_WAITING = 400, 10_000
BATCH_SECONDS = 1.0
RETRIES, FIRST_RETRY = 5, 0.5

Post = Callable[[bytes], Awaitable[int]]
"""Sends a body and gives the HTTP status; raises OSError where there is none."""


class Webhook:
    """A sink that posts EventLists."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._waiting: deque[Object] = deque()
        self._lost = 0
        self._some, self._full, self._closing = asyncio.Event(), asyncio.Event(), False
        self._task: asyncio.Task[None] | None = None

    def write(self, event: Object) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append(event)
        self._some.set()
        if len(self._waiting) >= MAX_BATCH:
            self._full.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="audit webhook")

    async def _run(self) -> None:
        while not self._closing or self._waiting:
            await self._some.wait()
            if not self._closing:
                try:
                    async with asyncio.timeout(BATCH_SECONDS):
                        await self._full.wait()
                except TimeoutError:
                    pass  # what there is goes as it is
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            if len(self._waiting) < MAX_BATCH:
                self._full.clear()
            if not self._waiting and not self._closing:
                self._some.clear()
            if batch:
                await self._deliver(batch)

    async def _deliver(self, batch: Sequence[Object]) -> None:
        body = orjson.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": batch})
        why = ""
        for attempt in range(RETRIES):
            if attempt:
                await asyncio.sleep(FIRST_RETRY * 2 ** (attempt - 1))
            try:
                status = await self._post(body)
            except OSError as error:
                why = str(error) or "no answer in time"
                continue
            if status < 300:
                self._tell_lost()
                return
            why = f"status {status}"
            if status != 429 and status < 500:
                break
        self._lost += len(batch)
        logger.error("the audit webhook does not take events: %s; %d lost so far", why, self._lost)

    def _tell_lost(self) -> None:
        if self._lost:
            logger.warning("the audit webhook takes events again; %d were lost", self._lost)
            self._lost = 0

    async def close(self) -> None:
        """Delivers what waits, once more."""
        self._closing = True
        self._some.set()
        self._full.set()
        if self._task is not None:
            await self._task


class Sinks:
    """Several sinks as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, event: Object) -> None:
        for sink in self._sinks:
            sink.write(event)

    async def close(self) -> None:
        for sink in self._sinks:
            await sink.close()
