"""StorageClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    schema="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    returns_deleted=True,
    namespaced=False,
    short_names=("sc",),
)
