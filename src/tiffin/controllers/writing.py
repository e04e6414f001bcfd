"""Turning "it should look like this" into the smallest write: merge patches between an object as seen and as wanted."""
from __future__ import annotations

from typing import Any

from tiffin.machinery.object import Object, Resource, key_of, meta
from tiffin.runtime.controller import Patch


def merge_patch(old: Any, new: Any) -> Any:
    """The JSON merge patch that makes `new` of `old`: both dictionaries, lists taken whole. Source: RFC 7386."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif old[name] != value:
            patch[name] = merge_patch(old[name], value) if isinstance(value, dict) and isinstance(old[name], dict) else value
    return patch


def changed(resource: Resource, old: Object, new: Object, subresource: str = "", *, guarded: bool = True) -> list[Patch]:
    """The patch from `old` to `new`, none where they are equal. A guarded one fails with a conflict where `old` is out of date."""
    patch = merge_patch(old, new)
    if not patch:
        return []
    guard = {"uid": meta(old).get("uid")} | ({"resourceVersion": meta(old).get("resourceVersion")} if guarded else {})
    patch["metadata"] = patch.get("metadata", {}) | {name: value for name, value in guard.items() if value}
    return [Patch(resource, *key_of(old), patch, subresource=subresource)]


def status_changed(resource: Resource, obj: Object, status: Object) -> list[Patch]:
    """The patch of the status subresource that makes it `status`. Unguarded: a status has one writer."""
    return changed(resource, obj, obj | {"status": status}, "status", guarded=False)


def compact(status: Object) -> Object:
    """A status without the fields that JSON leaves out when they are zero, empty or absent."""
    return {name: value for name, value in status.items() if value not in (None, 0, [], {}, "")}
