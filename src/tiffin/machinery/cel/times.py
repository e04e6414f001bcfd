"""Timestamps and durations: text to nanoseconds and back, fields in a time zone.

Source: cel-spec "Timezones"; RFC 3339; Go's time.Duration.
"""
from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from tiffin.machinery import timestamps
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.values import NANOS, Duration, Made, Optional, Timestamp, TypedObject, checked_timestamp, tree_size, type_name

_time = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d))?", re.ASCII).fullmatch
_offset = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_timestamp(text: str, dates: bool = False) -> Timestamp:
    """An RFC 3339 time; with `dates` a day alone as well, as formats of schemas allow. Raises EvaluationError."""
    match = _time(text)
    try:
        if match is None or (match[4] is None and not dates):
            raise ValueError
        day = datetime(int(match[1]), int(match[2]), int(match[3]), int(match[4] or 0), int(match[5] or 0), int(match[6] or 0), tzinfo=UTC)
    except ValueError:
        raise EvaluationError("type conversion error from 'string' to 'google.protobuf.Timestamp'") from None
    seconds = int((day - _EPOCH).total_seconds()) - _seconds(match[8] or "Z")
    return checked_timestamp(seconds * NANOS + int((match[7] or "0").ljust(9, "0")))


def _seconds(zone: str) -> int:
    if zone in "Zz":
        return 0
    return (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 3600 + int(zone[4:6]) * 60)


def format_timestamp(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of fraction as needed."""
    fraction = f"{int(value) % NANOS:09d}".rstrip("0")
    moment = value.moment()
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}" + (f".{fraction}Z" if fraction else "Z")


def parse_duration(text: str) -> Duration:
    """A Go duration. Raises EvaluationError."""
    try:
        return Duration(timestamps.parse_nanoseconds(text))
    except (ValueError, IndexError):
        raise EvaluationError("type conversion error from 'string' to 'google.protobuf.Duration'") from None


def format_duration(value: Duration) -> str:
    """Seconds: "5400s", "1.5s"."""
    whole, rest = divmod(abs(int(value)), NANOS)
    fraction = f"{rest:09d}".rstrip("0")
    return ("-" if value < 0 else "") + str(whole) + (f".{fraction}" if fraction else "") + "s"


def json_of(value: Any) -> Any:
    """A value as JSON: objects as they came, times and durations as text, bytes in base64, absent optionals as null.

    Raises EvaluationError for what has no JSON: types and values of libraries; CostExceeded for what is larger than any request.
    """
    tree_size(value)
    return _json_of(value)


def _json_of(value: Any) -> Any:
    match value:
        case None | bool() | str() | float():
            return value
        case Timestamp():
            return format_timestamp(value)
        case Duration():
            return format_duration(value)
        case int():
            return int(value)
        case bytes():
            return base64.b64encode(value).decode()
        case Made():
            return {key: _json_of(item) for key, item in value.raw.items()}
        case TypedObject():
            return value.raw
        case dict():
            return {str(key): _json_of(item) for key, item in value.items()}
        case list():
            return [_json_of(item) for item in value]
        case Optional():
            return _json_of(value.value) if value.present else None
    raise EvaluationError(f"unsupported conversion from '{type_name(value)}' to JSON")


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    match = _offset(name)
    try:
        if match is None:
            return UTC if name in ("", "UTC") else ZoneInfo(name)
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    except (ValueError, OSError, KeyError) as error:
        raise EvaluationError(f"unknown time zone {name}") from error


def local(value: Timestamp, zone: str = "UTC") -> datetime:
    """The time as clocks of a zone show it. Raises EvaluationError for unknown zones."""
    try:
        return value.moment().astimezone(_zone(zone))
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None
