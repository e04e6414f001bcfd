"""storage.k8s.io/v1beta1: the kinds under another name, each retired in its own time."""
from __future__ import annotations

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import each

_GROUP = "storage.k8s.io"
_V1BETA1 = Package("storage.v1beta1", _GROUP, "v1beta1", "storage.v1", ("StorageClass", "VolumeAttachment", "CSIDriver", "CSINode", "CSIStorageCapacity"))
PACKAGES = (_V1BETA1,)
VERSIONS = (
    *each(_V1BETA1, _GROUP, "1.19", "1.22", "storageclasses", "volumeattachments", "csidrivers"),
    *each(_V1BETA1, _GROUP, "1.17", "1.22", "csinodes"),
    *each(_V1BETA1, _GROUP, "1.24", "1.27", "csistoragecapacities"),
)
