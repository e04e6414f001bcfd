"""CSINode."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    schema="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    returns_deleted=True,
    namespaced=False,
    unconditional_update=False,
)
