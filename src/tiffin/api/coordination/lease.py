"""Lease."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    create_on_update=True,
    unconditional_update=False,
)
