"""The parts of a node's process: one that fails is run again, and is nobody else's trouble."""
from __future__ import annotations

import asyncio

import pytest

from tiffin.cluster import nodeagent
from tiffin.runtime.clock import FakeClock


async def test_a_part_that_fails_is_run_again_later_and_later(caplog: pytest.LogCaptureFixture) -> None:
    clock, moments = FakeClock(), []
    began = clock.now()

    async def part() -> None:
        moments.append(round((clock.now() - began).total_seconds()))
        raise OSError("address in use")

    task = asyncio.create_task(nodeagent._keep_running("the part", part, clock))
    await clock.advance(100)
    assert moments == [0, 1, 3, 7, 15, 31, 61, 91]
    assert "the part failed, it is run again in 30 s" in caplog.text and "address in use" in caplog.text
    assert not task.done()
    task.cancel()


async def test_one_that_ran_well_for_long_is_run_again_soon() -> None:
    clock, moments = FakeClock(), []
    began = clock.now()

    async def part() -> None:
        moments.append(round((clock.now() - began).total_seconds()))
        await clock.sleep(0 if len(moments) < 4 else 1000)
        raise OSError("gone")

    task = asyncio.create_task(nodeagent._keep_running("the part", part, clock))
    await clock.advance(1010)
    assert moments == [0, 1, 3, 7, 1008]
    task.cancel()


async def test_it_ends_when_it_is_told_to() -> None:
    clock, ended = FakeClock(), asyncio.Event()

    async def part() -> None:
        try:
            await clock.sleep(1000)
        finally:
            ended.set()

    task = asyncio.create_task(nodeagent._keep_running("the part", part, clock))
    await clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
