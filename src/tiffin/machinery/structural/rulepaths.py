"""Field paths inside a schema, as `fieldPath` of rules and `selectableFields` write them: `.spec.replicas`, `['a.b'].c`.

A path is followed while it is read, so the first thing that is wrong with it, be it of its form or of where it leads, is what is told.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel ValidFieldPath, as documented in "Validation rules", field path.
"""
from __future__ import annotations

import re
from typing import Any, NamedTuple

_token = re.compile(r"[.\[\]]|'(?:.*?(?<!\\)'|.*)|[^.\[\]][^.\[\]]*", re.DOTALL)
_escape = re.compile(r"\\.", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}
_END = "unexpected end of JSON path"


class FieldPathError(ValueError):
    """The path is not one, or leads nowhere."""


class Found(NamedTuple):
    """Where a path leads: the schema there, and the path as errors show it, such as `spec.labels[a]`."""

    schema: dict[str, Any]
    path: str


def follow(schema: dict[str, Any], path: str, brackets: bool = True) -> Found:
    """Where a path leads; `brackets` allows steps written in them. Raises FieldPathError."""
    found, shown = schema, ""
    tokens = iter(_token.findall(path))
    for token in tokens:
        if token == "[":
            if not brackets:
                raise FieldPathError("array notation is not allowed")
            step = _unquoted(_next(tokens))
        elif token == ".":
            step = _next(tokens)
        else:
            raise FieldPathError(f"expected [ or . but got: {token}")
        found, shown = _step(found, shown, step)
        if token == "[" and (closing := _next(tokens)) != "]":
            raise FieldPathError(f"expected ] but got {closing}")
    return Found(found, shown)


def _next(tokens: Any) -> str:
    token: str | None = next(tokens, None)
    if token is None:
        raise FieldPathError(_END)
    return token


def _unquoted(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise FieldPathError(f"expected single quoted string but got {token}")

    def meant(match: re.Match[str]) -> str:
        if match[0][1] not in _ESCAPES:
            raise FieldPathError(f"invalid string literal: invalid escape char {match[0]}")
        return _ESCAPES[match[0][1]]

    return _escape.sub(meant, token[1:-1])


def _step(schema: dict[str, Any], shown: str, step: str) -> tuple[dict[str, Any], str]:
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    if properties and step in properties:
        return properties[step], f"{shown}.{step}" if shown else step
    if properties or others is None:
        raise FieldPathError("does not refer to a valid field")
    return others if isinstance(others, dict) else {}, f"{shown}[{step}]"


def child_path(schema: dict[str, Any], path: str) -> str:
    """A path as it is put behind another in an error; "" for none, and for one no definition would be accepted with."""
    try:
        shown = follow(schema, path).path
    except FieldPathError:
        return ""
    return f".{shown}" if shown else ""
