"""`"%s is %d".format([name, age])`: verbs s, d, f, e, b, x, X, o and %%, precisions for f and e.

Source: cel-go ext/strings version 2, whose numbers follow the locale en_US: "%f" groups thousands, "%e" writes "1.052033 × 10⁰³".
"""
from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.library.standard import show_double, to_string
from tiffin.machinery.cel.types import Type
from tiffin.machinery.cel.values import Duration, Timestamp, TypedObject, Uint, entries, type_name

_clause = re.compile(r"%(?:(%)|(?:\.([0-9]+))?(.)|(?:\.([0-9]*))?$)", re.DOTALL)
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_MAX_PRECISION = 1000
_TAKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "s": (("string", "bool", "bytes", "int", "uint", "double", "map", "list", "type", "duration", "timestamp", "null", "struct"),
          "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"),
    "d": (("int", "uint"), "decimal clause can only be used on integers"),
    "f": (("double", "string"), "fixed-point clause can only be used on doubles"),
    "e": (("double", "string"), "scientific clause can only be used on doubles"),
    "b": (("int", "uint", "bool"), "only integers and bools can be formatted as binary"),
    "x": (("int", "uint", "bytes", "string"), "only integers, byte buffers, and strings can be formatted as hex"),
    "o": (("int", "uint"), "octal clause can only be used on integers")}
"""What each verb takes, and what is said of anything else. Text may stand for NaN and infinity."""


def formatted(template: str, args: list[Any]) -> str:
    """The template with each clause replaced. Raises EvaluationError."""
    used = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal used
        percent, precision, verb = match.group(1), match.group(2), match.group(3)
        if percent:
            return "%"
        if verb is None:
            raise EvaluationError("could not parse formatting clause: unexpected end of string")
        if used >= len(args):
            raise EvaluationError(f"index {used} out of range")
        value, used = args[used], used + 1
        show = _VERBS.get(verb)
        if show is None:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        digits = 6 if precision is None else int(precision) if len(precision) < 5 else _MAX_PRECISION + 1
        if digits > _MAX_PRECISION:
            raise EvaluationError(f"could not parse formatting clause: precision exceeds {_MAX_PRECISION}")
        return show(value, digits)
    return _clause.sub(replace, template)


def misuse(template: str, types: list[Type]) -> tuple[int | None, str] | None:
    """What is wrong with a template and the types of its arguments: (which argument, None for the whole call; message)."""
    used = 0
    for match in _clause.finditer(template):
        percent, verb = match.group(1), match.group(3)
        if percent:
            continue
        if verb is None:
            return None, "could not parse formatting clause: unexpected end of string"
        if used >= len(types):
            return None, f"index {used} out of range"
        if verb not in _VERBS:
            return None, f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
        kinds, what = _TAKEN[verb.lower()]
        if types[used].kind not in (*kinds, "dyn", "param", "error"):
            return used, f"error during formatting: {what}, was given {types[used]}"
        used += 1
    if used < len(types):
        return None, f"too many arguments supplied to string.format (expected {used}, got {len(types)})"
    return None


def _refuse(what: str, value: Any) -> EvaluationError:
    return EvaluationError(f"error during formatting: {what}, was given {type_name(value)}")


def _is_int(value: Any) -> bool:
    return type(value) is int or type(value) is Uint


def _text(value: Any, _: int = 0) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else ("-Infinity" if value < 0 else "Infinity") if math.isinf(value) else show_double(value)
    if isinstance(value, bool | str | Timestamp | Duration) or _is_int(value):
        return to_string(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict | TypedObject):
        return "{" + ", ".join(sorted(f"{_text(key)}: {_text(item)}" for key, item in entries(value).items())) + "}"
    if isinstance(value, Type):
        return value.name
    raise _refuse(_TAKEN["s"][1], value)


def _decimal(value: Any, _: int) -> str:
    if not _is_int(value):
        raise _refuse(_TAKEN["d"][1], value)
    return str(int(value))


def _special(value: float) -> str:
    return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"


def _number(value: Any, verb: str) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if not isinstance(value, float):
        raise _refuse(_TAKEN[verb][1], value)
    return value


def _fixed(value: Any, digits: int) -> str:
    number = _number(value, "f")
    return f"{number:,.{digits}f}" if math.isfinite(number) else _special(number)


def _scientific(value: Any, digits: int) -> str:
    number = _number(value, "e")
    if not math.isfinite(number):
        return _special(number)
    mantissa, _, exponent = f"{number:.{digits}e}".partition("e")
    sign, figures = ("-" if exponent[0] == "-" else ""), exponent[1:]
    return f"{mantissa} × 10{(sign + figures).translate(_SUPERSCRIPT)}"


def _binary(value: Any, _: int) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if not _is_int(value):
        raise _refuse(_TAKEN["b"][1], value)
    return f"{int(value):b}"


def _hex(value: Any, _: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    if not _is_int(value):
        raise _refuse(_TAKEN["x"][1], value)
    return f"{int(value):x}"


def _octal(value: Any, _: int) -> str:
    if not _is_int(value):
        raise _refuse(_TAKEN["o"][1], value)
    return f"{int(value):o}"


_VERBS: dict[str, Callable[[Any, int], str]] = {
    "s": _text, "d": _decimal, "f": _fixed, "e": _scientific, "b": _binary, "x": _hex, "o": _octal,
    "X": lambda value, digits: _hex(value, digits).upper()}
