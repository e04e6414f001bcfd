"""Times in objects: what the API accepts, in which form it keeps them, and in which words Go refuses the rest.

`canonical` accepts RFC 3339 with any offset and, for ordinary times, any fraction; it answers UTC, whole seconds. Micro times
must bring exactly six digits of fraction and keep them. Source: metav1.Time and MicroTime; Go's `time.Parse`.
"""
from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

LAYOUT, MICRO_LAYOUT = "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z07:00"

_grammar = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII).fullmatch
_MONTH, _HOUR, _MINUTE, _SECOND = ("month", 1, 12), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59)
_ANY = ("", 0, 0)
_PIECES = (
    ("2006", r"\d{4}", _ANY), ("-", "-", _ANY), ("01", r"\d\d", _MONTH), ("-", "-", _ANY), ("02", r"\d\d", _ANY), ("T", "T", _ANY),
    ("15", r"\d\d?", _HOUR), (":", ":", _ANY), ("04", r"\d\d", _MINUTE), (":", ":", _ANY), ("05", r"\d\d", _SECOND),
)


def canonical(text: str, micro: bool = False) -> str:
    """The text as the API keeps it; ValueError in Go's words."""
    match = _grammar(text)
    fraction = match[7] if match else None
    if match is None or (micro and (fraction is None or len(fraction) != 6)):
        raise ValueError(_complaint(text, micro))
    year, *rest = (int(match[i]) for i in range(1, 7))
    try:
        moment = datetime(year, *rest, tzinfo=UTC)  # type: ignore[misc, arg-type]
        if match[8]:
            moment += _offset(match[8], int(match[9]), int(match[10]))
    except (ValueError, OverflowError):
        raise ValueError(_complaint(text, micro)) from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z".rjust(27, "0") if micro else f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")


def _offset(sign: str, hours: int, minutes: int) -> timedelta:
    """What leads from the local time to UTC. People do write offsets of 24 hours and of 60 minutes."""
    if hours > 24 or minutes > 60:
        raise ValueError("out of range")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == "+" else offset


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(byte) for byte in text.encode()) + '"'


def _escaped(byte: int) -> str:
    if byte in b'"\\':
        return "\\" + chr(byte)
    return chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}"


def _complaint(text: str, micro: bool) -> str:
    """Go reads piece by piece and names the first that is out of range, or that it cannot find with all that was left.

    The day is the last to be judged: how many there are depends on month and year.
    """
    layout, left = MICRO_LAYOUT if micro else LAYOUT, text
    parsing = f"parsing time {_quoted(text)}"
    head = f"{parsing} as {_quoted(layout)}: cannot parse "
    for name, pattern, (what, low, high) in _PIECES:
        match = re.compile(pattern, re.ASCII).match(left)
        if match is None:
            return f"{head}{_quoted(left)} as {_quoted(name)}"
        if what and not low <= int(match[0]) <= high:
            return f"{parsing}: {what} out of range"
        left = left[match.end():]
    fraction = re.compile(r"[.,]\d{6}" if micro else r"(?:[.,]\d+)?", re.ASCII).match(left)
    if fraction is None:
        return f'{head}{_quoted(left)} as ".000000"'
    left = left[fraction.end():]
    zone = re.compile(r"Z|[+-](\d\d):(\d\d)", re.ASCII).match(left)
    if zone is None:
        return f'{head}{_quoted(left)} as "Z07:00"'
    for number, most, unit in ((zone[2], 60, "minute"), (zone[1], 24, "hour")):
        if number and int(number) > most:
            return f"{parsing}: time zone offset {unit} out of range"
    left = left[zone.end():]
    return f"{parsing}: extra text: {_quoted(left)}" if left else f"{parsing}: day out of range"
