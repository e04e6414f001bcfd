"""VolumeAttachment."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    schema="io.k8s.api.storage.v1.VolumeAttachment",
    singular="volumeattachment",
    returns_deleted=True,
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True),
    ),
    unconditional_update=False,
)
