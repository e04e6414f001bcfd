"""Types of custom resources from their structural schemas.

Only structure is taken here: fields, lists, maps, what is preserved. Values are validated by `api/apiextensions`.
Source: API extension docs, "Specifying a structural schema"; apiextensions `x-kubernetes-*` keywords.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.schema import META, Field, IntOrString, List, Map, Raw, Scalar, Struct, Type, definition

_SCALARS = {"string": "string", "boolean": "boolean", "integer": "int64", "number": "double"}


def custom_type(schema: dict[str, Any] | None, name: str) -> Struct:
    """The type of a whole custom object; `schema` is its openAPIV3Schema, None for one without any rules."""
    if schema is None:
        schema = {"x-kubernetes-preserve-unknown-fields": True}
    fields = {key: _field(sub) for key, sub in (schema.get("properties") or {}).items() if key not in ("apiVersion", "kind", "metadata")}
    own = {
        "apiVersion": Field(Scalar("string")), "kind": Field(Scalar("string")),
        "metadata": Field(lambda: definition(META + "ObjectMeta"), always=True)}
    return Struct(name, own | fields, preserve=bool(schema.get("x-kubernetes-preserve-unknown-fields")), source=schema)


def structural_type(schema: dict[str, Any]) -> Type:
    """The type of one schema node."""
    if schema.get("x-kubernetes-int-or-string"):
        return IntOrString("intstr.IntOrString")
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-embedded-resource"):
        return custom_type(schema, "EmbeddedResource")
    if kind == "array":
        items = structural_type(schema.get("items") or {})
        return List(items, schema.get("x-kubernetes-list-type", "atomic"), tuple(schema.get("x-kubernetes-list-map-keys") or ()))
    if kind == "object" or (not kind and "properties" in schema):
        return _object(schema)
    if kind in _SCALARS:
        return Scalar(_SCALARS[kind])
    return Raw()


def _object(schema: dict[str, Any]) -> Type:
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict) and not schema.get("properties"):
        return Map(structural_type(additional), atomic=atomic)
    if additional is True and not schema.get("properties"):
        return Map(Raw(), atomic=atomic)
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return Struct("object", {key: _field(sub) for key, sub in (schema.get("properties") or {}).items()}, atomic=atomic, preserve=preserve)


def _field(schema: dict[str, Any]) -> Field:
    """Custom objects keep what was sent: zero values are never dropped."""
    return Field(lambda: structural_type(schema), pointer=True, default=schema.get("default"))
