"""What goes from a custom object: fields its schema does not know, and nulls where there may be none.

Everything is done in place, on an object that belongs to its request. A null whose field has a default stays: the default will
replace it. Source: API extension docs, "Field pruning" and "Defaulting and nullable".
"""
from __future__ import annotations

from typing import Any

RESOURCE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_NOTHING: dict[str, Any] = {}


def prune(obj: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """Drops unknown fields of a whole object; answers their paths, sorted. Its kind, apiVersion and metadata are not looked at."""
    found: list[str] = []
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        _keep(obj, schema, "", found, True)
    else:
        _prune_fields(obj, schema, "", found, True)
    return sorted(found)


def prune_value(value: Any, schema: dict[str, Any], resource: bool = False) -> list[str]:
    """The same of a value somewhere inside, such as a default; `resource` when it is an object with kind and metadata."""
    found: list[str] = []
    if resource:
        schema = {**schema, "x-kubernetes-embedded-resource": True}
    _prune(value, schema, "", found)
    return sorted(found)


def _prune(value: Any, schema: dict[str, Any] | None, path: str, found: list[str]) -> None:
    if value.__class__ is dict:
        if schema is None:
            found += [f"{path}.{key}" if path else key for key in value]
            value.clear()
        elif schema.get("x-kubernetes-preserve-unknown-fields"):
            _keep(value, schema, path, found, bool(schema.get("x-kubernetes-embedded-resource")))
        else:
            _prune_fields(value, schema, path, found, bool(schema.get("x-kubernetes-embedded-resource")))
    elif value.__class__ is list:
        if schema is not None and schema.get("x-kubernetes-preserve-unknown-fields"):
            _keep(value, schema, path, found, False)
            return
        items = schema.get("items") if schema is not None else None
        for index, item in enumerate(value):
            if item.__class__ in (dict, list):
                _prune(item, items, f"{path}[{index}]", found)


def _prune_fields(value: dict[str, Any], schema: dict[str, Any], path: str, found: list[str], resource: bool) -> None:
    properties, others = schema.get("properties") or _NOTHING, schema.get("additionalProperties")
    unknown: list[str] = []
    for key, item in value.items():
        if resource and key in RESOURCE_FIELDS:
            continue
        below = properties.get(key)
        if below is None:
            if not others:
                unknown.append(key)
                continue
            below = others if others.__class__ is dict else None
        if item.__class__ in (dict, list):
            _prune(item, below, f"{path}.{key}" if path else key, found)
    for key in unknown:
        del value[key]
        found.append(f"{path}.{key}" if path else key)


def _keep(value: Any, schema: dict[str, Any], path: str, found: list[str], resource: bool) -> None:
    """Keeps what is not known, and prunes below what is."""
    if value.__class__ is list:
        items = schema.get("items")
        for index, item in enumerate(value):
            if items is not None and item.__class__ in (dict, list):
                _keep(item, items, f"{path}[{index}]", found, bool(items.get("x-kubernetes-embedded-resource")))
        return
    properties, others = schema.get("properties") or _NOTHING, schema.get("additionalProperties")
    for key, item in value.items():
        if item.__class__ not in (dict, list) or (resource and key in RESOURCE_FIELDS):
            continue
        below = properties.get(key)
        if below is not None:
            _prune(item, below, f"{path}.{key}" if path else key, found)
        elif others.__class__ is dict:
            _prune(item, others, f"{path}.{key}" if path else key, found)


def prune_nulls(value: Any, schema: dict[str, Any]) -> None:
    """Drops nulls of known fields that are neither nullable nor have a default."""
    if value.__class__ is list:
        items = schema.get("items")
        if items is not None:
            for item in value:
                if item.__class__ in (dict, list):
                    prune_nulls(item, items)
        return
    properties, others = schema.get("properties") or _NOTHING, schema.get("additionalProperties")
    gone: list[str] = []
    for key, item in value.items():
        below = properties.get(key)
        if below is None:
            if others.__class__ is not dict:
                continue
            below = others
        if item is None:
            if not below.get("nullable") and below.get("default") is None:
                gone.append(key)
        elif item.__class__ in (dict, list):
            prune_nulls(item, below)
    for key in gone:
        del value[key]
