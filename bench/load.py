"""Small pieces of load from this process, which is never the server's."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


async def in_parallel(count: int, work: Callable[[int], Awaitable[Any]], workers: int = 32) -> None:
    """Does the work for 0, 1, … count-1, so many at a time; the first failure ends all."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(worker())
