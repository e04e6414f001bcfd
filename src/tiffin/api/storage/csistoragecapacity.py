"""CSIStorageCapacity."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    schema="io.k8s.api.storage.v1.CSIStorageCapacity",
    singular="csistoragecapacity",
    unconditional_update=False,
)
