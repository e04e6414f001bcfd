"""JSONPath as Kubernetes writes it in printer columns: `.spec.hosts[0]`, `.status.conditions[?(@.type=="Ready")].status`.

`compile_path` takes the expression without braces and gives the function from a value to the list of what it finds; keys that are
missing are no error. Supported: fields (`.a`, `['a']`, with `\\.` for a dot inside a name), `*`, `..`, indices, slices with step,
unions, and filters that compare two paths or a path with a literal. Source: kubectl reference, "JSONPath Support".
"""
from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

LONGEST = 4096
"""Characters of a path; what is longer is nothing that anybody reads."""

Step = Callable[[list[Any]], list[Any]]

_field = re.compile(r"\.((?:\\.|[^.\[\]\\\s])+)")
_token = re.compile(r"""\s*('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,\]]+)\s*(,|$)""")
_comparison = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


class PathError(ValueError):
    """The expression is no JSONPath."""


def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """The function that finds what a path leads to; raises PathError."""
    if len(text) > LONGEST:
        raise PathError(f"the path is longer than {LONGEST} characters")
    steps = list(_steps(text.strip()))

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return found

    return find


def _steps(text: str) -> Iterator[Step]:
    position = 1 if text[:1] in ("$", "@") else 0
    while position < len(text):
        if text.startswith("..", position):
            yield _descend
            position += 1 if text[position + 2:position + 3] != "[" else 2
        elif text[position] == "[":
            end = _closing(text, position)
            yield _bracket(text[position + 1:end].strip())
            position = end + 1
        elif text[position:] == ".":
            return
        else:
            match = _field.match(text, position)
            if match is None:
                raise PathError(f"unrecognized character in action: {text[position:]}")
            name = re.sub(r"\\(.)", r"\1", match[1])
            yield _every if name == "*" else _named(name)
            position = match.end()


def _closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes; brackets inside quotes do not count."""
    depth, quote, position = 0, "", start
    while position < len(text):
        char = text[position]
        if quote:
            position += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[]":
            depth += 1 if char == "[" else -1
            if not depth:
                return position
        position += 1
    raise PathError("unterminated array")


def _bracket(inside: str) -> Step:
    if inside.startswith("?(") and inside.endswith(")"):
        return _filter(inside[2:-1].strip())
    steps: list[Step] = []
    position = 0
    while position < len(inside):
        match = _token.match(inside, position)
        if match is None:
            raise PathError(f"invalid array index {inside}")
        steps.append(_selector(match[1].strip()))
        position = match.end()
    if not steps:
        raise PathError("empty array index")
    return steps[0] if len(steps) == 1 else lambda values: [found for step in steps for found in step(values)]


def _selector(text: str) -> Step:
    if text[0] in "'\"":
        return _named(_unquoted(text))
    if text == "*":
        return _every
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        raise PathError(f"invalid array index {text}") from None
    if len(parts) > 3 or (numbers[-1:] == [0] and len(parts) == 3):
        raise PathError(f"invalid array index {text}")
    if len(parts) > 1:
        return lambda values: [item for value in values if isinstance(value, list) for item in value[slice(*numbers)]]
    index = numbers[0] or 0
    return lambda values: [value[index] for value in values if isinstance(value, list) and -len(value) <= index < len(value)]


def _named(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _every(values: list[Any]) -> list[Any]:
    return [item for value in values for item in _inside(value)]


def _descend(values: list[Any]) -> list[Any]:
    found = []
    for value in values:
        found.append(value)
        found += _descend(list(_inside(value)))
    return found


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _filter(text: str) -> Step:
    compared = _comparison.fullmatch(text)
    if compared is None:
        exists = compile_path(text)
        return lambda values: [item for value in values if isinstance(value, list) for item in value if exists(item)]
    left, compare, right = _operand(compared[1]), _COMPARE[compared[2]], _operand(compared[3])

    def holds(item: Any) -> bool:
        one, other = left(item), right(item)
        if len(one) != 1 or len(other) != 1:
            return False
        try:
            return compare(one[0], other[0])
        except TypeError:
            return False

    return lambda values: [item for value in values if isinstance(value, list) for item in value if holds(item)]


def _operand(text: str) -> Callable[[Any], list[Any]]:
    text = text.strip()
    if text[0] in "@$.":
        return compile_path(text)
    if text[0] in "'\"":
        literal: Any = _unquoted(text)
    else:
        try:
            literal = json.loads(text)
        except ValueError:
            raise PathError(f"unrecognized identifier {text}") from None
    return lambda item: [literal]


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[-1] != text[0]:
        raise PathError(f"unterminated quoted string {text}")
    return re.sub(r"\\(.)", r"\1", text[1:-1])
