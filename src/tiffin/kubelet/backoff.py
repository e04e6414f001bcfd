"""Exponential back-off of restarts and image pulls, as pure steps. Source: the kubelet's crash-loop back-off (10 s, doubled, at most 5 min)."""
from __future__ import annotations

from datetime import datetime, timedelta

from tiffin.kubelet.state import BackOff

FIRST = timedelta(seconds=10)
LONGEST = timedelta(minutes=5)


def until(back_off: BackOff | None, ended: datetime) -> datetime | None:
    """When a run that ended at `ended` may be followed by the next; None means at once.

    The first end of a container is followed at once. A container that ran for twice the longest delay starts afresh.
    """
    if back_off is None or ended - back_off.since > 2 * LONGEST:
        return None
    return ended + back_off.delay


def following(back_off: BackOff | None, ended: datetime) -> BackOff:
    """The back-off to remember when the run that ended at `ended` is followed by another."""
    if back_off is None or ended - back_off.since > 2 * LONGEST:
        return BackOff(FIRST, ended)
    return BackOff(min(back_off.delay * 2, LONGEST), ended)


def shown(delay: timedelta) -> str:
    """A delay as Go prints it: `10s`, `1m20s`, `5m0s`."""
    seconds = int(delay.total_seconds())
    return f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"
