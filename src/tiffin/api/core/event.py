"""Event."""
from __future__ import annotations

from tiffin.api.events import v1 as events_v1
from tiffin.api.kind import Kind, Version

KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    schema="io.k8s.api.core.v1.Event",
    singular="event",
    short_names=("ev",),
    versions=(
        Version("events.k8s.io", "v1", events_v1.SCHEMA, events_v1.from_core, events_v1.to_core, field_selectors=events_v1.EVENTS_FIELDS),
    ),
    create_on_update=True,
    field_selectors=events_v1.CORE_FIELDS,
)
