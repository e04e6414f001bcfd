"""What a retired version is: which current Kind it shows, in which form, and how long Kubernetes served it.

Conversions take and return objects; they leave `apiVersion` to the loader, keep the order of the top-level keys, share what they do not
change, and are at home with objects that are not complete: an applied body says only what its author cares for.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tiffin.api.kind import Subresource, nothing
from tiffin.api.legacy.definitions import Package
from tiffin.machinery.object import Object

Convert = Callable[[Object], Object]


def same(obj: Object) -> Object:
    """A conversion for versions that differ in name only."""
    return obj


@dataclass(frozen=True)
class Retired:
    """One kind in one old version."""

    current: str
    """The group-resource of the Kind that stores it."""
    package: Package
    deprecated: str
    """The release in which it was deprecated, such as "1.14"."""
    removed: str
    replacement: str = ""
    """What to use instead, as warnings say it; the stored version of the Kind unless given. "-" where there is nothing."""
    from_stored: Convert = same
    to_stored: Convert = same
    default: Callable[[Object], None] = nothing
    subresources: tuple[Subresource, ...] = ()
    """Those that the Kind has otherwise or not at all."""
    field_selectors: Mapping[str, Callable[[Object], str]] | None = None


def each(package: Package, group: str, deprecated: str, removed: str, *plurals: str) -> tuple[Retired, ...]:
    """Kinds of a group that differ in name only."""
    return tuple(Retired(f"{plural}.{group}", package, deprecated, removed) for plural in plurals)


def changed(obj: Object, path: tuple[str, ...], change: Callable[[Any], Any]) -> Object:
    """The object with the value at a path replaced by what `change` makes of it; as it is where there is no such value."""
    if not path:
        return change(obj)  # type: ignore[no-any-return]
    inner = obj.get(path[0])
    if inner is None or (len(path) > 1 and not isinstance(inner, dict)):
        return obj
    return {**obj, path[0]: changed(inner, path[1:], change)}


def every(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of every element of a list."""
    return lambda items: [change(item) for item in items] if isinstance(items, list) else items


def renamed(obj: Object, **names: str) -> Object:
    """The object with some keys under other names (`backend="defaultBackend"`), in the same places."""
    return {names.get(key, key): value for key, value in obj.items()}


def annotated(obj: Object, name: str, value: str | None) -> Object:
    """The object with an annotation, or without it."""
    metadata = dict(obj.get("metadata") or {})
    notes = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != name}
    if value is not None:
        notes[name] = value
    if notes:
        metadata["annotations"] = notes
    else:
        metadata.pop("annotations", None)
    return {**obj, "metadata": metadata}
