"""The order of keys in stored objects: kind and apiVersion first, then metadata in the order of its Go struct, then the rest.

Clients do not care, but the first two make `Served.head` a common prefix, and people read objects.
"""
from __future__ import annotations

from tiffin.machinery.object import Object

_METADATA = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers", "managedFields",
)


def ordered(obj: Object, kind: str, api_version: str) -> Object:
    """A new top level for `obj`, with only the metadata fields there are; empty ones are dropped."""
    old = obj.get("metadata") or {}
    metadata = {}
    for name in _METADATA:
        value = old.get(name)
        if value or (value == 0 and name == "deletionGracePeriodSeconds"):
            metadata[name] = value
    result: Object = {"kind": kind, "apiVersion": api_version, "metadata": metadata}
    for name, value in obj.items():
        if name not in result:
            result[name] = value
    return result
