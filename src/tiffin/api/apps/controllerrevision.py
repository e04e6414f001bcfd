"""ControllerRevision: what a template was at one time. Its data never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, not_negative
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery.field import FieldError, required
from tiffin.machinery.object import Object, controller_of
from tiffin.machinery.table import NONE, age, name


def validate(obj: Object, context: Context) -> list[FieldError]:
    return _data_errors(obj.get("data")) + not_negative(obj.get("revision"), "revision")


def _data_errors(data: Any) -> list[FieldError]:
    if data is None:
        return [required("data", "data is mandatory")]
    return [] if isinstance(data, dict) else [required("data", "data must be a valid JSON object")]


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return not_negative(new.get("revision"), "revision") + immutable(new.get("data"), old.get("data"), "data")


def controller_text(obj: Object) -> str:
    """The owner as `statefulset.apps/web`."""
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group = owner["apiVersion"].rpartition("/")[0]
    kind = owner["kind"].lower() + (f".{group}" if group else "")
    return f"{kind}/{owner['name']}"


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), controller_text(obj), obj.get("revision", 0), age(obj, now)]


KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    schema="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Controller"), Column("Revision"), AGE),
    row=row,
)
