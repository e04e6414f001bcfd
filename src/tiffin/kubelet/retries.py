"""When an action that failed may be tried again, by the plan's key: after longer and longer, or at a moment that is given."""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

FIRST, LONGEST = timedelta(milliseconds=250), timedelta(minutes=2)


class Retries:
    """The failed actions of one pod."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._delays: dict[str, timedelta] = {}
        self._until: dict[str, datetime] = {}

    def put_off(self, key: str, until: datetime | None = None) -> None:
        """The action failed; try it again at `until`, or after a delay twice the last one."""
        delay = min(self._delays.get(key, FIRST / 2) * 2, LONGEST)
        self._delays[key] = delay
        self._until[key] = until or self._now() + delay

    def succeeded(self, key: str) -> None:
        self._delays.pop(key, None)
        self._until.pop(key, None)

    def wait_of(self, key: str) -> datetime | None:
        """When the action may be tried, None for at once."""
        until = self._until.get(key)
        return until if until is not None and self._now() < until else None

    def allow(self, condition: Callable[[str], bool]) -> None:
        """What failed for a cause that has gone may be tried at once."""
        for key in [key for key in self._until if condition(key)]:
            del self._until[key]
