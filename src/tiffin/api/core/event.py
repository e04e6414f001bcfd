"""Event: what happened to an object. Stored as core/v1, served as events.k8s.io/v1 too.

Through core/v1 almost anything goes, also names that are no DNS names. Through events.k8s.io/v1 an event is a fact: it must
say when, who and what, leaves the old counters unset, and only its series may change.
"""
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.events import v1 as events_v1
from tiffin.api.kind import Column, Context, Kind, Version
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig, name_of, namespace_of
from tiffin.machinery.table import since

_MISMATCH = "does not match event.namespace"
_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_UNSET = (("firstTimestamp", "firstTimestamp"), ("lastTimestamp", "lastTimestamp"), ("count", "count"), ("source", "source"))
_IMMUTABLE = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type", "eventTime", "action",
    "related", "reportingComponent", "reportingInstance",
)


def default(obj: Object) -> None:
    obj.setdefault("involvedObject", {})
    obj.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)
    for field in ("reportingComponent", "reportingInstance"):
        obj.setdefault(field, "")


def _is_strict(context: Context) -> bool:
    return context.api_version == events_v1.API_VERSION


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = _common_errors(obj, context)
    return errors + _strict_errors(obj) if _is_strict(context) else errors


def _common_errors(obj: Object, context: Context) -> list[FieldError]:
    namespace, involved = namespace_of(obj), dig(obj, "involvedObject", "namespace", default="")
    mismatch = [invalid("involvedObject.namespace", involved, _MISMATCH)]
    if not obj.get("eventTime"):
        matches = namespace == involved if involved else namespace in ("", "default")
        return [] if matches else mismatch
    errors = [] if involved or namespace in ("default", "kube-system") else mismatch
    controller = obj.get("reportingComponent") or ""
    path = "reportingController" if _is_strict(context) else "reportingComponent"
    if not controller:
        errors.append(required(path))
    errors += named(controller, path, names.is_qualified_name)
    for field, limit in _LIMITS.items():
        value = obj.get(field) or ""
        if not value and field != "message":
            errors.append(required(field))
        if len(value.encode()) > limit:
            errors.append(invalid(field, "", f"can have at most {limit} characters"))
    return errors


def _series_errors(series: dict[str, Any] | None) -> list[FieldError]:
    if series is None:
        return []
    errors = [] if (series.get("count") or 0) >= 2 else [invalid("series.count", "", "should be at least 2")]
    return errors if series.get("lastObservedTime") else [*errors, required("series.lastObservedTime")]


def _strict_errors(obj: Object) -> list[FieldError]:
    errors = named(name_of(obj), "metadata.name", names.is_dns1123_subdomain)
    errors += _series_errors(obj.get("series"))
    if not obj.get("eventTime"):
        errors.append(required("eventTime"))
    if obj.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {obj.get('type') or ''}"))
    return errors + [invalid(path, "", "needs to be unset") for field, path in _UNSET if obj.get(field)]


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = _common_errors(new, context)
    if _is_strict(context):
        if new.get("series") != old.get("series"):
            errors += _series_errors(new.get("series"))
        for field in _IMMUTABLE:
            errors += immutable(new.get(field), old.get(field), "reportingController" if field == "reportingComponent" else field)
    return errors


def validate_name(name: str, prefix: bool) -> list[str]:
    return names.is_path_segment_prefix(name) if prefix else names.is_path_segment_name(name)


def last_seen(obj: Object) -> str | None:
    """When it happened last, by the newest field that says so."""
    return dig(obj, "series", "lastObservedTime") or obj.get("lastTimestamp") or obj.get("firstTimestamp") or obj.get("eventTime")


def _source_text(obj: Object) -> str:
    component, host = dig(obj, "source", "component", default=""), dig(obj, "source", "host", default="")
    if not component:
        component, host = obj.get("reportingComponent") or "", obj.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def object_text(reference: Mapping[str, Any]) -> str:
    """`kind/name`, the kind in lower case."""
    kind = reference.get("kind", "").lower()
    return f"{kind}/{reference.get('name', '')}" if reference.get("name") else kind


def row(obj: Object, now: datetime) -> list[Any]:
    involved = obj.get("involvedObject") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    count = dig(obj, "series", "count") or obj.get("count") or 1
    return [
        since(last_seen(obj), now), obj.get("type", ""), obj.get("reason", ""), object_text(involved), involved.get("fieldPath", ""),
        _source_text(obj), (obj.get("message") or "").strip(), since(first, now), count, name_of(obj),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    schema="io.k8s.api.core.v1.Event",
    singular="event",
    short_names=("ev",),
    versions=(
        Version(
            "events.k8s.io", "v1", events_v1.SCHEMA, events_v1.from_core, events_v1.to_core, field_selectors=events_v1.EVENTS_FIELDS,
            row=lambda obj, now: row(events_v1.to_core(obj), now)),
    ),
    create_on_update=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    validate_name=validate_name,
    columns=(
        Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"), Column("Subobject", priority=1),
        Column("Source", priority=1), Column("Message"), Column("First Seen", priority=1), Column("Count", priority=1),
        Column("Name", format="name", priority=1),
    ),
    row=row,
    field_selectors=events_v1.CORE_FIELDS,
)
