"""PriorityLevelConfiguration: how much of the server a level may use. Only the level `exempt` is exempt."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import not_negative, one_of
from tiffin.api.flowcontrol.mandatory import level_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import NONE, age, name

EXEMPT = "exempt"
SHARES, QUEUING = 30, {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
MAX_QUEUES = 10_000_000


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec.setdefault("type", "")
    if spec.get("type") == "Limited":
        limited = spec.setdefault("limited", {})
        if limited.get("nominalConcurrencyShares") is None:
            limited["nominalConcurrencyShares"] = SHARES
        limited.setdefault("lendablePercent", 0)
        response = limited.setdefault("limitResponse", {})
        response.setdefault("type", "")
        queuing = response.get("queuing")
        if queuing is not None:
            response["queuing"] = QUEUING | {field: value for field, value in queuing.items() if value}
    elif spec.get("type") == "Exempt":
        exempt = spec.setdefault("exempt", {})
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return level_errors(obj) + _spec_errors(obj)


def _spec_errors(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    kind, limited = spec.get("type") or "", spec.get("limited")
    if (kind == "Exempt") != (name_of(obj) == EXEMPT):
        return [invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'")]
    if kind == "Exempt":
        return [] if limited is None else [forbidden("spec.limited", "must be nil if the type is not Limited")]
    if kind != "Limited":
        return [not_supported("spec.type", kind, ("Exempt", "Limited"))]
    errors = [] if spec.get("exempt") is None else [forbidden("spec.exempt", "must be nil if the type is Limited")]
    if limited is None:
        return [*errors, required("spec.limited", "must not be empty when type is Limited")]
    return errors + _limited_errors(limited, "spec.limited")


def _limited_errors(limited: dict[str, Any], path: str) -> list[FieldError]:
    errors = not_negative(limited.get("nominalConcurrencyShares"), f"{path}.nominalConcurrencyShares")
    errors += _response_errors(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    lendable = limited.get("lendablePercent")
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    return errors + not_negative(limited.get("borrowingLimitPercent"), f"{path}.borrowingLimitPercent")


def _response_errors(response: dict[str, Any], path: str) -> list[FieldError]:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        words = "must be nil if limited.limitResponse.type is not Limited"
        return [] if queuing is None else [forbidden(f"{path}.queuing", words)]
    if kind != "Queue":
        return one_of(kind, f"{path}.type", ("Queue", "Reject"))
    if queuing is None:
        return [required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")]
    errors = [
        invalid(f"{path}.queuing.{field}", queuing.get(field), "must be positive") for field in QUEUING if (queuing.get(field) or 0) <= 0
    ]
    if queuing.get("queues", 0) > MAX_QUEUES:
        errors.append(invalid(f"{path}.queuing.queues", queuing["queues"], f"must not be greater than {MAX_QUEUES}"))
    if queuing.get("handSize", 0) > queuing.get("queues", 0):
        words = f"should not be greater than queues ({queuing.get('queues', 0)})"
        errors.append(invalid(f"{path}.queuing.handSize", queuing["handSize"], words))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    limited = dig(obj, "spec", "limited", default={})
    queuing = dig(limited, "limitResponse", "queuing", default={})
    cells = [limited.get("nominalConcurrencyShares", NONE), *(queuing.get(field, NONE) for field in QUEUING)]
    return [name(obj), dig(obj, "spec", "type", default=""), *cells, age(obj, now)]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    schema="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    singular="prioritylevelconfiguration",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status()),
    ),
    default=default,
    prepare_for_create=creates_with_status(),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME, Column("Type"), Column("NominalConcurrencyShares"), Column("Queues"), Column("HandSize"), Column("QueueLengthLimit"), AGE,
    ),
    row=row,
)
