"""Events of the newer form: written once, then as series."""
from __future__ import annotations

import asyncio

from tiffin.client.memory import MemoryClient
from tiffin.machinery import errors
from tiffin.machinery.object import Object
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.events import EVENTS
from tiffin.runtime.series import SeriesRecorder

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "4"}}


class Stage:
    """A recorder that writes within `async with`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        self.recorder = SeriesRecorder(self.client, self.clock, "tester", "tester-here")

    async def __aenter__(self) -> Stage:
        self._task = asyncio.create_task(self.recorder.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def tell(self, message: str = "no", obj: Object = POD, after: float = 0) -> list[Object]:
        await self.clock.advance(after)
        self.recorder.event(obj, "Warning", "Failed", message, "Trying")
        await self.clock.settle()
        return list(self.client.objects(EVENTS))


async def test_one_event() -> None:
    async with Stage() as stage:
        (event,) = await stage.tell()
        assert event["eventTime"] == "2026-01-01T00:00:00.000000Z" and event["firstTimestamp"] is event["lastTimestamp"] is None
        assert event["reportingComponent"] == "tester" and event["reportingInstance"] == "tester-here" and event["action"] == "Trying"
        assert event["source"] == {} and "count" not in event and "series" not in event


async def test_a_series_is_written_at_its_second_event_then_every_half_hour_and_at_its_end() -> None:
    async with Stage() as stage:
        await stage.tell("one")
        (event,) = await stage.tell("two", after=10)
        assert event["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:00:10.000000Z"} and event["message"] == "one"
        for _ in range(6):
            (event,) = await stage.tell(after=300)
        assert event["series"]["count"] == 8
        await stage.tell(after=60)
        await stage.clock.advance(800)
        (event,) = stage.client.objects(EVENTS)
        assert event["series"]["count"] == 9
        assert len(await stage.tell()) == 2


async def test_another_version_of_the_object_is_another_event() -> None:
    async with Stage() as stage:
        await stage.tell()
        assert len(await stage.tell(obj=POD | {"metadata": {**POD["metadata"], "resourceVersion": "5"}})) == 2  # type: ignore[dict-item]


async def test_events_that_come_while_the_first_is_written_are_counted_not_repeated() -> None:
    async with Stage() as stage:
        for _ in range(5):
            stage.recorder.event(POD, "Warning", "Failed", "no", "Trying")
        await stage.clock.settle()
        (event,) = stage.client.objects(EVENTS)
        assert event["series"]["count"] == 5


async def test_what_cannot_be_written_is_let_go_and_what_expired_is_written_anew() -> None:
    async with Stage() as stage:
        stage.client.fault = lambda verb, resource, key: errors.forbidden("events", "", "no") if verb == "create" else None
        assert await stage.tell() == []
        stage.client.fault = lambda verb, resource, key: None
        (event,) = await stage.tell()
        await stage.client.delete(EVENTS, "n", event["metadata"]["name"])
        assert len(await stage.tell(after=1800)) == 1
