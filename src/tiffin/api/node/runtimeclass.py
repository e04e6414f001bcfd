"""RuntimeClass: a way to run pods, what it costs, and the nodes that can. The handler never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.resources import container_name_errors, quantity_errors
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name
from tiffin.machinery.validation import validate_labels


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = named(obj.get("handler"), "handler", names.is_dns1123_label)
    for resource, amount in sorted(dig(obj, "overhead", "podFixed", default={}).items()):
        path = f"overhead.podFixed[{resource}]"
        errors += container_name_errors(resource, path) + quantity_errors(resource, amount, path)
    return errors + validate_labels(dig(obj, "scheduling", "nodeSelector"), "scheduling.nodeSelector")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return immutable(new.get("handler"), old.get("handler"), "handler")


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("handler", ""), age(obj, now)]


KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    schema="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    namespaced=False,
    unconditional_update=False,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Handler"), AGE),
    row=row,
)
