"""JSON in: fast where the document is ordinary, exact where it repeats a field or does not parse.

A field that a document repeats counts once: objects merge, anything else is replaced by the last (which is what Go's decoder
does to structs and maps), and each repetition is reported. Documents nest at most `DEEPEST` levels; whoever walks an object
recursively relies on it. Errors are worded as Go's scanner words them.
"""
from __future__ import annotations

import json
from typing import Any, NamedTuple, TypeGuard

import orjson

from tiffin.machinery.object import Object

DEEPEST = 200
TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
MOST_NESTED = 100_000
"""Objects and lists within one document. Three megabytes may hold a million, each of which is completed, validated and complained of."""


class DecodeError(ValueError):
    """A body that is no object of its type; the message is Go's."""


class Problem(NamedTuple):
    """What strict decoding objects to: `kind` is "unknown" or "duplicate", `path` as in `spec.containers[0].image`; or a whole
    "sentence" in place of the path."""

    kind: str
    path: str

    def __str__(self) -> str:
        return self.path if self.kind == "sentence" else f'{self.kind} field "{self.path}"'


class Repeated(list[Problem]):
    """The duplicate fields of a document, with the order in which its fields first appear."""

    def __init__(self, problems: list[Problem], order: dict[Problem, int]) -> None:
        super().__init__(problems)
        self._order = order

    def position(self, problem: Problem) -> int:
        """Where in the document's order of fields the problem first shows."""
        return self._order.get(problem, self._order.get(Problem("unknown", problem.path), 0))


def parse_json(body: bytes, strict: bool = True, into: str = TYPE_META) -> tuple[Object, list[Problem]]:
    """The object in a JSON document, and the fields it repeats (none reported unless `strict`). DecodeError if it is not one.

    `null` is an object without fields; any other value is none of the Go type `into`.
    """
    try:
        obj = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _lenient(body, strict)
    if obj is None:
        return {}, []
    if not isinstance(obj, dict):
        raise DecodeError(_not_an_object(obj, into))
    check_depth(obj, body)
    if body.count(b'"') == orjson.dumps(obj).count(b'"') and rb"\u0022" not in body:
        return obj, []  # a repeated key would have taken its quotes along
    return _exact(body.decode(), strict)


def parse_value(body: bytes) -> Any:
    """Any JSON document, a patch for instance; DecodeError as for objects. Of repeated fields the last counts."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        from tiffin.machinery.jsonerror import complaint

        raise DecodeError(complaint(body.decode("utf-8", "replace")) or "invalid UTF-8") from None
    check_depth(value, body)
    return value


def check_depth(obj: Any, body: bytes) -> None:
    """DecodeError where values nest deeper than `DEEPEST`, or are more than `MOST_NESTED`. A body with few brackets and no aliases is not looked at."""
    marks = body.count(b"{") + body.count(b"[") + body.count(b"\n") + body.count(b"*")
    if marks <= DEEPEST:
        return
    if too_deep(obj):
        raise DecodeError("exceeded max depth")
    if marks > MOST_NESTED:
        check_number(obj)


def check_number(obj: Any) -> None:
    """DecodeError where there are more than `MOST_NESTED` objects and lists."""
    level, number = [obj] if _nests(obj) else [], 0
    while level:
        number += len(level)
        if number > MOST_NESTED:
            raise DecodeError(f"exceeded max number of nested values of {MOST_NESTED}")
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node) if _nests(child)]


def too_deep(value: Any) -> bool:
    """Whether a value nests deeper than `DEEPEST`."""
    level = [value] if _nests(value) else []
    for _ in range(DEEPEST):
        level = [child for node in level for child in (node.values() if isinstance(node, dict) else node) if _nests(child)]
        if not level:
            return False
    return True


def _nests(value: Any) -> TypeGuard[dict[str, Any] | list[Any]]:
    return value.__class__ is dict or value.__class__ is list


def _lenient(body: bytes, strict: bool) -> tuple[Object, list[Problem]]:
    """What orjson refuses but Go reads: text that is not UTF-8, halves of surrogate pairs. Otherwise Go's complaint."""
    from tiffin.machinery.jsonerror import complaint

    text = body.decode("utf-8", "replace")
    if wrong := complaint(text):
        raise DecodeError(wrong)
    try:
        return _exact(text, strict)
    except RecursionError:
        raise DecodeError("exceeded max depth") from None


def _exact(text: str, strict: bool) -> tuple[Object, list[Problem]]:
    pairs = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_refuse_constant, parse_int=_integer)
    if not isinstance(pairs, _Pairs):
        raise DecodeError(_not_an_object(pairs, TYPE_META))
    found: list[Problem] = []
    order: dict[Problem, int] = {}
    obj = _merged(pairs, "", found, order)
    check_depth(obj, text.encode())
    return obj, Repeated(found, order) if strict and found else []


def _integer(digits: str) -> int | float:
    """As orjson reads it: beyond 64 bits a float. A number of any length must not cost more than its length."""
    if len(digits) > 300:
        raise DecodeError("json: cannot unmarshal number into Go value of type float64")
    value = int(digits)
    return value if -1 << 63 <= value < 1 << 64 else float(value)


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, so that repetitions show."""


def _merged(value: Any, path: str, found: list[Problem], order: dict[Problem, int]) -> Any:
    if isinstance(value, _Pairs):
        made: dict[str, Any] = {}
        for key, item in value:
            key = _whole(key)
            below = f"{path}.{key}" if path else key
            kind = "duplicate" if key in made else "unknown"
            if order.setdefault(Problem(kind, below), len(order)) == len(order) - 1 and kind == "duplicate":
                found.append(Problem(kind, below))
            made[key] = _joined(made.get(key), _merged(item, below, found, order))
        return made
    if isinstance(value, list):
        return [_merged(item, f"{path}[{index}]", found, order) for index, item in enumerate(value)]
    return _whole(value) if isinstance(value, str) else value


def _joined(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return first | {key: _joined(first.get(key), value) for key, value in second.items()}


def _whole(text: str) -> str:
    """Text without halves of surrogate pairs, which Go replaces."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _refuse_constant(name: str) -> Any:
    raise DecodeError(f"invalid character '{name[0]}' looking for beginning of value")


def _not_an_object(value: Any, into: str) -> str:
    kind = "array" if isinstance(value, list) else "string" if isinstance(value, str) else "bool" if isinstance(value, bool) else "number"
    return f"json: cannot unmarshal {kind} into Go value of type {into}"
