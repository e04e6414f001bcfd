"""RuntimeClass: a way to run pods, what it costs, and the nodes that can. The handler never changes.

The overhead is checked, and spoken of, as the limits of a container are.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.podspec.nodelabels import DEPRECATED
from tiffin.api.core.podspec.requirements import validate_requirements
from tiffin.api.core.podspec.scheduling import validate_tolerations
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name
from tiffin.machinery.validation import validate_labels


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = named(obj.get("handler"), "handler", names.is_dns1123_label)
    errors += validate_requirements({"limits": dig(obj, "overhead", "podFixed")}, set(), "overhead")
    scheduling = obj.get("scheduling") or {}
    errors += validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    return errors + validate_tolerations(scheduling.get("tolerations"), "scheduling.tolerations")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context) + immutable(new.get("handler"), old.get("handler"), "handler")


def warnings(new: Object, old: Object | None) -> list[str]:
    selected = sorted(dig(new, "scheduling", "nodeSelector", default={}))
    return [f"scheduling.nodeSelector: {DEPRECATED[label]}" for label in selected if label in DEPRECATED]


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("handler", ""), age(obj, now)]


KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    schema="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    any_finalizers=True,
    metadata_checks="mu",
    namespaced=False,
    unconditional_update=False,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Handler"), AGE),
    row=row,
)
