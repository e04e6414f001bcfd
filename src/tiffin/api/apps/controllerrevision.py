"""ControllerRevision."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    schema="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
)
