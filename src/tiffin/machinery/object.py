"""Objects as they travel: JSON dictionaries, never mutated once stored.

An object that was just decoded from a request belongs to that request and may be changed in place until it is committed;
everything that comes out of a store, a cache or a view is shared and read-only. `replaced` copies the path that changes.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON: `apiVersion`, `kind`, `metadata` and whatever its kind adds."""


class Resource(NamedTuple):
    """A REST resource: group ("" is the legacy group), version and plural name."""

    group: str
    version: str
    plural: str

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods` for the legacy group: the form of error messages and of store keys."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """The `apiVersion` field of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Key(NamedTuple):
    """Where an object is found within its resource; namespace is "" for cluster-scoped kinds."""

    namespace: str
    name: str


def meta(obj: Object) -> dict[str, Any]:
    """The object's metadata, or an empty dictionary that is not attached to it."""
    return obj.get("metadata") or {}


def key_of(obj: Object) -> Key:
    m = meta(obj)
    return Key(m.get("namespace") or "", m.get("name") or "")


def name_of(obj: Object) -> str:
    return meta(obj).get("name") or ""


def namespace_of(obj: Object) -> str:
    return meta(obj).get("namespace") or ""


def uid_of(obj: Object) -> str:
    return meta(obj).get("uid") or ""


def labels_of(obj: Object) -> Mapping[str, str]:
    return meta(obj).get("labels") or {}


def annotations_of(obj: Object) -> Mapping[str, str]:
    return meta(obj).get("annotations") or {}


def is_deleting(obj: Object) -> bool:
    return bool(meta(obj).get("deletionTimestamp"))


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The owner reference marked `controller: true`, if there is one."""
    for reference in meta(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            return reference
    return None


def dig(obj: Any, *path: str | int, default: Any = None) -> Any:
    """The value at a path through dictionaries and lists, `default` where the path ends early or in null."""
    for step in path:
        if isinstance(obj, dict):
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return default
        if obj is None:
            return default
    return obj


def replaced(obj: Object, path: Iterable[str], value: Any) -> Object:
    """A copy of `obj` with `value` at `path`; only the dictionaries on the path are copied. `None` removes the key."""
    head, *rest = path
    copy = dict(obj)
    if rest:
        copy[head] = replaced(obj.get(head) or {}, rest, value)
    elif value is None:
        copy.pop(head, None)
    else:
        copy[head] = value
    return copy
