"""How much of a capacity one request may take, of devices that are allocated more than once: single values, or a range with steps.

Source: Kubernetes' validation of "resource.k8s.io" (consumable capacity).
"""
from __future__ import annotations

from typing import Any

from tiffin.api.resource.identifiers import each_of_set
from tiffin.machinery import quantity
from tiffin.machinery.field import FieldError, forbidden, invalid, required

MAX_VALUES = 10


def capacity_errors(capacity: dict[str, Any], path: str, *, shared: bool) -> list[FieldError]:
    """A capacity of a device; only one that is `shared` says how it is taken in parts."""
    policy = capacity.get("requestPolicy")
    if policy is None:
        return []
    path = f"{path}.requestPolicy"
    if not shared:
        return [forbidden(path, "allowMultipleAllocations must be true")]
    values, range_, usual, all_of_it = policy.get("validValues"), policy.get("validRange"), policy.get("default"), capacity.get("value") or "0"
    if values and range_ is not None:
        return [forbidden(path, 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time')]
    for field, given in (("validValues", values or None), ("validRange", range_)):
        if given is not None and usual is None:
            return [required(f"{path}.default", f"required when {field} is defined")]
    if values:
        return _value_errors(values, usual, all_of_it, f"{path}.validValues")
    return _range_errors(range_, usual, all_of_it, f"{path}.validRange") if range_ is not None else []


def _value_errors(values: list[str], usual: str, all_of_it: str, path: str) -> list[FieldError]:
    errors = [
        invalid(f"{path}[{i}]", values[i], "values must be sorted in ascending order")
        for i in range(1, len(values)) if quantity.compare(values[i - 1], values[i]) > 0
    ]

    def too_large(value: str, at: str) -> list[FieldError]:
        large = quantity.compare(value, all_of_it) > 0
        return [invalid(at, value, f"option is larger than capacity value: {all_of_it}")] if large else []

    errors += each_of_set(values, MAX_VALUES, too_large, quantity.to_int, path, lambda value: str(quantity.to_int(value)))
    if len(values) > MAX_VALUES or all(quantity.compare(value, usual) for value in values):
        errors.append(invalid(path, usual, "default value is not valid according to the requestPolicy"))
    return errors


def _range_errors(range_: dict[str, Any], usual: str, all_of_it: str, path: str) -> list[FieldError]:
    low, high, step = (range_.get(field) for field in ("min", "max", "step"))
    if low is None:
        return [required(f"{path}.min", "required when validRange is defined")]
    errors: list[FieldError] = []

    def at_most(field: str, value: str, limit: str, words: str) -> None:
        if quantity.compare(value, limit) > 0:
            errors.append(invalid(f"{path}.{field}", value, f"{words}: {limit}"))

    at_most("min", low, all_of_it, "min is larger than capacity value")
    if quantity.compare(usual, low) < 0:
        errors.append(invalid(f"{path}.default", usual, f"default is less than min: {low}"))
    if high is not None:
        at_most("max", low, high, "min is larger than max")
        at_most("max", high, all_of_it, "max is larger than capacity value")
        at_most("default", usual, high, "default is more than max")
    return errors + (_step_errors(step, low, [usual] if high is None else [usual, high], all_of_it, f"{path}.step") if step is not None else [])


def _step_errors(step: str, low: str, reached: list[str], all_of_it: str, path: str) -> list[FieldError]:
    if quantity.sign(step) <= 0:
        return [invalid(path, step, "must be greater than zero")]
    first = quantity.add(low, step)
    errors = []
    if quantity.compare(first, all_of_it) > 0:
        errors.append(invalid(path, step, f"one step {first} is larger than capacity value: {all_of_it}"))
    return errors + [
        invalid(path, value, f"value is not a multiple of a given step ({step}) from ({low})")
        for value in reached if (quantity.to_int(value) - quantity.to_int(low)) % quantity.to_int(step)
    ]
