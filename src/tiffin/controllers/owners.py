"""Which objects belong to a controller: by owner reference, by selector, and how the two are made to agree.

Rules: what matches the selector and has no controller is adopted; what has this controller but no longer matches is released; what
has another controller is never touched. A controller that is being deleted does neither. Source: API conventions, ControllerRef.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tiffin.controllers.writing import changed
from tiffin.machinery.object import (
    Key,
    Object,
    Resource,
    controller_of,
    is_deleting,
    labels_of,
    meta,
    name_of,
    namespace_of,
    replaced,
    uid_of,
)
from tiffin.machinery.selectors import Selector
from tiffin.runtime.controller import Patch, View


def controller_reference(owner: Object) -> Object:
    """The owner reference that makes `owner` the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def orphan_index(obj: Object) -> Iterable[str]:
    """The index "orphan": the namespace of objects without a controller."""
    return () if controller_of(obj) else (namespace_of(obj),)


class Claim(NamedTuple):
    """What belongs to a controller once `patches` are performed."""

    objects: Sequence[Object]
    patches: Sequence[Patch]


def claim(resource: Resource, owner: Object, selector: Selector, view: View, accepts: Callable[[Object], bool] = lambda obj: True) -> Claim:
    """The objects of `resource` that are or should be the owner's. Needs the index "orphan" on the resource.

    `accepts` may ask for more than matching labels, such as a name of the owner's making.
    """

    def matches(obj: Object) -> bool:
        return selector.matches(labels_of(obj)) and accepts(obj)

    owned = list(view.by_index(resource, "owner", uid_of(owner)))
    kept = [obj for obj in owned if matches(obj)]
    if is_deleting(owner):
        return Claim(kept, ())
    released = [obj for obj in owned if not matches(obj)]
    orphans = view.by_index(resource, "orphan", namespace_of(owner))
    adopted = [obj for obj in orphans if not is_deleting(obj) and matches(obj)]
    patches = [p for obj in released for p in release(resource, obj, owner)] + [p for obj in adopted for p in adopt(resource, obj, owner)]
    return Claim(kept + adopted, patches)


def adopt(resource: Resource, obj: Object, owner: Object) -> list[Patch]:
    references = [*(meta(obj).get("ownerReferences") or ()), controller_reference(owner)]
    return changed(resource, obj, replaced(obj, ("metadata", "ownerReferences"), references))


def release(resource: Resource, obj: Object, owner: Object) -> list[Patch]:
    references = [r for r in meta(obj).get("ownerReferences") or () if r.get("uid") != uid_of(owner)]
    return changed(resource, obj, replaced(obj, ("metadata", "ownerReferences"), references or None))


def owner_keys(resource: Resource, kind: str, selector: Callable[[Object], Selector]) -> Callable[[Object, View], Iterable[Key]]:
    """Keys for a `Watch` of dependents: the owner of that kind, or every one that would adopt an orphan."""

    def keys(obj: Object, view: View) -> Iterable[Key]:
        reference = controller_of(obj)
        namespace = namespace_of(obj)
        if reference:
            owner = view.get(resource, namespace, reference["name"]) if reference.get("kind") == kind else None
            return (Key(namespace, reference["name"]),) if owner and uid_of(owner) == reference.get("uid") else ()
        if is_deleting(obj):
            return ()
        return [Key(namespace, name_of(o)) for o in view.list(resource, namespace) if selector(o).matches(labels_of(obj))]

    return keys


def matching(objects: Iterable[Object], labels: Mapping[str, str]) -> list[Object]:
    """Objects that carry all these labels."""
    return [obj for obj in objects if labels.items() <= labels_of(obj).items()]
