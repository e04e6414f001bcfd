"""events.k8s.io/v1 Event: the stored core/v1 Event under newer field names.

Both versions carry the same data; fields that only the core version had are called `deprecated…` here. Times that core/v1
always shows (`null` when unset) are always shown here too.
"""
from __future__ import annotations

from collections.abc import Callable

from tiffin.machinery.object import Object, dig

API_VERSION = "events.k8s.io/v1"
SCHEMA = "io.k8s.api.events.v1.Event"

_NAMES = {  # core/v1 -> events.k8s.io/v1
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_CORE_NAMES = {new: old for old, new in _NAMES.items()}
_OMITTED_WHEN_EMPTY = ("reportingController", "reportingInstance")


def from_core(obj: Object) -> Object:
    """The events.k8s.io/v1 form of a core/v1 Event."""
    new = {_NAMES.get(field, field): value for field, value in obj.items()} | {"apiVersion": API_VERSION}
    for field in _OMITTED_WHEN_EMPTY:
        if not new.get(field):
            new.pop(field, None)
    return new


def to_core(obj: Object) -> Object:
    """The core/v1 form of an events.k8s.io/v1 Event."""
    return {_CORE_NAMES.get(field, field): value for field, value in obj.items()} | {"apiVersion": "v1"}


def _text_at(*path: str) -> Callable[[Object], str]:
    return lambda obj: dig(obj, *path, default="")


def _source(obj: Object) -> str:
    return _text_at("source", "component")(obj) or _text_at("reportingComponent")(obj)


CORE_FIELDS: dict[str, Callable[[Object], str]] = {
    **{
        f"involvedObject.{name}": _text_at("involvedObject", name)
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": _text_at("reason"),
    "reportingComponent": _text_at("reportingComponent"),
    "source": _source,
    "type": _text_at("type"),
}
"""Fields a core/v1 field selector may use."""

EVENTS_FIELDS: dict[str, Callable[[Object], str]] = {
    name.replace("involvedObject.", "regarding.").replace("reportingComponent", "reportingController"): read
    for name, read in CORE_FIELDS.items()
    if name != "source"
}
"""The same fields as events.k8s.io/v1 names them."""
