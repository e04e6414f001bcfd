"""Times in objects: what the API accepts, in which form it keeps them, and in which words Go refuses the rest.

`canonical` accepts RFC 3339 with any offset and, for ordinary times, any fraction; it answers UTC, whole seconds. Micro times
must bring exactly six digits of fraction and keep them. Source: metav1.Time and MicroTime; Go's `time.Parse`.
"""
from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

LAYOUT, MICRO_LAYOUT = "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z07:00"

_grammar = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII).fullmatch
_PIECES = (("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"), (":", ":"),
           ("04", r"\d\d"), (":", ":"), ("05", r"\d\d"))
_RANGES = (("month", 1, 12), ("day", 1, 31), ("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))


def canonical(text: str, micro: bool = False) -> str:
    """The text as the API keeps it; ValueError in Go's words."""
    match = _grammar(text)
    fraction = match[7] if match else None
    if match is None or (micro and (fraction is None or len(fraction) != 6)):
        raise ValueError(_complaint(text, micro))
    year, *rest = (int(match[i]) for i in range(1, 7))
    for (name, low, high), value in zip(_RANGES, rest):
        if not low <= value <= high:
            raise ValueError(f"parsing time {_quoted(text)}: {name} out of range")
    try:
        moment = datetime(year, *rest, tzinfo=UTC)  # type: ignore[misc, arg-type]
        if match[8]:
            offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
            moment += -offset if match[8] == "+" else offset
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {_quoted(text)}: day out of range") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z".rjust(27, "0") if micro else f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _complaint(text: str, micro: bool) -> str:
    """Go reads piece by piece and names the first it cannot find, with all that was left."""
    layout, left = MICRO_LAYOUT if micro else LAYOUT, text
    head = f"parsing time {_quoted(text)} as {_quoted(layout)}: cannot parse "
    for name, pattern in _PIECES:
        match = re.compile(pattern, re.ASCII).match(left)
        if match is None:
            return f"{head}{_quoted(left)} as {_quoted(name)}"
        left = left[match.end():]
    fraction = re.compile(r"[.,]\d{6}(?!\d)" if micro else r"(?:[.,]\d+)?", re.ASCII).match(left)
    if fraction is None:
        return f'{head}{_quoted(left)} as ".000000"'
    left = left[fraction.end():]
    zone = re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII).match(left)
    if zone is None:
        return f'{head}{_quoted(left)} as "Z07:00"'
    return f"parsing time {_quoted(text)}: extra text: {_quoted(left[zone.end():])}"
