"""Defaults of a structural schema, compiled for the parts that have some.

A field that is absent, or null although it may not be, gets a copy of its default; then what is inside it gets its own. Source:
API extension docs, "Defaulting".
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

Default = Callable[[Any], None]
"""Fills the defaults into a value, in place."""


def defaulter(schema: dict[str, Any]) -> Default | None:
    """The function that fills in the defaults of everything below a schema; None when there are none."""
    fields = [(key, _maker(sub["default"]), not sub.get("nullable"))
              for key, sub in (schema.get("properties") or {}).items() if sub.get("default") is not None]
    below = {key: made for key, sub in (schema.get("properties") or {}).items() if (made := defaulter(sub)) is not None}
    others = _element(schema.get("additionalProperties"))
    items = _element(schema.get("items"))
    if not fields and not below and others is None and items is None:
        return None
    known = frozenset(schema.get("properties") or ())

    def fill(value: Any) -> None:
        if value.__class__ is dict:
            for key, make, replaces_null in fields:
                if key not in value or (replaces_null and value[key] is None):
                    value[key] = make()
            for key, inside in below.items():
                if key in value:
                    inside(value[key])
            if others is not None:
                _fill_elements(value, [key for key in value if key not in known], others)
        elif value.__class__ is list and items is not None:
            _fill_elements(value, range(len(value)), items)

    return fill


def _maker(default: Any) -> Callable[[], Any]:
    if default.__class__ in (dict, list):
        data = orjson.dumps(default)
        return lambda: orjson.loads(data)
    return lambda: default


def _element(schema: Any) -> tuple[Callable[[], Any] | None, Default | None] | None:
    """What to do with each item of a list or map: what replaces a null, and the defaults inside."""
    if not isinstance(schema, dict):
        return None
    replacement = _maker(schema["default"]) if schema.get("default") is not None and not schema.get("nullable") else None
    inside = defaulter(schema)
    return (replacement, inside) if replacement or inside else None


def _fill_elements(value: Any, keys: Any, element: tuple[Callable[[], Any] | None, Default | None]) -> None:
    replacement, inside = element
    for key in keys:
        if value[key] is None and replacement is not None:
            value[key] = replacement()
        if inside is not None:
            inside(value[key])
