"""Times and durations as Kubernetes writes them.

Times are aware UTC `datetime`s. Seconds precision is RFC 3339 with `Z` (metav1.Time), six digits for metav1.MicroTime.
`human_duration` is the age column of tables and of kubectl; durations of objects are Go's ("1h30m", "1.5s").
"""
from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_rfc3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)").fullmatch
_duration_part = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def format_time(moment: datetime) -> str:
    """`2024-01-31T08:09:10Z`; fractions of a second are cut."""
    m = moment.astimezone(UTC)
    return f"{m.year:04d}-{m.month:02d}-{m.day:02d}T{m.hour:02d}:{m.minute:02d}:{m.second:02d}Z"


def format_micro(moment: datetime) -> str:
    """`2024-01-31T08:09:10.000123Z`."""
    m = moment.astimezone(UTC)
    return f"{m.year:04d}-{m.month:02d}-{m.day:02d}T{m.hour:02d}:{m.minute:02d}:{m.second:02d}.{m.microsecond:06d}Z"


def parse_time(text: str) -> datetime:
    """The moment of an RFC 3339 text. Raises ValueError."""
    match = _rfc3339(text)
    if match is None:
        raise ValueError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"')
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    micro = int(((match[7] or "") + "000000")[:6])
    if match[8] == "Z":
        zone: timezone = UTC
    else:
        offset = timedelta(hours=int(match[8][1:3]), minutes=int(match[8][4:6]))
        zone = timezone(offset if match[8][0] == "+" else -offset)
    return datetime(year, month, day, hour, minute, second, micro, zone).astimezone(UTC)


def seconds_between(earlier: str, now: datetime) -> float:
    """Seconds from an RFC 3339 text to `now`. Raises ValueError."""
    return (now - parse_time(earlier)).total_seconds()


def human_duration(seconds: float) -> str:
    """The age of tables: two units while the first is small ("3m4s", "2d5h", "120m"), `<invalid>` for the future."""
    whole = int(seconds)
    if whole < 0:  # clocks may differ by a second
        return "<invalid>" if whole < -1 else "0s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        left = days % 365
        return f"{days // 365}y{left}d" if left else f"{days // 365}y"
    return f"{days // 365}y"


def parse_duration(text: str) -> timedelta:
    """A Go duration: "0", "1h30m", "-1.5s", "100ms". Raises ValueError with Go's message."""
    return timedelta(microseconds=parse_nanoseconds(text) / 1000)


def parse_nanoseconds(text: str) -> int:
    """A Go duration in nanoseconds. Raises ValueError with Go's message."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = at = 0
    while at < len(rest):
        match = _duration_part.match(rest, at)
        if match is None or not (match[1] or match[2]):
            raise ValueError(_duration_complaint(text, rest[at:]))
        unit = _NANOSECONDS[match[3]]
        total += int(match[1] or 0) * unit + (int(match[2]) * unit // 10 ** len(match[2]) if match[2] else 0)
        at = match.end()
    if not rest or total >= 2**63:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text[0] == "-" else total


def _duration_complaint(text: str, rest: str) -> str:
    number = re.match(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", rest)
    if number is None:
        return f'time: invalid duration "{text}"'
    unit = re.match(r"[^0-9.]*", rest[number.end():])
    if unit and unit[0]:
        return f'time: unknown unit "{unit[0]}" in duration "{text}"'
    return f'time: missing unit in duration "{text}"'


def format_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: "1h30m0s", "1.5s", "100ms", "0s"."""
    if not nanoseconds:
        return "0s"
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if value < 10**9:
        unit, size = next((u, s) for u, s in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if value >= s)
        return f"{sign}{_decimal(value, size)}{unit}"
    minutes, rest = divmod(value, 60 * 10**9)
    seconds = f"{_decimal(rest, 10**9)}s"
    hours, minutes_left = divmod(minutes, 60)
    return sign + (f"{hours}h{minutes_left}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds)


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    fraction = f"{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
