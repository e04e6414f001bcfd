"""PersistentVolume."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    schema="io.k8s.api.core.v1.PersistentVolume",
    singular="persistentvolume",
    returns_deleted=True,
    namespaced=False,
    short_names=("pv",),
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
