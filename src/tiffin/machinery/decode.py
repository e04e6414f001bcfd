"""Decoding: a JSON object becomes what Go would have made of it, or the error Go would have reported.

`decode_object` works in place and is quick for objects that are plainly of their type (`normalize.py`). Where there is doubt,
it walks the object once more: unknown fields are dropped and reported with their paths, and the first value of a wrong type
raises `DecodeError`. Field names are case-sensitive. Decoding twice changes nothing more.

Source: sigs.k8s.io/json and encoding/json, as visible in the answers of a reference server.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from tiffin.machinery import quantity, rfc3339
from tiffin.machinery.jsoncodec import DecodeError, Problem, Repeated, parse_json
from tiffin.machinery.normalize import Doubt, normalizer
from tiffin.machinery.object import Object
from tiffin.machinery.schema import Bytes, Field, IntOrString, List, Map, Quantity, Raw, SchemaOr, Struct, Time, Type
from tiffin.machinery.yamlcodec import parse_yaml

__all__ = ["DecodeError", "Problem", "decode_object", "parse_json", "parse_yaml", "strict_error", "strict_problems"]

MOST_PROBLEMS = 100


def decode_object(obj: Object, type: Type) -> list[Problem]:
    """Makes `obj` what a Go round trip would, in place. Answers the unknown fields that were dropped, in the document's order.

    Raises DecodeError with Go's words for values of a wrong type.
    """
    try:
        normalizer(type)(obj)
        return []
    except (Doubt, RecursionError):
        problems: list[Problem] = []
        try:
            _check(obj, type, _Place("", "", ""), problems)
            normalizer(type)(obj)
        except RecursionError:
            raise DecodeError("exceeded max depth") from None
        return problems


def strict_problems(repeated: list[Problem], unknown: list[Problem]) -> list[Problem]:
    """What `parse_json` and `decode_object` found, together: in the document's order, each once, nothing from inside unknown fields."""
    if not isinstance(repeated, Repeated):
        return unknown[:MOST_PROBLEMS]
    hidden = tuple(p.path for p in unknown)
    inside = tuple(path + mark for path in hidden for mark in ".[")
    kept = [p for p in repeated if p.path not in hidden and not p.path.startswith(inside)]
    return sorted(dict.fromkeys([*kept, *unknown]), key=lambda p: repeated.position(p))[:MOST_PROBLEMS]


def strict_error(problems: Iterable[Problem]) -> str:
    """The text of a refusal under `fieldValidation=Strict`."""
    return f"strict decoding error: {', '.join(map(str, problems))}"


class _Place(NamedTuple):
    """Where a value stands: its path with indices and keys, and the Go struct and path of fields that Go names in errors."""

    path: str
    struct: str
    fields: str

    def child(self, struct: Struct, name: str, field: Field) -> _Place:
        steps = ".".join((*field.embedded, name))
        return _Place(f"{self.path}.{name}" if self.path else name, struct.go.rpartition(".")[2], f"{self.fields}.{steps}" if self.fields else steps)

    def at(self, mark: str) -> _Place:
        return self._replace(path=self.path + mark)

    def refuse(self, value: str, go: str) -> DecodeError:
        if not self.fields:
            return DecodeError(f"json: cannot unmarshal {value} into Go value of type {go}")
        return DecodeError(f"json: cannot unmarshal {value} into Go struct field {self.struct}.{self.fields} of type {go}")


def _check(value: Any, type: Type, place: _Place, problems: list[Problem]) -> None:
    if value is None:
        return
    if isinstance(type, Struct):
        _check_struct(value, type, place, problems)
    elif isinstance(type, Map):
        if not isinstance(value, dict):
            raise place.refuse(_kind(value), type.go)
        for key, item in value.items():
            _check(item, type.values, place.at(f".{key}" if place.path else key), problems)
    elif isinstance(type, List):
        if not isinstance(value, list):
            raise place.refuse(_kind(value), type.go)
        for index, item in enumerate(value):
            _check(item, type.items, place.at(f"[{index}]"), problems)
    elif isinstance(type, SchemaOr) and isinstance(value, (dict, list)):
        _check_schemas(value, type, place, problems)
    else:
        _check_leaf(value, type, place)


def _check_struct(value: Any, type: Struct, place: _Place, problems: list[Problem]) -> None:
    if not isinstance(value, dict):
        raise place.refuse(_kind(value), type.go)
    for name, item in list(value.items()):
        if field := type.fields.get(name):
            _check(item, field.type, place.child(type, name, field), problems)
        elif not type.preserve:
            del value[name]
            problems.append(Problem("unknown", f"{place.path}.{name}" if place.path else name))


def _check_schemas(value: Any, type: SchemaOr, place: _Place, problems: list[Problem]) -> None:
    if isinstance(value, dict):
        _check(value, type.schema, place, problems)
    elif type.alternative == "list":
        for index, item in enumerate(value):
            _check(item, type.schema, place.at(f"[{index}]"), problems)
    else:
        _check_leaf(value, type, place)


def _check_leaf(value: Any, type: Type, place: _Place) -> None:
    try:
        normalizer(type)(value)
    except Doubt:
        raise _complaint(value, type, place) from None


def _complaint(value: Any, type: Type, place: _Place) -> DecodeError:
    """Why Go would not take this value."""
    text = isinstance(value, str)
    if isinstance(type, Time):
        return DecodeError(_time_error(value, type.micro)) if text else place.refuse(_kind(value), "string")
    if isinstance(type, Quantity):
        return DecodeError(_quantity_error(value))
    if isinstance(type, Bytes) and text:
        return DecodeError(f"illegal base64 data at input byte {_bad_byte(value)}")
    if isinstance(type, SchemaOr):
        return DecodeError("boolean or JSON schema expected" if type.alternative == "boolean" else f"{_kind(value)} where JSON schema expected")
    if isinstance(type, Raw):
        return place.refuse(_kind(value), "map[string]interface {}")
    go = "int32" if isinstance(type, IntOrString) else type.go
    numeric = isinstance(type, IntOrString) or getattr(type, "kind", "") in ("int32", "int64")
    return place.refuse(_kind(value, numeric), go)


def _kind(value: Any, numeric: bool = False) -> str:
    """The JSON kind of a value in Go's words; numbers that do not fit a whole number are quoted."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {json.dumps(value)}" if numeric else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _time_error(text: str, micro: bool) -> str:
    try:
        rfc3339.canonical(text, micro)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{text!r} is a time")


def _quantity_error(value: Any) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            quantity.canonical(value)
        except ValueError as error:
            return str(error)
    return quantity.FORMAT_WRONG


_base64_digit = re.compile(r"[A-Za-z0-9+/]")


def _bad_byte(text: str) -> int:
    """Where Go's decoder stops: at the first byte that is no digit, or at the end of what is there when digits run out."""
    plain = text.encode()
    position = seen = 0
    while position < len(plain):
        char = chr(plain[position])
        if char in "\r\n":
            position += 1
        elif _base64_digit.match(char):
            position, seen = position + 1, seen + 1
        else:
            return _bad_padding(plain, position, seen % 4) if char == "=" else position
    return len(plain) - seen % 4 if seen % 4 else len(plain)


def _bad_padding(plain: bytes, position: int, digits: int) -> int:
    """Padding may stand only in the last two places of a group of four and nothing may follow it."""
    if digits < 2:
        return position
    rest = [i for i in range(position + 1, len(plain)) if plain[i] not in b"\r\n"]
    if digits == 2:
        if not rest:
            return len(plain)
        if plain[rest[0]] != ord("="):
            return rest[0]
        rest = rest[1:]
    return rest[0] if rest else len(plain)
