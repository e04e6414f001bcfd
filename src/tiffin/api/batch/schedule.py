"""Schedules of CronJobs: five fields, or a word such as `@daily`, and the times they name.

Source: crontab(5) and the error texts of the parser Kubernetes uses (github.com/robfig/cron, standard parser).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from tiffin.machinery.timestamps import parse_duration


class ScheduleError(ValueError):
    """Text that is no schedule; the message is the parser's."""


class _Bounds(NamedTuple):
    low: int
    high: int
    names: Mapping[str, int]


def _numbered(words: str, first: int) -> dict[str, int]:
    return {word: number for number, word in enumerate(words.split(), first)}


_MINUTES, _HOURS, _DAYS = _Bounds(0, 59, {}), _Bounds(0, 23, {}), _Bounds(1, 31, {})
_MONTHS = _Bounds(1, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1))
_WEEKDAYS = _Bounds(0, 6, _numbered("sun mon tue wed thu fri sat", 0))
_FIELDS = (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS)
_WORDS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}
_EVERY = "@every "
_LONGEST_SEARCH = 5 * 366
"""Days after which a schedule that names no date (30 February) is given up."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes, hours, days, months and weekdays of a schedule, or a fixed `period`.

    A field that was `*` is `any_day` or `any_weekday`; with neither, a date matches by its day or by its weekday.
    """

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    any_weekday: bool = False
    period: timedelta | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time of the schedule after `moment`, in its time zone; None where there is none in the next five years."""
        if self.period is not None:
            return moment.replace(microsecond=0) + self.period
        start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for offset in range(_LONGEST_SEARCH):
            date = (start + timedelta(days=offset)).replace(hour=0, minute=0) if offset else start
            if self._has_date(date):
                found = self._in_day(date)
                if found is not None:
                    return found
        return None

    def _has_date(self, date: datetime) -> bool:
        if date.month not in self.months:
            return False
        by_day, by_weekday = date.day in self.days, date.isoweekday() % 7 in self.weekdays
        return by_day and by_weekday if self.any_day or self.any_weekday else by_day or by_weekday

    def _in_day(self, start: datetime) -> datetime | None:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                if (hour, minute) >= (start.hour, start.minute):
                    return start.replace(hour=hour, minute=minute)
        return None


def parse_schedule(text: str) -> Schedule:
    """The schedule of a text, without a time zone in it. Raises ScheduleError."""
    if not text:
        raise ScheduleError("empty spec string")
    if text.startswith(_EVERY):
        return Schedule(period=_period(text.removeprefix(_EVERY)))
    if text.startswith("@"):
        if text not in _WORDS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _WORDS[text]
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ScheduleError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    parsed = [_field(field, bounds) for field, bounds in zip(fields, _FIELDS)]
    sets = [frozenset(values) for values, _ in parsed]
    return Schedule(sets[0], sets[1], sets[2], sets[3], sets[4], parsed[2][1], parsed[4][1])


def _period(text: str) -> timedelta:
    try:
        period = parse_duration(text)
    except ValueError as error:
        raise ScheduleError(f"failed to parse duration {_EVERY}{text}: {error}") from None
    return max(timedelta(seconds=int(period.total_seconds())), timedelta(seconds=1))


def _field(text: str, bounds: _Bounds) -> tuple[set[int], bool]:
    """The numbers a field names, and whether it leaves the choice open."""
    values: set[int] = set()
    is_open = False
    for part in filter(None, text.split(",")):
        found, part_is_open = _range(part, bounds)
        values |= found
        is_open |= part_is_open
    return values, is_open


def _range(text: str, bounds: _Bounds) -> tuple[set[int], bool]:
    ends, *steps = text.split("/")
    low, *highs = ends.split("-")
    is_open = low in ("*", "?")
    if is_open:
        start, end = bounds.low, bounds.high
    else:
        start = _number(low, bounds.names)
        if len(highs) > 1:
            raise ScheduleError(f"too many hyphens: {text}")
        end = _number(highs[0], bounds.names) if highs else start
    step = 1
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0], {})
        end = end if highs else bounds.high
        is_open = is_open and step <= 1
    _check_range(start, end, step, text, bounds)
    return set(range(start, end + 1, step)), is_open


def _check_range(start: int, end: int, step: int, text: str, bounds: _Bounds) -> None:
    if start < bounds.low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({bounds.low}): {text}")
    if end > bounds.high:
        raise ScheduleError(f"end of range ({end}) above maximum ({bounds.high}): {text}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")


def _number(text: str, words: Mapping[str, int]) -> int:
    if text.lower() in words:
        return words[text.lower()]
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdecimal():
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(digits.lstrip("0")) > 18:
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    if int(text) < 0:
        raise ScheduleError(f"negative number ({text}) not allowed: {text}")
    return int(text)
