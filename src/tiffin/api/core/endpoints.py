"""Endpoints."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    schema="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    short_names=("ep",),
    create_on_update=True,
)
