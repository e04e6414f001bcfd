"""A pipe on which daemons wait before they begin in earnest, so that they load while what they need is still being started.

Closed is open: a pipe's end is readable once its other end is closed. So a daemon whose starter has died does not wait for ever.
"""
from __future__ import annotations

import asyncio
import os
from contextlib import AbstractContextManager
from types import TracebackType


class Gate(AbstractContextManager["Gate"]):
    """The starter's side."""

    def __init__(self) -> None:
        self.descriptor, self._end = os.pipe()

    @property
    def arguments(self) -> list[str]:
        """What tells a daemon of the gate."""
        return ["--gate-fd", str(self.descriptor)]

    def open(self) -> None:
        """Lets everybody through, those too who come later."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.open()
        os.close(self.descriptor)


async def pass_through(descriptor: int) -> None:
    """The daemon's side: returns when the gate is open. Without a gate (a negative descriptor) at once."""
    if descriptor < 0:
        return
    opened = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, opened.set)
    try:
        await opened.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
