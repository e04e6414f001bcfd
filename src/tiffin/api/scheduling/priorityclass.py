"""PriorityClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    schema="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    namespaced=False,
    short_names=("pc",),
)
