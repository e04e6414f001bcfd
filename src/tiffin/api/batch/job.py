"""Job."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    schema="io.k8s.api.batch.v1.Job",
    singular="job",
    categories=("all",),
    subresources=(
        Subresource("status", updates_object=True),
    ),
    default_propagation="Orphan",
)
