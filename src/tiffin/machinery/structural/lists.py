"""Lists that are sets or maps: no element stands twice. Compiled for the parts of a schema that have such lists."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tiffin.machinery.field import FieldError, duplicate, invalid

Check = Callable[[Any, str, list[FieldError]], None]


def list_check(schema: dict[str, Any]) -> Check | None:
    """The check of all sets and maps below a schema, given a value, its path and where to put what is found; None if there are none."""
    kind, keys = schema.get("x-kubernetes-list-type"), tuple(schema.get("x-kubernetes-list-map-keys") or ())
    fields = {key: made for key, sub in (schema.get("properties") or {}).items() if (made := list_check(sub)) is not None}
    others, items = _of(schema.get("additionalProperties")), _of(schema.get("items"))
    if kind not in ("set", "map") and not fields and others is None and items is None:
        return None

    def check(value: Any, path: str, errors: list[FieldError]) -> None:
        if value.__class__ is dict:
            for key, item in value.items():
                inside = fields.get(key, others)
                if inside is not None:
                    inside(item, f"{path}.{key}" if path else key, errors)
        elif value.__class__ is list:
            if kind == "set":
                _check_set(value, path, errors)
            elif kind == "map":
                _check_map(value, keys, path, errors)
            if items is not None:
                for index, item in enumerate(value):
                    items(item, f"{path}[{index}]", errors)

    return check


def _of(schema: Any) -> Check | None:
    return list_check(schema) if isinstance(schema, dict) else None


def identity(value: Any) -> bytes:
    """Text by which equal values are told: the order of fields does not count."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def in_order(value: Any) -> Any:
    """The value with all its fields in alphabetical order, as errors print it."""
    return orjson.loads(identity(value)) if value.__class__ in (dict, list) else value


def _check_set(values: list[Any], path: str, errors: list[FieldError]) -> None:
    seen: set[bytes] = set()
    told: set[bytes] = set()
    for index, value in enumerate(values):
        mark = identity(value)
        if mark in seen and mark not in told:
            told.add(mark)
            errors.append(duplicate(f"{path}[{index}]", in_order(value)))
        seen.add(mark)


def _check_map(values: list[Any], keys: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    odd = next((index for index, value in enumerate(values) if value is not None and value.__class__ is not dict), None)
    if odd is not None:
        errors.append(invalid(f"{path}[{odd}]", values[odd], "must be an object for an array of list-type map"))
        return
    seen: set[bytes] = set()
    told: set[bytes] = set()
    for index, value in enumerate(values):
        key = {name: value[name] for name in keys if name in value} if value is not None else {}
        mark = identity(key)
        if mark in seen and mark not in told:
            told.add(mark)
            errors.append(duplicate(f"{path}[{index}]", in_order(key)))
        seen.add(mark)
