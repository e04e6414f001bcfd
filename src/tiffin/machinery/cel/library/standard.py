"""The standard functions of the language: operators, conversions, text, times, optionals.

Operators and macros are declared here, too, for the checker; `compiler.py` has code of its own for most of them.
Source: cel-spec "List of Standard Definitions"; cel-go's stdlib and optional library; Kubernetes adds comparisons between numbers of
different types.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel import operators
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.regex import RegexError, compile_regex
from tiffin.machinery.cel.times import format_duration, format_timestamp, local, parse_duration, parse_timestamp
from tiffin.machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST,
    MAP,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    optional_of,
    param,
    type_of,
)
from tiffin.machinery.cel.values import (
    INT_MAX,
    INT_MIN,
    NANOS,
    NONE,
    UINT_MAX,
    Duration,
    Optional,
    Timestamp,
    Uint,
    checked_timestamp,
    equal,
    kind_of,
    size_of,
    type_name,
)

STANDARD = Library([optional_of(param("V"))])
STANDARD.types.update({t.name: t for t in (BOOL, BYTES, DOUBLE, INT, LIST, MAP, NULL, STRING, UINT, TIMESTAMP, DURATION, DYN)})
STANDARD.types["type"] = type_of(DYN)

_add = STANDARD.add
_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")


def _never(*_: Any) -> Any:
    raise EvaluationError(operators.NO_OVERLOAD)


def _declare_operators() -> None:
    _add("_?_:_", "conditional", "(bool, A, A) -> A", _never)
    _add("_&&_", "logical_and", "(bool, bool) -> bool", _never)
    _add("_||_", "logical_or", "(bool, bool) -> bool", _never)
    _add("@not_strictly_false", "not_strictly_false", "(bool) -> bool", lambda value: value)
    _add("!_", "logical_not", "(bool) -> bool", operators.negation)
    _add("_==_", "equals", "(A, A) -> bool", equal)
    _add("_!=_", "not_equals", "(A, A) -> bool", lambda left, right: not equal(left, right))
    for name, word, function in (("_<_", "less", operators.less), ("_<=_", "less_equals", operators.less_or_equal),
                                 ("_>_", "greater", operators.greater), ("_>=_", "greater_equals", operators.greater_or_equal)):
        for kind in _ORDERED:
            _add(name, f"{word}_{kind}", f"({kind}, {kind}) -> bool", function)
        for left in ("int", "uint", "double"):
            for right in ("int", "uint", "double"):
                if left != right:
                    _add(name, f"{word}_{left}_{right}", f"({left}, {right}) -> bool", function)
    for kind in ("bytes", "double", "int", "string", "uint"):
        _add("_+_", f"add_{kind}", f"({kind}, {kind}) -> {kind}", operators.add)
    _add("_+_", "add_duration_duration", "(duration, duration) -> duration", operators.add)
    _add("_+_", "add_duration_timestamp", "(duration, timestamp) -> timestamp", operators.add)
    _add("_+_", "add_timestamp_duration", "(timestamp, duration) -> timestamp", operators.add)
    _add("_+_", "add_list", "(list(A), list(A)) -> list(A)", operators.add)
    for name, word, function in (("_-_", "subtract", operators.subtract), ("_*_", "multiply", operators.multiply), ("_/_", "divide", operators.divide)):
        for kind in ("double", "int", "uint"):
            _add(name, f"{word}_{kind}", f"({kind}, {kind}) -> {kind}", function)
    _add("_-_", "subtract_duration_duration", "(duration, duration) -> duration", operators.subtract)
    _add("_-_", "subtract_timestamp_duration", "(timestamp, duration) -> timestamp", operators.subtract)
    _add("_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration", operators.subtract)
    for kind in ("int", "uint"):
        _add("_%_", f"modulo_{kind}", f"({kind}, {kind}) -> {kind}", operators.modulo)
    for kind in ("double", "int", "duration"):
        _add("-_", f"negate_{kind}", f"({kind}) -> {kind}", operators.negate)
    _add("@in", "in_list", "(A, list(A)) -> bool", operators.is_in)
    _add("@in", "in_map", "(A, map(A, B)) -> bool", operators.is_in)
    _add("_[_]", "index_list", "(list(A), int) -> A", operators.index)
    _add("_[_]", "index_map", "(map(A, B), A) -> B", operators.index)
    _add("_[_]", "optional_list_index_int", "(optional(list(A)), int) -> optional(A)", operators.optional_index)
    _add("_[_]", "optional_map_index_value", "(optional(map(A, B)), A) -> optional(B)", operators.optional_index)
    _add("_[?_]", "list_optindex_optional_int", "(list(A), int) -> optional(A)", operators.optional_index)
    _add("_[?_]", "optional_list_optindex_optional_int", "(optional(list(A)), int) -> optional(A)", operators.optional_index)
    _add("_[?_]", "map_optindex_optional_value", "(map(A, B), A) -> optional(B)", operators.optional_index)
    _add("_[?_]", "optional_map_optindex_optional_value", "(optional(map(A, B)), A) -> optional(B)", operators.optional_index)


def conversion_error(value: Any, wanted: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{type_name(value)}' to '{wanted}'")


def _whole(text: str, signed: bool) -> int | None:
    digits = text[1:] if signed and text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 4000 else None


def to_int(value: Any) -> int:
    """int(x)."""
    if type(value) is str:
        number = _whole(value, True)
        if number is None or not INT_MIN <= number <= INT_MAX:
            raise conversion_error(value, "int")
        return number
    if type(value) is float:
        if not -2.0**63 < value < 2.0**63:
            raise EvaluationError("integer overflow")
        return int(value)
    if type(value) is Timestamp:
        return int(value) // NANOS
    if int(value) > INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


def to_uint(value: Any) -> Uint:
    """uint(x)."""
    if type(value) is str:
        number = _whole(value, False)
        if number is None or number > UINT_MAX:
            raise conversion_error(value, "uint")
        return Uint(number)
    if (type(value) is float and not -1.0 < value < 2.0**64) or value < 0:
        raise EvaluationError("unsigned integer overflow")
    return Uint(int(value))


def to_double(value: Any) -> float:
    """double(x)."""
    try:
        if type(value) is str and ("_" in value or value != value.strip()):
            raise ValueError(value)
        return float(value)
    except ValueError:
        raise conversion_error(value, "double") from None


_LEAST_EXPONENT = 6


def show_double(value: float) -> str:
    """A double as Go's %g writes it: "3", "0.1", "1e+21"."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    power = int(exponent or 0) + len(whole) - 1
    figures = (whole + fraction).lstrip("0")
    power -= len(whole + fraction) - len(figures) if whole == "0" else 0
    figures = figures.rstrip("0")
    if not figures:
        return f"{sign}0"
    if -4 <= power < _LEAST_EXPONENT:
        if power < 0:
            return f"{sign}0.{'0' * (-power - 1)}{figures}"
        padded = figures.ljust(power + 1, "0")
        return sign + padded[:power + 1] + (f".{padded[power + 1:]}" if len(padded) > power + 1 else "")
    return f"{sign}{figures[0]}{'.' + figures[1:] if len(figures) > 1 else ''}e{'-' if power < 0 else '+'}{abs(power):02d}"


def to_string(value: Any) -> str:
    """string(x)."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return show_double(value)
    if type(value) is Timestamp:
        return format_timestamp(value)
    if type(value) is Duration:
        return format_duration(value)
    if type(value) is bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None
    return str(int(value))


_TRUTH = {"1": True, "t": True, "T": True, "true": True, "TRUE": True, "True": True,
          "0": False, "f": False, "F": False, "false": False, "FALSE": False, "False": False}


def _to_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if value not in _TRUTH:
        raise conversion_error(value, "bool")
    return _TRUTH[value]


def _declare_conversions() -> None:
    for kinds, result, function in (
            (("int", "double", "string", "timestamp", "uint"), "int", to_int), (("uint", "double", "int", "string"), "uint", to_uint),
            (("double", "int", "string", "uint"), "double", to_double), (("bool", "string"), "bool", _to_bool),
            (("string", "bool", "bytes", "double", "duration", "int", "timestamp", "uint"), "string", to_string)):
        for kind in kinds:
            _add(result, f"{kind}_to_{result}", f"({kind}) -> {result}", function)
    _add("bytes", "bytes_to_bytes", "(bytes) -> bytes", lambda value: value)
    _add("bytes", "string_to_bytes", "(string) -> bytes", str.encode)
    _add("duration", "duration_to_duration", "(duration) -> duration", lambda value: value)
    _add("duration", "int64_to_duration", "(int) -> duration", Duration)
    _add("duration", "string_to_duration", "(string) -> duration", parse_duration)
    _add("timestamp", "timestamp_to_timestamp", "(timestamp) -> timestamp", lambda value: value)
    _add("timestamp", "int64_to_timestamp", "(int) -> timestamp", lambda value: checked_timestamp(value * NANOS))
    _add("timestamp", "string_to_timestamp", "(string) -> timestamp", parse_timestamp)
    _add("dyn", "to_dyn", "(A) -> dyn", lambda value: value)
    _add("type", "type", "(A) -> type(A)", kind_of)


def matches(text: str, pattern: str) -> bool:
    """Whether RE2 finds the pattern in the text."""
    try:
        return compile_regex(pattern).search(text) is not None
    except RegexError as error:
        raise EvaluationError(str(error)) from None


def _declare_text() -> None:
    for kind in ("string", "bytes", "list(A)", "map(A, B)"):
        word = kind.partition("(")[0]
        _add("size", f"size_{word}", f"({kind}) -> int", size_of)
        _add("size", f"{word}_size", f"{kind}.() -> int", size_of)
    _add("contains", "contains_string", "string.(string) -> bool", str.__contains__)
    _add("endsWith", "ends_with_string", "string.(string) -> bool", str.endswith)
    _add("startsWith", "starts_with_string", "string.(string) -> bool", str.startswith)
    _add("matches", "matches", "(string, string) -> bool", matches)
    _add("matches", "matches_string", "string.(string) -> bool", matches)


_PARTS: dict[str, Callable[[Any, str], int]] = {
    "getFullYear": lambda value, zone: local(value, zone).year,
    "getMonth": lambda value, zone: local(value, zone).month - 1,
    "getDayOfYear": lambda value, zone: local(value, zone).timetuple().tm_yday - 1,
    "getDate": lambda value, zone: local(value, zone).day,
    "getDayOfMonth": lambda value, zone: local(value, zone).day - 1,
    "getDayOfWeek": lambda value, zone: local(value, zone).isoweekday() % 7,
    "getHours": lambda value, zone: local(value, zone).hour,
    "getMinutes": lambda value, zone: local(value, zone).minute,
    "getSeconds": lambda value, zone: local(value, zone).second,
    "getMilliseconds": lambda value, zone: local(value, zone).microsecond // 1000}
_SPANS = {"getHours": 3600 * NANOS, "getMinutes": 60 * NANOS, "getSeconds": NANOS, "getMilliseconds": NANOS // 1000}


def _declare_times() -> None:
    for name, part in _PARTS.items():
        _add(name, f"timestamp_to_{name}", "timestamp.() -> int", lambda value, part=part: part(value, "UTC"))
        _add(name, f"timestamp_to_{name}_with_tz", "timestamp.(string) -> int", part)
    for name, nanos in _SPANS.items():
        _add(name, f"duration_to_{name}", "duration.() -> int", lambda value, nanos=nanos: (abs(value) // nanos) * (-1 if value < 0 else 1))


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


_ZEROS = (False, 0, 0.0, "", b"", None)


def _is_zero(value: Any) -> bool:
    if isinstance(value, list | dict):
        return not value
    if isinstance(value, Timestamp | Optional):
        return False if isinstance(value, Timestamp) else not value.present
    return value is None or (isinstance(value, bool | int | float | str | bytes) and value in _ZEROS)


def _ends(items: list[Any], at: int) -> Optional:
    return Optional(True, items[at]) if items else NONE


def _declare_optionals() -> None:
    _add("optional.of", "optional_of", "(A) -> optional(A)", lambda value: Optional(True, value))
    _add("optional.ofNonZeroValue", "optional_ofNonZeroValue", "(A) -> optional(A)", lambda value: NONE if _is_zero(value) else Optional(True, value))
    _add("optional.none", "optional_none", "() -> optional(A)", lambda: NONE)
    _add("optional.unwrap", "optional_unwrap", "(list(optional(A))) -> list(A)", _unwrap)
    _add("unwrapOpt", "optional_unwrapOpt", "list(optional(A)).() -> list(A)", _unwrap)
    _add("value", "optional_value", "optional(A).() -> A", _value)
    _add("hasValue", "optional_hasValue", "optional(A).() -> bool", lambda optional: optional.present)
    _add("or", "optional_or_optional", "optional(A).(optional(A)) -> optional(A)", lambda one, other: one if one.present else other)
    _add("orValue", "optional_orValue_value", "optional(A).(A) -> A", lambda one, other: one.value if one.present else other)
    _add("first", "list_first", "list(A).() -> optional(A)", lambda items: _ends(items, 0))
    _add("last", "list_last", "list(A).() -> optional(A)", lambda items: _ends(items, -1))


def _unwrap(items: list[Any]) -> list[Any]:
    for item in items:
        if not isinstance(item, Optional):
            raise EvaluationError(f"value {operators.shown(item)} is not optional")
    return [item.value for item in items if item.present]


def _map_insert(made: dict[Any, Any], *pair: Any) -> dict[Any, Any]:
    raise EvaluationError(operators.NO_OVERLOAD)


_declare_operators()
_declare_conversions()
_declare_text()
_declare_times()
_declare_optionals()
_add("cel.@mapInsert", "@mapInsert_map_key_value", "(map(A, B), A, B) -> map(A, B)", _map_insert)
_add("cel.@mapInsert", "@mapInsert_map_map", "(map(A, B), map(A, B)) -> map(A, B)", _map_insert)
