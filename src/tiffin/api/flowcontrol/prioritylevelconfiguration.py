"""PriorityLevelConfiguration: how much of the server a level may use. Only the level `exempt` is exempt."""
from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from tiffin.api.checks import one_of
from tiffin.api.flowcontrol.flowschema import status_errors
from tiffin.api.flowcontrol.mandatory import level_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, keeps_all_but_status, updates_spec
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import NONE, age, name

EXEMPT = "exempt"
SHARES, QUEUING = 30, {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
MAX_QUEUES, HASH_BITS = 10_000_000, 60


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec.setdefault("type", "")
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if limited is not None:
        if limited.get("nominalConcurrencyShares") is None:
            limited["nominalConcurrencyShares"] = SHARES
        limited.setdefault("lendablePercent", 0)
        response = limited.setdefault("limitResponse", {})
        response.setdefault("type", "")
        queuing = response.get("queuing")
        if queuing is not None:
            response["queuing"] = QUEUING | {field: value for field, value in queuing.items() if value}
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return _spec_errors(obj) + level_errors(obj)


def _spec_errors(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    kind, limited = spec.get("type") or "", spec.get("limited")
    errors: list[FieldError] = []
    if (kind == "Exempt") != (name_of(obj) == EXEMPT):
        errors.append(invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        exempt = spec.get("exempt") or {}
        errors += _share_errors(exempt, "spec.exempt") + _lending_errors(exempt, "spec.exempt")
        return errors if limited is None else [*errors, forbidden("spec.limited", "must be nil if the type is not Limited")]
    if kind != "Limited":
        return [*errors, not_supported("spec.type", kind, ("Exempt", "Limited"))]
    if spec.get("exempt") is not None:
        errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        return [*errors, required("spec.limited", "must not be empty when type is Limited")]
    return errors + _limited_errors(limited, "spec.limited")


def _limited_errors(limited: dict[str, Any], path: str) -> list[FieldError]:
    errors = _share_errors(limited, path) + _response_errors(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    errors += _lending_errors(limited, path)
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowed, "if specified, must be a non-negative integer"))
    return errors


def _share_errors(part: dict[str, Any], path: str) -> list[FieldError]:
    shares = part.get("nominalConcurrencyShares") or 0
    return [invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")] if shares < 0 else []


def _lending_errors(part: dict[str, Any], path: str) -> list[FieldError]:
    lent = part.get("lendablePercent") or 0
    return [] if 0 <= lent <= 100 else [invalid(f"{path}.lendablePercent", lent, "must be between 0 and 100, inclusive")]


def _response_errors(response: dict[str, Any], path: str) -> list[FieldError]:
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        words = "must be nil if limited.limitResponse.type is not Limited"
        return [] if queuing is None else [forbidden(f"{path}.queuing", words)]
    if kind != "Queue":
        return one_of(kind, f"{path}.type", ("Queue", "Reject"))
    if queuing is None:
        return [required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")]
    return _queuing_errors(queuing, f"{path}.queuing")


def _queuing_errors(queuing: dict[str, Any], path: str) -> list[FieldError]:
    length, queues, hand = (queuing.get(field) or 0 for field in ("queueLengthLimit", "queues", "handSize"))
    errors = [] if length > 0 else [invalid(f"{path}.queueLengthLimit", length, "must be positive")]
    if queues <= 0:
        errors.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > MAX_QUEUES:
        errors.append(invalid(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}"))
    if hand <= 0:
        errors.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif _entropy(queues, hand) > HASH_BITS:
        words = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        errors.append(invalid(f"{path}.handSize", hand, words))
    return errors


def _entropy(deck: int, hand: int) -> int:
    """Bits of a hash that deal a hand of distinct queues fairly."""
    return math.ceil(math.log2(deck) * hand)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return status_errors(new.get("status") or {}, "status")


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
    metadata_checks="m",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True, prepare=keeps_all_but_status, validate=validate_status, resets=(("spec",), ("metadata",))),
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
