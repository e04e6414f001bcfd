"""JSON merge patch (RFC 7396): objects merge, null removes, everything else replaces.

Nulls inside objects that are new are left out, also inside lists. Inputs are not changed; the result shares what is unchanged.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.object import Object
from tiffin.machinery.patch import Fault, PatchError


def apply_merge_patch(obj: Object, patch: Any) -> Object:
    """The patched object; PatchError for a patch that is no object."""
    if not isinstance(patch, dict):
        raise PatchError(Fault.MALFORMED, f"json: cannot unmarshal {_kind(patch)} into Go value of type map[string]interface {{}}")
    return _merged(obj, patch)


def create_merge_patch(before: Object, after: Object) -> Object:
    """The merge patch that leads from one object to another (which must hold no nulls)."""
    patch: Object = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := create_merge_patch(old, value):
                patch[key] = inner
        elif key not in before or old != value or type(old) is not type(value):
            patch[key] = value
    return patch


def _merged(obj: Object, patch: Object) -> Object:
    result = dict(obj)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(old := result.get(key), dict):
            result[key] = _merged(old, value)
        else:
            result[key] = without_nulls(value)
    return result


def without_nulls(value: Any) -> Any:
    """A value without the nulls of its objects; the nulls of lists stay."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "array" if isinstance(value, list) else "string" if isinstance(value, str) else "number" if value is not None else "null"
