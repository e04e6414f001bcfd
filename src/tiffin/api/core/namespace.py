"""Namespace: a label of its own name, and finalizers in the spec that `/finalize` alone changes.

A new namespace is Active and always has the finalizer `kubernetes`. Deletion makes it Terminating; it is gone once its spec
has no finalizers left.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import keep, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object, dig, is_deleting, name_of
from tiffin.machinery.table import age

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def default(obj: Object) -> None:
    if name_of(obj):
        metadata = obj["metadata"]
        metadata["labels"] = (metadata.get("labels") or {}) | {NAME_LABEL: name_of(obj)}
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def prepare_for_create(obj: Object, context: Context) -> None:
    default(obj)
    finalizers = dig(obj, "spec", "finalizers", default=[])
    obj["spec"]["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    obj["status"] = {"phase": "Active"}


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec", "status")


def prepare_finalize(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")


def finalizer_errors(finalizers: list[str] | None, path: str) -> list[FieldError]:
    """A finalizer is one of the standard names or a qualified name with a domain."""
    errors: list[FieldError] = []
    for finalizer in finalizers or ():
        complaints = named(finalizer, path, names.is_qualified_name)
        if not complaints and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            complaints = [invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")]
        errors += complaints
    return errors


def validate(obj: Object, context: Context) -> list[FieldError]:
    return finalizer_errors(dig(obj, "spec", "finalizers"), "spec.finalizers")


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    phase = dig(new, "status", "phase", default="")
    if not is_deleting(new):
        return [] if phase == "Active" else [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")]
    return [] if phase == "Terminating" else [invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]


def validate_finalize(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, finalizer in enumerate(dig(new, "spec", "finalizers", default=[])):
        errors += finalizer_errors([finalizer], f"spec.finalizers[{index}]")
    return errors


def validate_name(name: str, prefix: bool) -> list[str]:
    return names.is_dns1123_label(names.masked_prefix(name) if prefix else name)


def holds_deletion(obj: Object) -> bool:
    return bool(dig(obj, "spec", "finalizers"))


def mark_deleted(obj: Object) -> None:
    obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}


def phase_of(obj: Object) -> str:
    return dig(obj, "status", "phase", default="")


def row(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), phase_of(obj), age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    schema="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    metadata_checks="mu",
    namespaced=False,
    short_names=("ns",),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(
        Subresource("finalize", verbs=("update",), updates_object=True, prepare=prepare_finalize, validate=validate_finalize),
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    holds_deletion=holds_deletion,
    mark_deleted=mark_deleted,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_name=validate_name,
    columns=(NAME, Column("Status"), AGE),
    row=row,
    field_selectors={"status.phase": phase_of},
)
