"""Cells of tables, as the server prints them for kubectl."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tiffin.machinery.object import Object
from tiffin.machinery.timestamps import human_duration, seconds_between

NONE = "<none>"
UNKNOWN = "<unknown>"


def since(timestamp: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was ("5m30s"), `<unknown>` where there is none."""
    return human_duration(seconds_between(timestamp, now)) if timestamp else UNKNOWN


def until(timestamp: str | None, now: datetime) -> str:
    """How far in the future an RFC 3339 time is, `<unknown>` where there is none."""
    return human_duration(-seconds_between(timestamp, now)) if timestamp else UNKNOWN


def age(obj: Object, now: datetime) -> str:
    """The age cell of an object."""
    return since((obj.get("metadata") or {}).get("creationTimestamp"), now)


def name(obj: Object) -> str:
    return (obj.get("metadata") or {}).get("name") or ""


def labels(values: Mapping[str, str] | None, none: str = NONE) -> str:
    """`a=b,c=d`, sorted by key."""
    return ",".join(f"{k}={v}" for k, v in sorted(values.items())) if values else none


def joined(values: Iterable[Any] | None, separator: str = ",", none: str = NONE) -> str:
    """The values as one text, `<none>` without any."""
    return separator.join(map(str, values or ())) or none


def cut(values: list[str], limit: int) -> str:
    """The first `limit` values, and how many more there are."""
    more = len(values) - limit
    return ",".join(values[:limit]) + (f" + {more} more..." if more > 0 else "")
