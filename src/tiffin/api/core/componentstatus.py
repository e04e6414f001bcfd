"""ComponentStatus."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    schema="io.k8s.api.core.v1.ComponentStatus",
    singular="componentstatus",
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    namespaced=False,
    short_names=("cs",),
    verbs=("get", "list"),
)
