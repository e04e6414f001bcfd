"""Closures for paths and for choices: variables, fields, `?.`, `&&`, `||`, `?:`.

A closure takes the frame: first what the call may still cost, then the variables. Whoever evaluates only one of its parts charges that
part's cost when it does.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tiffin.machinery.cel import loops, operators
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import no_overload
from tiffin.machinery.cel.loops import Frame
from tiffin.machinery.cel.types import Field, Type, unwrapped
from tiffin.machinery.cel.values import NONE, Optional, TypedObject

Code = Callable[[Frame], Any]


class Compiled(NamedTuple):
    """Code, and what it costs each time beyond what it charges itself. `value` is what it always is, UNSET when that depends."""

    code: Code
    cost: int
    value: Any = loops.UNSET


def variable(slot: int) -> Code:
    """A variable of the environment or of a macro."""
    def read(frame: Frame) -> Any:
        value = frame[slot]
        if value is loops.UNSET:
            raise EvaluationError("no such attribute")
        return value
    return read


def selection(operand: Code, type_: Type, name: str) -> Code:
    """`operand.name`. In objects with a type a field that is null is absent; in maps null is a value."""
    field = type_.fields.get(name) if type_.kind == "struct" and type_.fields else None
    if field is not None:
        return _field(operand, field, name)

    def select(frame: Frame) -> Any:
        value = operand(frame)
        if type(value) is dict:
            try:
                return value[name]
            except KeyError:
                raise EvaluationError(f"no such key: {name}") from None
        return operators.field(value, name)
    return select


def _field(operand: Code, field: Field, name: str) -> Code:
    key, adapt = field.key, field.type.adapt

    def select(frame: Frame) -> Any:
        value = operand(frame)
        kind = type(value)
        if kind is dict or (kind is TypedObject and adapt is None):
            found = value.get(key) if kind is dict else value.raw.get(key)
            if found is None:
                raise EvaluationError(f"no such key: {name}")
            return found if adapt is None else adapt(found)
        return operators.field(value, name)
    return select


def presence(operand: Code, type_: Type, name: str) -> Code:
    """`has(operand.name)`."""
    field = type_.fields.get(name) if type_.kind == "struct" and type_.fields else None
    key = field.key if field else name

    def has(frame: Frame) -> bool:
        value = operand(frame)
        kind = type(value)
        if kind is dict:
            return key in value if field is None else value.get(key) is not None
        return value.raw.get(key) is not None if kind is TypedObject and field else operators.has_field(value, name)
    return has


def optional_selection(operand: Code, type_: Type, name: str) -> Code:
    """`operand.?name`: a field that is not there costs nothing. In objects with a type a field that is null is not there."""
    typed = unwrapped(type_).kind == "struct"

    def select(frame: Frame) -> Optional:
        found = operators.optional_field(operand(frame), name)
        if typed and found.value is None:
            return NONE
        frame[0] -= found.present
        return found
    return select


def index(operand: Code, key: Code) -> Code:
    """`operand[key]`."""
    def find(frame: Frame) -> Any:
        value, at = operand(frame), key(frame)
        if type(value) is list and type(at) is int and 0 <= at < len(value):
            return value[at]
        return operators.index(value, at)
    return find


def optional_index(operand: Code, key: Code) -> Code:
    """`operand[?key]`, with the same costs."""
    def find(frame: Frame) -> Optional:
        found = operators.optional_index(operand(frame), key(frame))
        frame[0] -= found.present
        return found
    return find


def otherwise(optional: Code, other: Compiled, unwrap: bool) -> Code:
    """`a.or(b)`, `a.orValue(b)`: b is only evaluated when a has no value."""
    fallback, cost = other.code, other.cost

    def choose_one(frame: Frame) -> Any:
        first = optional(frame)
        if type(first) is not Optional:
            raise no_overload("orValue" if unwrap else "or", (first,))
        if first.present:
            return first.value if unwrap else first
        frame[0] -= cost
        return fallback(frame)
    return choose_one


def conditional(condition: Code, chosen: Compiled, other: Compiled) -> Code:
    """`condition ? chosen : other`."""
    first, first_cost, second, second_cost = chosen.code, chosen.cost, other.code, other.cost

    def choose(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            frame[0] -= first_cost
            return first(frame)
        if value is False:
            frame[0] -= second_cost
            return second(frame)
        raise EvaluationError(operators.NO_OVERLOAD)
    return choose


def logical(left: Code, right: Code, cost: int, decisive: bool) -> Code:
    """`&&`, which false decides, or `||`, which true does: whenever one side is `decisive`, even if the other failed."""
    other = not decisive

    def evaluate(frame: Frame) -> bool:
        failure = None
        try:
            first = left(frame)
        except EvaluationError as error:
            first, failure = None, error
        if first is decisive:
            return decisive
        frame[0] -= cost
        try:
            second = right(frame)
        except EvaluationError as error:
            raise failure or error from None
        if second is decisive:
            return decisive
        if first is other and second is other:
            return other
        raise failure or EvaluationError(operators.NO_OVERLOAD)
    return evaluate
