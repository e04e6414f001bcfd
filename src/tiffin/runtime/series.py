"""Recording Events of the newer form, with `eventTime` and `series` in place of counts and first and last times.

Rules (client-go's tools/events):
* Events that agree in all but their time and their note, and about the same version of the same object, are one series.
* The first is written at once, the second turns the event into a series of two, later ones only count; a series that goes on is
  written again every 30 minutes. A series ends when nothing was added for 6 minutes, with its last count written.
* Recording is never in the caller's way: up to 32 writes run side by side, further events wait, and beyond 10,000 the newest are
  dropped.

Source: KEP-383, API documentation of events.k8s.io/v1.
"""
from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiffin.client.client import Client
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object
from tiffin.machinery.timestamps import format_micro
from tiffin.runtime.clock import Clock
from tiffin.runtime.events import EVENTS, reference

log = logging.getLogger(__name__)

FINISHED_AFTER, REFRESHED_AFTER = 360.0, 1800.0
WRITERS, WAITING = 32, 10_000


@dataclass(slots=True)
class Series:
    """One event as written, and what was seen of it since."""

    event: Object
    last: datetime
    written: datetime
    count: int = 1
    written_count: int = 1
    exists: bool = False
    wanted: bool = False
    """Whether it is to be written; `busy` until that is done, so that no two writers hold it at once."""
    busy: bool = False


class SeriesRecorder:
    """Records events of one controller. `event` returns at once; `run` writes until cancelled."""

    def __init__(self, client: Client, clock: Clock, controller: str, instance: str) -> None:
        self._client, self._clock, self._controller, self._instance = client, clock, controller, instance
        self._series: dict[tuple[Any, ...], Series] = {}
        self._waiting: asyncio.Queue[Series] = asyncio.Queue()
        self._serial = 0
        self._sweeping = False

    def event(self, obj: Object, type: str, reason: str, message: str, action: str, *, related: Object | None = None) -> None:
        """Record an event about `obj`; `related` is another object that takes part."""
        now = self._clock.now()
        regarding = reference(obj)
        key = (type, action, reason, *regarding.items(), *(reference(related).items() if related else ()))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self._made(regarding, related, type, reason, message, action, now), now, now)
            self._write_later(series)
        else:
            series.count += 1
            series.last = now
            if series.count == 2 or (now - series.written).total_seconds() >= REFRESHED_AFTER:
                self._write_later(series)
        if not self._sweeping:
            self._sweeping = True
            self._clock.call_later(FINISHED_AFTER, self._sweep)

    def _sweep(self) -> None:
        """Ends the series to which nothing was added for long."""
        now = self._clock.now()
        for key, series in list(self._series.items()):
            if (now - series.last).total_seconds() >= FINISHED_AFTER:
                del self._series[key]
                if series.count > series.written_count:
                    self._write_later(series)
        self._sweeping = bool(self._series)
        if self._sweeping:
            self._clock.call_later(FINISHED_AFTER, self._sweep)

    def _write_later(self, series: Series) -> None:
        if series.busy or self._waiting.qsize() < WAITING:
            series.written, series.wanted = self._clock.now(), True
            if not series.busy:
                series.busy = True
                self._waiting.put_nowait(series)

    def _made(self, regarding: Object, related: Object | None, type: str, reason: str, message: str, action: str, now: datetime) -> Object:
        self._serial += 1
        unique = int(now.timestamp() * 1_000_000) * 1000 + self._serial % 1000
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{regarding.get('name', '')}.{unique:x}", "namespace": regarding.get("namespace") or "default"},
            "involvedObject": regarding,
            "reason": reason,
            "message": message[:1024],
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "type": type,
            "eventTime": format_micro(now),
            "action": action,
            "reportingComponent": self._controller,
            "reportingInstance": self._instance,
        } | ({"related": reference(related)} if related else {})

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WRITERS):
                tasks.create_task(self._writer(), name="event writer")

    async def _writer(self) -> None:
        while True:
            series = await self._waiting.get()
            while series.wanted:
                series.wanted = False
                await self._write(series)
            series.busy = False

    async def _write(self, series: Series) -> None:
        """Write what is known now. An event only tells: what fails is not tried again, but a later one of its series is."""
        series.written_count = series.count
        event = series.event
        if series.count > 1:
            event = event | {"series": {"count": series.count, "lastObservedTime": format_micro(series.last)}}
        namespace = event["metadata"]["namespace"]
        try:
            if not series.exists or not await self._continued(event, namespace):
                await self._client.create(EVENTS, namespace, event)
                series.exists = True
        except (ApiError, OSError) as error:
            going = isinstance(error, ApiError) and error.code in (403, 404)
            log.log(logging.DEBUG if going else logging.WARNING, "event %s not recorded: %s", event["reason"], error)

    async def _continued(self, event: Object, namespace: str) -> bool:
        """Write the series of an event that exists; False when it has expired meanwhile."""
        try:
            await self._client.patch(EVENTS, namespace, event["metadata"]["name"], {"series": event["series"]})
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True
