"""DeviceClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    schema="io.k8s.api.resource.v1.DeviceClass",
    singular="deviceclass",
    returns_deleted=True,
    namespaced=False,
)
