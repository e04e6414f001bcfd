"""The work queue: each key once, never twice at a time, back-off and delays on a clock advanced by hand."""
from __future__ import annotations

import asyncio

from tiffin.runtime.clock import FakeClock
from tiffin.runtime.queue import WorkQueue


def drained(queue: WorkQueue[str]) -> list[str]:
    keys = []
    while len(queue):
        keys.append(queue._ready[0])
        queue._dirty.discard(queue._ready.popleft())
    return keys


async def test_keys_are_not_repeated_while_they_wait() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    for key in "abab":
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"] and len(queue) == 0


async def test_a_key_added_during_its_work_comes_back_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"


async def test_delays_keep_the_earliest_moment() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 20)
    await clock.advance(2)
    assert len(queue) == 0
    await clock.advance(1)
    assert drained(queue) == ["a"]
    await clock.advance(60)
    assert len(queue) == 0


async def test_back_off_doubles_until_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    assert [queue.add_rate_limited("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    queue.forget("a")
    assert queue.add_rate_limited("a") == 0.005


async def test_every_waiting_worker_is_served_also_when_one_is_cancelled() -> None:
    queue: WorkQueue[str] = WorkQueue(FakeClock())
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await second == "a"
