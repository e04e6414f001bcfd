"""events.k8s.io/v1beta1, 1.8 to 1.24: the fields of v1, without its rules of what an event has to say."""
from __future__ import annotations

from tiffin.api.events.v1 import EVENTS_FIELDS, from_core, to_core
from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired

_V1BETA1 = Package("events.v1beta1", "events.k8s.io", "v1beta1", "events.v1", ("Event",))
PACKAGES = (_V1BETA1,)
VERSIONS = (
    Retired(
        "events", _V1BETA1, "1.22", "1.25", "events.k8s.io/v1 Event", from_stored=from_core, to_stored=to_core, field_selectors=EVENTS_FIELDS),
)
