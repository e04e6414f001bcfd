"""The annotation of client-side apply, and how server-side apply by kubectl takes over from it.

Source: kubectl's last-applied-configuration; KEP-555, "Upgrade path from client-side apply".
"""
from __future__ import annotations

import orjson

from tiffin.machinery import fieldset, typed
from tiffin.machinery.fieldset import FieldSet
from tiffin.machinery.object import Object, annotations_of, replaced
from tiffin.machinery.schema import Type

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MOST_ANNOTATIONS = 256 * 1024
"""Bytes that all annotations of an object may take together."""


def annotation(obj: Object) -> str:
    """The configuration that was last applied by a client, "" if there is none."""
    return annotations_of(obj).get(LAST_APPLIED) or ""


def with_annotation(obj: Object, applied: Object) -> Object:
    """The object with the annotation telling what was applied now, or without it where that is too long."""
    annotations = {key: value for key, value in annotations_of(applied).items() if key != LAST_APPLIED}
    if annotations_of(applied):
        applied = replaced(applied, ("metadata", "annotations"), annotations or None)
    text = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    others = sum(len(key) + len(value) for key, value in annotations_of(obj).items() if key != LAST_APPLIED)
    fits = others + len(LAST_APPLIED) + len(text.encode()) <= MOST_ANNOTATIONS
    return replaced(obj, ("metadata", "annotations", LAST_APPLIED), text if fits else None)


def allowed(live: Object, type: Type) -> FieldSet:
    """The fields that the client applied last and nobody changed since: its server-side apply may change them."""
    try:
        last = orjson.loads(annotation(live))
        typed.validate(type, last)
    except ValueError:
        return {}
    changed, removed = typed.compare(type, last, live)
    return fieldset.difference(fieldset.difference(typed.field_set(type, last), changed or {}), removed or {})
