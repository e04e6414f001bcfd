"""VolumeAttributesClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    schema="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    returns_deleted=True,
    namespaced=False,
    short_names=("vac",),
)
