"""When which pod gets its turn."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scheduler.stage import pod
from tiffin.machinery.object import Object, key_of
from tiffin.runtime.clock import FakeClock
from tiffin.scheduler.queue import Queue, Waiting

FIT = frozenset({"NodeResourcesFit"})


class Line:
    """A queue and whoever takes from it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue = Queue(self.clock)

    async def next(self) -> Waiting | None:
        """Whose turn it is now, None for nobody's."""
        try:
            return await asyncio.wait_for(self.queue.take(), 0)
        except TimeoutError:
            task = asyncio.create_task(self.queue.take())
            await self.clock.settle()
            if task.done():
                return task.result()
            task.cancel()
            return None

    async def fail(self, plugins: frozenset[str] = FIT) -> Waiting:
        waiting = await self.next()
        assert waiting is not None
        self.queue.failed(waiting, plugins)
        return waiting


async def test_the_more_important_and_then_the_older_first() -> None:
    line = Line()
    for name, priority in (("low", 0), ("high", 10), ("also-high", 10)):
        line.queue.put(pod(name, priority=priority))
        await line.clock.advance(1)
    assert [(await line.next()).info.key.name for _ in range(3)] == ["high", "also-high", "low"]  # type: ignore[union-attr]
    assert await line.next() is None


async def test_who_waits_is_woken_by_an_arrival() -> None:
    line = Line()
    taken = asyncio.create_task(line.queue.take())
    await line.clock.settle()
    line.queue.put(pod("p"))
    assert (await taken).info.key.name == "p"


@pytest.mark.parametrize(("happened", "wakes"), [(FIT, True), (FIT | {"NodePorts"}, True), (frozenset({"NodePorts"}), False), (None, True)])
async def test_only_an_event_that_may_help_wakes(happened: Any, wakes: bool) -> None:
    line = Line()
    line.queue.put(pod("p"))
    await line.fail()
    await line.clock.advance(30)
    line.queue.happened(happened)
    assert (await line.next() is not None) == wakes


async def test_back_off_doubles_to_ten_seconds() -> None:
    line = Line()
    line.queue.put(pod("p"))
    for seconds in (1, 2, 4, 8, 10, 10):
        await line.fail()
        line.queue.happened(None)
        await line.clock.advance(seconds - 0.1)
        assert await line.next() is None
        await line.clock.advance(0.2)


async def test_nothing_happens_for_long_and_the_pod_is_tried_again() -> None:
    line = Line()
    line.queue.put(pod("p"))
    await line.fail()
    await line.clock.advance(299)
    assert await line.next() is None
    await line.clock.advance(2)
    assert await line.next() is not None


def _changed(obj: Object, **more: Any) -> Object:
    return obj | {"spec": obj["spec"] | more}


async def test_a_change_of_the_pod_lifts_it_but_a_change_of_its_status_does_not() -> None:
    line = Line()
    first = pod("p")
    line.queue.put(first)
    await line.fail()
    await line.clock.advance(5)
    line.queue.put(first | {"status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}})
    assert await line.next() is None
    line.queue.put(_changed(first, tolerations=[{"operator": "Exists"}]))
    waiting = await line.next()
    assert waiting is not None and waiting.info.spec["tolerations"]


async def test_a_removed_pod_has_no_turn() -> None:
    line = Line()
    active, backing_off, waiting = pod("a"), pod("b"), pod("c")
    line.queue.put(backing_off)
    await line.fail()
    line.queue.happened(None)
    line.queue.put(waiting)
    await line.fail()
    line.queue.put(active)
    for obj in (active, backing_off, waiting):
        line.queue.remove(key_of(obj))
    await line.clock.advance(400)
    assert await line.next() is None and not len(line.queue)


async def test_a_conflict_is_tried_again_without_an_event() -> None:
    line = Line()
    line.queue.put(pod("p"))
    waiting = await line.next()
    assert waiting is not None
    line.queue.retry(waiting)
    assert await line.next() is None
    await line.clock.advance(1)
    assert await line.next() is waiting
