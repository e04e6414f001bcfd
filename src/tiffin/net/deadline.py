"""A time limit that is moved far more often than it is reached: moving it costs an attribute, not a timer."""
from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `expired` once, when the time last set has come. The timer behind it is only replaced by an earlier one."""

    __slots__ = ("_at", "_expired", "_loop", "_timer")

    def __init__(self, expired: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expired = expired
        self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Moves the limit to `seconds` from now."""
        self._at = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._at:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._at, self._look)

    def clear(self) -> None:
        """There is no limit now."""
        self._at = 0.0

    def close(self) -> None:
        """There will be no limit any more; the loop forgets the owner."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self._at:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self.clear()
            self._expired()
