"""Operators on run-time values whose types are not known beforehand, and what the specialised ones share.

Source: cel-spec "Standard Definitions". Integers are 64 bits wide and overflow is an error; division truncates; numbers of different
types compare by value.
"""
from __future__ import annotations

import math
from typing import Any

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import no_overload
from tiffin.machinery.cel.values import (
    NONE,
    Duration,
    Lazy,
    MapList,
    Optional,
    SetList,
    Timestamp,
    TypedObject,
    Uint,
    checked,
    checked_duration,
    checked_timestamp,
    checked_uint,
    contains,
    has_key,
    type_name,
)

NO_OVERLOAD = "no such overload"
_COMPARABLE = frozenset((int, float, Uint))
_ORDERED = frozenset((int, float, Uint, str, bytes, bool, Timestamp, Duration))
_ADDERS = frozenset((str, bytes, int, Uint, float, list, SetList, MapList, Duration, Timestamp))


def _refuse(name: str, left: Any, right: Any) -> EvaluationError:
    return EvaluationError(NO_OVERLOAD) if type(left) in _ADDERS else no_overload(name, (left, right))


def add(left: Any, right: Any) -> Any:
    """`+`: numbers of one type, text, bytes, lists, times and durations."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return checked(left + right)
        if kind is str or kind is bytes or kind is float:
            return left + right
        if kind is Uint:
            return checked_uint(int(left) + int(right))
        if kind is Duration:
            return checked_duration(int(left) + int(right))
    if isinstance(left, list) and isinstance(right, list):
        return join(left, right)
    if (kind is Timestamp and other is Duration) or (kind is Duration and other is Timestamp):
        return checked_timestamp(int(left) + int(right))
    raise _refuse("_+_", left, right)


def join(left: list[Any], right: list[Any]) -> list[Any]:
    """Lists one after the other; sets and maps by their own rules."""
    return left.plus(right) if isinstance(left, SetList | MapList) else [*left, *right]


def subtract(left: Any, right: Any) -> Any:
    kind, other = type(left), type(right)
    if kind is other:
        if kind is int:
            return checked(left - right)
        if kind is float:
            return left - right
        if kind is Uint:
            return checked_uint(int(left) - int(right))
        if kind in (Duration, Timestamp):
            return checked_duration(int(left) - int(right))
    if kind is Timestamp and other is Duration:
        return checked_timestamp(int(left) - int(right))
    raise _refuse("_-_", left, right)


def multiply(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int:
            return checked(left * right)
        if kind is float:
            return left * right
        if kind is Uint:
            return checked_uint(int(left) * int(right))
    raise _refuse("_*_", left, right)


def divide(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is float:
            return _divide_floats(left, right)
        if kind in (int, Uint):
            if right == 0:
                raise EvaluationError("division by zero")
            quotient = abs(int(left)) // abs(int(right))
            return Uint(quotient) if kind is Uint else checked(quotient if (left < 0) == (right < 0) else -quotient)
    raise _refuse("_/_", left, right)


def _divide_floats(left: float, right: float) -> float:
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def modulo(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right) and kind in (int, Uint):
        if right == 0:
            raise EvaluationError("modulus by zero")
        rest = abs(int(left)) % abs(int(right))
        return Uint(rest) if kind is Uint else -rest if left < 0 else rest
    raise _refuse("_%_", left, right)


def negate(value: Any) -> Any:
    if type(value) is int:
        return checked(-value)
    if type(value) is float:
        return -value
    if type(value) is Duration:
        return checked_duration(-int(value))
    raise no_overload("-_", (value,))


def compare(name: str, left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None where no order exists (NaN). Raises EvaluationError for types without one."""
    kind, other = type(left), type(right)
    if kind not in _ORDERED:
        raise no_overload(name, (left, right))
    if kind is not other and not (kind in _COMPARABLE and other in _COMPARABLE):
        raise EvaluationError(NO_OVERLOAD)
    if left < right:
        return -1
    return 1 if left > right else 0 if left == right else None


def less(left: Any, right: Any) -> bool:
    return compare("_<_", left, right) == -1


def less_or_equal(left: Any, right: Any) -> bool:
    return compare("_<=_", left, right) in (-1, 0)


def greater(left: Any, right: Any) -> bool:
    return compare("_>_", left, right) == 1


def greater_or_equal(left: Any, right: Any) -> bool:
    return compare("_>=_", left, right) in (0, 1)


def is_in(wanted: Any, container: Any) -> bool:
    """`in`: elements of a list, keys of a map."""
    if isinstance(container, list):
        return contains(container, wanted)
    if isinstance(container, dict | TypedObject):
        return has_key(container, wanted)
    raise no_overload("@in", (wanted, container))


def negation(value: Any) -> bool:
    if value is True:
        return False
    if value is False:
        return True
    raise EvaluationError(NO_OVERLOAD)


def missing_key(key: Any) -> EvaluationError:
    return EvaluationError(f"no such key: {shown(key)}")


def shown(value: Any) -> str:
    """A value within a message."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def field(value: Any, name: str) -> Any:
    """`value.name`."""
    if type(value) is dict or isinstance(value, TypedObject | Lazy):
        try:
            return value[name] if type(value) is dict else value.get(name)
        except KeyError:
            raise missing_key(name) from None
    if type(value) is Optional:
        return optional_field(value, name)
    if isinstance(value, list):
        raise EvaluationError("unsupported index type 'string' in list")
    raise missing_key(name)


def has_field(value: Any, name: str) -> bool:
    """`has(value.name)`."""
    if type(value) is dict:
        return name in value
    if isinstance(value, TypedObject):
        return has_key(value, name)
    if isinstance(value, Lazy):
        return value.has(name)
    if type(value) is Optional:
        return value.present and has_field(value.value, name)
    return False


def optional_field(value: Any, name: str) -> Optional:
    """`value.?name`."""
    if type(value) is Optional:
        if not value.present:
            return value
        value = value.value
    return Optional(True, field(value, name)) if has_field(value, name) else NONE


def index(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if isinstance(value, list):
        return value[_position(value, key)]
    if type(value) is dict:
        if has_key(value, key):
            return value[key]
        if type(key) not in (str, bool, int, Uint, float):
            raise EvaluationError(f"unsupported key type: {type_name(key)}")
        raise missing_key(key)
    if type(value) is Optional:
        return optional_index(value, key)
    if isinstance(value, TypedObject | Lazy):
        return field(value, key)
    raise missing_key(key)


def _position(items: list[Any], key: Any) -> int:
    if type(key) is float and key.is_integer():
        key = int(key)
    elif type(key) not in (int, Uint):
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    if not 0 <= key < len(items):
        raise EvaluationError(f"index out of bounds: {int(key)}")
    return int(key)


def optional_index(value: Any, key: Any) -> Optional:
    """`value[?key]`."""
    if type(value) is Optional:
        if not value.present:
            return value
        value = value.value
    if isinstance(value, list):
        at = int(key) if type(key) is float and key.is_integer() else key
        if type(at) not in (int, Uint):
            raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
        return Optional(True, value[at]) if 0 <= at < len(value) else NONE
    if isinstance(value, dict):
        return Optional(True, value[key]) if has_key(value, key) else NONE
    return optional_field(value, key) if isinstance(key, str) else NONE


def iterated(value: Any) -> Any:
    """What a macro with one variable loops over: elements, or keys."""
    if isinstance(value, list | dict):
        return value
    if isinstance(value, TypedObject):
        return list(value.names())
    raise EvaluationError(f"got '{_GO.get(type(value), 'types.' + type_name(value))}', expected iterable type")


def iterated_pairs(value: Any) -> Any:
    """What a macro with two variables loops over: (index, element) or (key, value)."""
    if isinstance(value, list):
        return enumerate(value)
    if isinstance(value, TypedObject):
        return [(name, value.get(name)) for name in value.names()]
    return iterated(value).items()


_GO = {str: "types.String", int: "types.Int", bool: "types.Bool", float: "types.Double", Uint: "types.Uint", bytes: "types.Bytes",
       type(None): "types.Null", Timestamp: "types.Timestamp", Duration: "types.Duration", Optional: "*types.Optional"}
