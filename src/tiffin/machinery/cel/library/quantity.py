"""Quantities: quantity, isQuantity, asInteger, isInteger, asApproximateFloat, sign, add, sub and comparisons.

Source: Kubernetes' quantity library.
"""
from __future__ import annotations

from tiffin.machinery import quantity
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import Type, struct
from tiffin.machinery.cel.values import INT_MAX, INT_MIN

QUANTITY_TYPE = struct("kubernetes.Quantity", {})
QUANTITY = Library([QUANTITY_TYPE])


class QuantityValue:
    """A quantity, by its canonical text; equal when the amounts are."""

    __slots__ = ("cel_type", "text")

    def __init__(self, text: str) -> None:
        self.cel_type: Type = QUANTITY_TYPE
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and quantity.compare(self.text, other.text) == 0

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.text


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(str(quantity.parse(text)))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        return bool(quantity.parse(text))
    except quantity.QuantityError:
        return False


def _whole(value: QuantityValue) -> int | None:
    parsed = quantity.parse(value.text)
    if not parsed.is_multiple_of(0):
        return None
    # values beyond 64 bits are no integers; scaled() would cap them
    exact = quantity.as_decimal(value.text)
    return int(exact) if INT_MIN <= exact <= INT_MAX else None


def _as_integer(value: QuantityValue) -> int:
    whole = _whole(value)
    if whole is None:
        raise EvaluationError("cannot convert value to integer")
    return whole


def _compare(one: QuantityValue, other: QuantityValue) -> int:
    return quantity.compare(one.text, other.text)


_add = QUANTITY.add
_NAME = "kubernetes.Quantity"
_add("quantity", "string_to_quantity", f"(string) -> {_NAME}", _parse)
_add("isQuantity", "is_quantity_string", "(string) -> bool", _is_quantity)
_add("sign", "quantity_sign", f"({_NAME}) -> int", lambda value: quantity.sign(value.text))
_add("asInteger", "quantity_get_int", f"{_NAME}.() -> int", _as_integer)
_add("isInteger", "quantity_is_integer", f"{_NAME}.() -> bool", lambda value: _whole(value) is not None)
_add("asApproximateFloat", "quantity_get_float", f"{_NAME}.() -> double", lambda value: float(quantity.as_decimal(value.text)))
_add("isGreaterThan", "quantity_is_greater_than", f"{_NAME}.({_NAME}) -> bool", lambda one, other: _compare(one, other) > 0)
_add("isLessThan", "quantity_is_less_than", f"{_NAME}.({_NAME}) -> bool", lambda one, other: _compare(one, other) < 0)
_add("compareTo", "quantity_compare_to", f"{_NAME}.({_NAME}) -> int", _compare)
_add("add", "quantity_add", f"{_NAME}.({_NAME}) -> {_NAME}", lambda one, other: QuantityValue(quantity.add(one.text, other.text)))
_add("add", "quantity_add_int", f"{_NAME}.(int) -> {_NAME}", lambda one, number: QuantityValue(quantity.add(one.text, number)))
_add("sub", "quantity_sub", f"{_NAME}.({_NAME}) -> {_NAME}", lambda one, other: QuantityValue(quantity.sub(one.text, other.text)))
_add("sub", "quantity_sub_int", f"{_NAME}.(int) -> {_NAME}", lambda one, number: QuantityValue(quantity.sub(one.text, number)))
