"""What a client may set and what moves `metadata.generation`: the rules most kinds share.

* Status is written only through `/status`; a create resets it, an update keeps the stored one. `/status` keeps the spec.
* Kinds with a generation start at 1; a change of the spec (of what a kind names as its content) adds 1. The generic path
  restores the stored generation before a Kind's hook runs, so only an increase has to be done here.

The functions here are used as, or build, `Kind.prepare_for_create`, `prepare_for_update` and `Subresource.prepare`.
"""
from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tiffin.api.kind import Context
from tiffin.machinery.object import Object, meta

OnCreate = Callable[[Object, Context], None]
OnUpdate = Callable[[Object, Object, Context], None]


def start_generation(obj: Object, context: Context) -> None:
    """A create of a kind that counts generations but has no status."""
    obj.setdefault("metadata", {})["generation"] = 1


def next_generation(new: Object, old: Object) -> None:
    """One more than the stored generation."""
    new.setdefault("metadata", {})["generation"] = (meta(old).get("generation") or 0) + 1


def keep(new: Object, old: Object, *fields: str) -> None:
    """Put the stored value of top-level fields back; what is not stored is removed."""
    for field in fields:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)


def keep_metadata(new: Object, old: Object, *fields: str) -> None:
    """Put stored metadata fields back, such as labels that a status update may not change."""
    metadata = new.setdefault("metadata", {})
    keep(metadata, meta(old), *fields)


OWNED_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
"""What of its metadata the status updates of some kinds may not change."""


def keeps_all_but_status(new: Object, old: Object, context: Context) -> None:
    """A status update that changes nothing else: neither the spec nor any metadata but who manages which fields."""
    keep(new, old, "spec")
    metadata = new.setdefault("metadata", {})
    managed = {"managedFields": metadata["managedFields"]} if "managedFields" in metadata else {}
    metadata.clear()
    metadata.update({field: value for field, value in meta(old).items() if field != "managedFields"} | managed)


def changed(new: Object, old: Object, *fields: str) -> bool:
    """Whether any of these top-level fields differs; a missing one is as good as an empty one."""
    return any((new.get(field) or None) != (old.get(field) or None) for field in fields)


def content_of(obj: Object) -> dict[str, Any]:
    """All of an object but its metadata and type."""
    return {field: value for field, value in obj.items() if field not in ("metadata", "apiVersion", "kind")}


def creates_with_status(status: Object | None = None, *, generation: bool = True) -> OnCreate:
    """A create that starts with this status (a copy of it), and with generation 1 unless the kind counts none."""

    def prepare(obj: Object, context: Context) -> None:
        obj["status"] = deepcopy(status or {})
        if generation:
            start_generation(obj, context)

    return prepare


def updates_spec(*, status: bool = True, generation: bool = True, content: tuple[str, ...] = ("spec",)) -> OnUpdate:
    """An update that leaves the status alone and moves the generation when one of the `content` fields changes."""

    def prepare(new: Object, old: Object, context: Context) -> None:
        if status:
            keep(new, old, "status")
        if generation and changed(new, old, *content):
            next_generation(new, old)

    return prepare


def updates_status(*, kept: tuple[str, ...] = ("spec",), kept_metadata: tuple[str, ...] = ()) -> OnUpdate:
    """A status update: it may not change the `kept` fields nor the `kept_metadata`."""

    def prepare(new: Object, old: Object, context: Context) -> None:
        keep(new, old, *kept)
        if kept_metadata:
            keep_metadata(new, old, *kept_metadata)

    return prepare


def updates_content(new: Object, old: Object, context: Context) -> None:
    """An update of a kind without status whose generation moves with anything but metadata."""
    if content_of(new) != content_of(old):
        next_generation(new, old)
