"""CSIDriver."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    schema="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    returns_deleted=True,
    namespaced=False,
    unconditional_update=False,
)
