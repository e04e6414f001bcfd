"""Lease: who holds something, and until when it is believed. Every update names the version it saw."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import not_negative
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import age

_GATED = ("strategy", "preferredHolder")


def default(obj: Object) -> None:
    obj.setdefault("spec", {})


def _drop_gated(spec: dict[str, Any]) -> None:
    """Fields of coordinated leader election, a feature that is off by default."""
    for field in _GATED:
        spec.pop(field, None)


def prepare_for_create(obj: Object, context: Context) -> None:
    _drop_gated(obj["spec"])


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    _drop_gated(new["spec"])


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    errors = [invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")] if duration is not None and duration <= 0 else []
    return errors + not_negative(spec.get("leaseTransitions"), "spec.leaseTransitions")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), dig(obj, "spec", "holderIdentity", default=""), age(obj, now)]


KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    schema="io.k8s.api.coordination.v1.Lease",
    singular="lease",
    any_finalizers=True,
    create_on_update=True,
    unconditional_update=False,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Holder"), AGE),
    row=row,
)
