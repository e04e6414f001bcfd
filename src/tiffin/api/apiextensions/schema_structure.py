"""What makes a schema structural: it says of every field what it is, apart from what is demanded of its value.

Junctors (allOf, anyOf, oneOf, not) only demand: they may not say types, defaults or extensions, and speak of no field that is not
described outside of them. Errors are sorted by their text, as Kubernetes reports them. Source: KEP-95; API extension docs,
"Specifying a structural schema".
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.machinery.cel.regex import RegexError, compile_regex
from tiffin.machinery.field import FieldError, forbidden, invalid, required

Schema = dict[str, Any]
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_UNTYPED = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}
_NOT_IN_JUNCTORS = (
    ("type", "must be empty to be structural"), ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"), ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"), ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"), ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"), ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"), ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"), ("x-kubernetes-validations", "must be empty to be structural"),
)


def structure_errors(schema: Schema, path: str) -> list[FieldError]:
    """Why a schema is not structural."""
    return sorted([*_invariants(schema, "root", path), *_completeness(schema, path)], key=str)


def _invariants(schema: Schema, level: str, path: str) -> Iterator[FieldError]:
    if schema.get("type") == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    if isinstance(schema.get("items"), dict):
        yield from _invariants(schema["items"], "item", f"{path}.items")
    for key, sub in (schema.get("properties") or {}).items():
        yield from _invariants(sub, "field", f"{path}.properties[{key}]")
    others = schema.get("additionalProperties")
    if others is not None:
        if level == "root":
            yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(others, dict):
            yield from _invariants(others, "field", f"{path}.additionalProperties")
    yield from _extension_errors(schema, path)
    yield from _demands(schema, schema.get("anyOf") == _INT_OR_STRING, _begins_int_or_string(schema), path)
    yield from _type_errors(schema, level, path)
    yield from _resource_errors(schema, level, path)


def _begins_int_or_string(schema: Schema) -> bool:
    first = (schema.get("allOf") or [{}])[0]
    return bool(first.get("anyOf") == _INT_OR_STRING)


def _extension_errors(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get("x-kubernetes-int-or-string"):
        for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if schema.get(name):
                yield invalid(f"{path}.{name}", True, "must be false if x-kubernetes-int-or-string is true")


def _type_errors(schema: Schema, level: str, path: str) -> Iterator[FieldError]:
    kind, embedded = schema.get("type") or "", schema.get("x-kubernetes-embedded-resource")
    if embedded and kind != "object":
        words = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(f"{path}.type", kind, words) if kind else required(f"{path}.type", words)
    elif not kind and not schema.get("x-kubernetes-int-or-string") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        yield required(f"{path}.type", f"must not be empty {_UNTYPED[level]}")
    if embedded and schema.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used if x-kubernetes-embedded-resource is set")
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")


def _resource_errors(schema: Schema, level: str, path: str) -> Iterator[FieldError]:
    """What a schema may say of kind, apiVersion and metadata."""
    embedded, properties = bool(schema.get("x-kubernetes-embedded-resource")), schema.get("properties") or {}
    resource = level == "root" or embedded
    for key in ("kind", "apiVersion"):
        if resource and key in properties and properties[key].get("type") != "string":
            yield invalid(f"{path}.properties[{key}].type", properties[key].get("type") or "", "must be string")
    if "metadata" in properties:
        yield from _metadata_errors(properties["metadata"], resource, level, f"{path}.properties[metadata]")
    if embedded and not properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
        words = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield required(f"{path}.properties", words)


def _metadata_errors(schema: Schema, resource: bool, level: str, path: str) -> Iterator[FieldError]:
    if resource and schema.get("type") != "object":
        yield invalid(f"{path}.type", schema.get("type") or "", "must be object")
    if level != "root":
        return
    properties = schema.get("properties") or {}
    rest = {key: value for key, value in schema.items() if value and key not in ("type", "default", "properties")}
    if rest or (properties and not properties.keys() <= {"name", "generateName"}):
        yield forbidden(path, "must not specify anything other than name and generateName, but metadata is implicitly specified")


def _demands(schema: Schema, skip_any: bool, skip_first_all: bool, path: str) -> Iterator[FieldError]:
    """What is wrong inside the junctors of a schema, and its pattern."""
    if not skip_any:
        for index, sub in enumerate(schema.get("anyOf") or ()):
            yield from _nested(sub, False, f"{path}.anyOf[{index}]")
    for index, sub in enumerate(schema.get("allOf") or ()):
        yield from _nested(sub, skip_first_all and not index, f"{path}.allOf[{index}]")
    for index, sub in enumerate(schema.get("oneOf") or ()):
        yield from _nested(sub, False, f"{path}.oneOf[{index}]")
    if schema.get("not") is not None:
        yield from _nested(schema["not"], False, f"{path}.not")
    if schema.get("pattern"):
        try:
            compile_regex(schema["pattern"])
        except RegexError as error:
            yield invalid(f"{path}.pattern", schema["pattern"], f"must be a valid regular expression, but isn't: {error}")


def _nested(schema: Schema, skip_any: bool, path: str) -> Iterator[FieldError]:
    """What a schema inside a junctor may not say."""
    yield from _demands(schema, skip_any, False, path)
    if isinstance(schema.get("items"), dict):
        yield from _nested(schema["items"], False, f"{path}.items")
    for key, sub in (schema.get("properties") or {}).items():
        yield from _nested(sub, False, f"{path}.properties[{key}]")
    for name, words in _NOT_IN_JUNCTORS:
        if schema.get(name) if name not in ("additionalProperties", "default", "x-kubernetes-list-type") else schema.get(name) is not None:
            yield forbidden(f"{path}.{name}", words)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(schema: Schema, path: str) -> Iterator[FieldError]:
    """Fields and items that only junctors speak of."""
    yield from _described(schema, schema, path, path)
    if isinstance(schema.get("items"), dict):
        yield from _completeness(schema["items"], f"{path}.items")
    for key, sub in (schema.get("properties") or {}).items():
        yield from _completeness(sub, f"{path}.properties[{key}]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _completeness(schema["additionalProperties"], f"{path}.additionalProperties")


def _described(demand: Schema, schema: Schema, path: str, where: str) -> Iterator[FieldError]:
    if demand.get("not") is not None:
        yield from _nested_described(demand["not"], schema, path, f"{where}.not")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, sub in enumerate(demand.get(junctor) or ()):
            yield from _nested_described(sub, schema, path, f"{where}.{junctor}[{index}]")


def _nested_described(demand: Schema, schema: Schema, path: str, where: str) -> Iterator[FieldError]:
    yield from _described(demand, schema, path, where)
    below = [("items", demand["items"], schema.get("items"))] if isinstance(demand.get("items"), dict) else []
    properties = schema.get("properties") or {}
    below += [(f"properties[{key}]", sub, properties.get(key)) for key, sub in (demand.get("properties") or {}).items()]
    for step, sub, described in below:
        if described is None:
            yield required(f"{path}.{step}", f"because it is defined in {where}.{step}")
        else:
            yield from _nested_described(sub, described, f"{path}.{step}", f"{where}.{step}")
