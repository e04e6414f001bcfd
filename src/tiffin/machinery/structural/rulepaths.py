"""Field paths inside a schema, as `fieldPath` of rules and `selectableFields` write them: `.spec.replicas`, `['a.b'].c`.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel ValidFieldPath, as documented in "Validation rules", field path.
"""
from __future__ import annotations

import re
from typing import Any

_plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_token = re.compile(r"\[|\]|\.|'(?:[^'\\]|\\.)*'|[^\[\].']+")


class FieldPathError(ValueError):
    """The path is not one, or leads nowhere."""


def steps_of(path: str) -> list[str]:
    """The fields a path names, in order. Raises FieldPathError."""
    tokens = _token.findall(path)
    if "".join(tokens) != path:
        raise FieldPathError("unexpected end of JSON path")
    steps: list[str] = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if following is None:
            raise FieldPathError("unexpected end of JSON path")
        if token == ".":
            if not _plain(following):
                raise FieldPathError(f"unexpected token {following}" if following in "[]." else f"{following} is not a valid identifier")
            steps.append(following)
            position += 2
        elif token == "[":
            if following[:1] != "'":
                raise FieldPathError(f"expected single quoted string but got {following}")
            if tokens[position + 2:position + 3] != ["]"]:
                raise FieldPathError("unexpected end of JSON path")
            steps.append(re.sub(r"\\(.)", r"\1", following[1:-1]))
            position += 3
        else:
            raise FieldPathError(f"expected [ or . but got: {token}")
    return steps


def schema_at(schema: dict[str, Any], path: str, arrays: bool = True) -> dict[str, Any]:
    """The schema a path leads to; `arrays` allows steps written in brackets. Raises FieldPathError."""
    if not arrays and "[" in path:
        raise FieldPathError("array notation is not allowed")
    found: Any = schema
    for step in steps_of(path):
        properties, others = found.get("properties") or {}, found.get("additionalProperties")
        if step in properties:
            found = properties[step]
        elif isinstance(others, dict):
            found = others
        else:
            raise FieldPathError("does not refer to a valid field")
    return found  # type: ignore[no-any-return]


def child_path(path: str) -> str:
    """A path as it is put behind another in an error; "" for none, and for one no definition would be accepted with."""
    try:
        return "".join(f".{step}" if _plain(step) else f"[{step}]" for step in steps_of(path))
    except FieldPathError:
        return ""
