"""Whether the defaults of a schema are values of it: pruned, valid, and where they stand in metadata, valid metadata.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting, as documented in API extension docs, "Defaulting".
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.structural import embedded
from tiffin.machinery.structural.lists import in_order
from tiffin.machinery.structural.pruning import RESOURCE_FIELDS, prune_value
from tiffin.machinery.structural.rules import rule_node
from tiffin.machinery.structural.values import Validator

Schema = dict[str, Any]
Surround = Callable[[Any], Any]
"""Puts a value into a resource where its schema stands."""
_RESOURCE = {"apiVersion": "validation/v1", "kind": "Validation"}


def default_errors(schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with the defaults on and below a schema of whole objects."""
    errors: list[FieldError] = []
    _check({**schema, "x-kubernetes-embedded-resource": True}, path, lambda value: {**_RESOURCE, **value}, False, errors)
    return errors


def _check(schema: Schema, path: str, surround: Surround, in_metadata: bool, errors: list[FieldError]) -> None:
    resource = bool(schema.get("x-kubernetes-embedded-resource"))
    if resource:
        in_metadata, surround = False, lambda value: {**_RESOURCE, **value}
    default = schema.get("default")
    if default is not None:
        errors += _metadata_default(schema, default, path, surround) if in_metadata else _default(schema, default, path, resource)
    if isinstance(schema.get("items"), dict):
        _check(schema["items"], f"{path}.items", lambda value: surround([value]), in_metadata, errors)
    for key, sub in (schema.get("properties") or {}).items():
        _check(sub, f"{path}.properties[{key}]", _field(surround, key), in_metadata or (resource and key in RESOURCE_FIELDS), errors)


def _field(surround: Surround, key: str) -> Surround:
    return lambda value: surround({key: value})


def _default(schema: Schema, default: Any, path: str, resource: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    where, copy = f"{path}.default", orjson.loads(orjson.dumps(default))
    if prune_value(copy, schema, resource):
        errors.append(invalid(where, in_order(default), "must not have unknown fields"))
    visit = embedded.embedded_in(schema)
    inside = list(visit(orjson.loads(orjson.dumps(default)), where)) if visit is not None else []
    found: list[FieldError] = []
    for value, at in inside:
        try:
            embedded.coerce(value, at)
        except embedded.CoerceError as error:
            return [*errors, error.violation]
        embedded.check(value, at, found)
    return errors + (found or _value_errors(schema, default, where))


def _value_errors(schema: Schema, default: Any, where: str) -> list[FieldError]:
    """What validation says of a default: paths in its messages begin at the default, those of the errors at the schema."""
    found = [error._replace(field=f"{where}.{error.field}" if error.field != "<nil>" else where) for error in Validator(schema).validate(default)]
    if found:
        return found
    rules = rule_node(schema)
    return rules.violations(default, path=where) if rules is not None else []


def _metadata_default(schema: Schema, default: Any, path: str, surround: Surround) -> list[FieldError]:
    where = f"{path}.default"
    found: list[FieldError] = []
    whole = surround(orjson.loads(orjson.dumps(default)))
    try:
        embedded.coerce(whole, "")
    except embedded.CoerceError as error:
        return [invalid(where, in_order(default), f"must result in valid metadata: {error}")]
    embedded.check(whole, "", found)
    if found:
        texts = [str(error) for error in found]
        told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        return [invalid(where, in_order(default), f"must result in valid metadata: {told}")]
    return _value_errors(schema, default, where)
