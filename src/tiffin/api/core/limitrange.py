"""LimitRange: bounds and defaults for what pods, containers and claims may ask for in a namespace.

For containers a missing default limit is the maximum, a missing default request the default limit or else the minimum.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.api.checks import named
from tiffin.api.core.resources import container_name_errors, is_native, name_errors
from tiffin.api.kind import Context, Kind
from tiffin.api.printing import NAME_AND_CREATED, name_and_created
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, required
from tiffin.machinery.object import Object, dig

_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("limits", None)
    for limit in spec["limits"] or ():
        if limit.get("type") == "Container":
            limits = dict(limit.get("max") or {}) | (limit.get("default") or {})
            requests = dict(limit.get("min") or {}) | limits | (limit.get("defaultRequest") or {})
            for field, amounts in (("default", limits), ("defaultRequest", requests)):
                if amounts:
                    limit[field] = amounts


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, limit in enumerate(dig(obj, "spec", "limits", default=[])):
        path, kind = f"spec.limits[{index}]", limit.get("type", "")
        errors += _type_errors(kind, f"{path}.type")
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        errors += _field_errors(limit, path)
        for name in sorted(set().union(*(limit.get(field) or () for field in _FIELDS))):
            errors += _bound_errors(limit, name, path)
    return errors


def _type_errors(kind: str, path: str) -> list[FieldError]:
    errors = named(kind, path, names.is_qualified_name)
    if not errors and "/" not in kind and kind not in _TYPES:
        errors.append(invalid(path, kind, "must be a standard limit type or fully qualified"))
    return errors


def _field_errors(limit: dict[str, Any], path: str) -> list[FieldError]:
    """Resource names, and fields that a type of limit does not have."""
    kind, errors = limit.get("type"), []
    check: Callable[[str, str], list[FieldError]] = container_name_errors if kind in ("Pod", "Container") else name_errors
    for field in _FIELDS:
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if limit.get(field):
                errors.append(forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        if field == "maxLimitRequestRatio" and kind == "PersistentVolumeClaim":
            if "storage" not in (limit.get("min") or {}) and "storage" not in (limit.get("max") or {}):
                detail = "either minimum or maximum storage value is required, but neither was provided"
                errors.append(required(f"{path}.limits", detail))
        for name in sorted(limit.get(field) or ()):
            errors += check(name, f"{path}.{field}[{name}]")
    return errors


def _bound_errors(limit: dict[str, Any], name: str, path: str) -> list[FieldError]:
    """What contradicts itself in the amounts of one resource."""
    amounts: dict[str, str | None] = {field: (limit.get(field) or {}).get(name) for field in _FIELDS}
    if limit.get("type") == "Pod":
        amounts["default"] = amounts["defaultRequest"] = None
    errors = []
    for low, high, at, shown, words in _ORDERED:
        a, b = amounts[low], amounts[high]
        if a is not None and b is not None and quantity.compare(a, b) > 0:
            errors.append(invalid(f"{path}.{at}[{name}]", amounts[shown], words.format(a, b)))
    errors += _ratio_errors(amounts, f"{path}.maxLimitRequestRatio[{name}]")
    limits, requests = amounts["default"], amounts["defaultRequest"]
    overcommits = is_native(name) and not name.startswith("hugepages-")
    if not overcommits and limits is not None and requests is not None and quantity.compare(limits, requests):
        detail = f"default value {limits} must equal to defaultRequest value {requests} in {name}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", requests, detail))
    return errors


# What may not exceed what: lower, upper, the field the error is reported at, the field whose value it shows, and the words.
_ORDERED = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)


def _ratio_errors(amounts: dict[str, str | None], path: str) -> list[FieldError]:
    ratio, low, high = amounts["maxLimitRequestRatio"], amounts["min"], amounts["max"]
    if ratio is None:
        return []
    errors = [invalid(path, ratio, f"ratio {ratio} is less than 1")] if quantity.compare(ratio, "1") < 0 else []
    if low is not None and high is not None and quantity.sign(low) > 0:
        greatest = quantity.to_milli(high) / quantity.to_milli(low)
        if quantity.to_milli(ratio) / 1000 > greatest:
            errors.append(invalid(path, ratio, f"ratio {ratio} is greater than max/min = {greatest:f}"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    schema="io.k8s.api.core.v1.LimitRange",
    singular="limitrange",
    metadata_checks="m",
    short_names=("limits",),
    create_on_update=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=NAME_AND_CREATED,
    row=name_and_created,
)
