"""Texts that name indexes of a Job, such as `0,2-5`."""
from __future__ import annotations

from tiffin.machinery.field import shown

Interval = tuple[int, int]


class IndexesError(ValueError):
    """Text that names no indexes; the message is in the API's words."""


def count_indexes(text: str, completions: int) -> int:
    """How many indexes of a Job of so many completions the text names. Raises IndexesError."""
    total, previous = 0, None
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if previous is not None and previous >= first:
            raise IndexesError(f"non-increasing order, previous: {previous}, current: {first}")
        total += last - first + 1
        previous = last
    return total


def overlap(completed: str, failed: str, completions: int) -> int | None:
    """The first index that both texts name; parts that cannot be read are left out."""
    done, lost = _intervals(completed, completions), _intervals(failed, completions)
    while done and lost:
        if done[0][0] <= lost[0][1] and lost[0][0] <= done[0][1]:
            return max(done[0][0], lost[0][0])
        del (done if done[0][0] <= lost[0][0] else lost)[0]
    return None


def _intervals(text: str, completions: int) -> list[Interval]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_interval(part, completions))
        except IndexesError:
            continue
    return found


def _interval(part: str, completions: int) -> Interval:
    ends = part.split("-")
    if len(ends) > 2:
        raise IndexesError(
            f"the fragment {shown(part)} violates the requirement that an index interval can have at most two parts separated by '-'")
    first = _index(ends[0], completions)
    if len(ends) == 1:
        return first, first
    last = _index(ends[1], completions)
    if first >= last:
        raise IndexesError(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def _index(text: str, completions: int) -> int:
    digits = text.removeprefix("+")
    if not digits.isascii() or not digits.isdecimal():
        raise IndexesError(f"cannot convert string to integer for index: {shown(text)}")
    if len(digits.lstrip("0")) > 18 or int(digits) >= completions:
        raise IndexesError(f"too large index: {shown(text)}")
    return int(digits)
