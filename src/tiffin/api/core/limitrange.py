"""LimitRange."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    schema="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    short_names=("limits",),
    create_on_update=True,
)
