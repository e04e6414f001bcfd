"""ResourceSlice."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    schema="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    returns_deleted=True,
    namespaced=False,
)
