"""Events: counting, combining, limiting, and writing without ever holding up who records."""
from __future__ import annotations

import asyncio

from tiffin.client.memory import MemoryClient
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.events import EVENTS, EventRecorder

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "4"}}


class Stage:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        self.recorder = EventRecorder(self.client, self.clock, "tester")

    async def written(self) -> list[dict]:
        task = asyncio.create_task(self.recorder.run())
        await self.clock.settle()
        task.cancel()
        return list(self.client.objects(EVENTS))


async def test_an_event_has_everything_kubectl_describe_shows() -> None:
    stage = Stage()
    stage.recorder.event(POD, "Normal", "Started", "it began", field_path="spec.containers{c}")
    (event,) = await stage.written()
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "n", "name": "p", "uid": "u", "apiVersion": "v1", "resourceVersion": "4", "fieldPath": "spec.containers{c}",
    }  # fmt: skip
    assert event["source"] == {"component": "tester"} and event["reportingComponent"] == "tester" and event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z" and event["metadata"]["namespace"] == "n"


async def test_repeated_events_are_counted() -> None:
    stage = Stage()
    stage.recorder.event(POD, "Warning", "BackOff", "again")
    await stage.clock.advance(60)
    stage.recorder.event(POD, "Warning", "BackOff", "again")
    (event,) = await stage.written()
    assert event["count"] == 2 and event["firstTimestamp"] == "2026-01-01T00:00:00Z" and event["lastTimestamp"] == "2026-01-01T00:01:00Z"


async def test_many_similar_events_become_one() -> None:
    stage = Stage()
    for n in range(14):
        stage.recorder.event(POD, "Warning", "Failed", f"number {n}")
    events = await stage.written()
    assert len(events) == 10
    combined = [e for e in events if e["message"].startswith("(combined from similar events): ")]
    assert [(e["message"], e["count"]) for e in combined] == [("(combined from similar events): number 13", 5)]


async def test_a_source_that_says_too_much_is_cut_off() -> None:
    stage = Stage()
    for _ in range(40):
        stage.recorder.event(POD, "Warning", "BackOff", "again")
    assert [e["count"] for e in await stage.written()] == [25]
    await stage.clock.advance(301)
    stage.recorder.event(POD, "Warning", "BackOff", "again")
    assert [e["count"] for e in await stage.written()] == [26]


async def test_an_expired_event_is_written_anew_with_its_count() -> None:
    stage = Stage()
    stage.recorder.event(POD, "Warning", "BackOff", "again")
    (event,) = await stage.written()
    await stage.client.delete(EVENTS, "n", event["metadata"]["name"])
    stage.recorder.event(POD, "Warning", "BackOff", "again")
    assert [e["count"] for e in await stage.written()] == [2]
