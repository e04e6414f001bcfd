"""Types of objects, from the schemas that describe them.

`schema_type` declares what a structural schema (or any OpenAPI v3 schema without references) describes: what it does not describe,
expressions cannot see. A type knows how many bytes its smallest value takes and how large its largest value may be, which is what
worst-case costs are estimated from; where the schema sets no limit, a request's size does.

Fields have the name CEL can spell: "a-b" is `a__dash__b`, "if" is `__if__`; fields that cannot be spelled are not there.
Source: k8s.io/apiserver/pkg/cel/common SchemaDeclType and pkg/cel escaping and limits.
"""
from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.lexer import RESERVED
from tiffin.machinery.cel.times import parse_duration, parse_timestamp
from tiffin.machinery.cel.types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, Field, Fields, Limits, Type
from tiffin.machinery.cel.values import MapList, SetList, TypedObject

MAX_REQUEST = 3 * 1024 * 1024
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_spellable = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*").fullmatch
_escaped = re.compile(r"__|[.\-/]")

Adapt = Callable[[Any], Any]
Schema = dict[str, Any]


@lru_cache(maxsize=4096)
def escape(name: str) -> str | None:
    """The name of a field in CEL; None when it has none."""
    if not _spellable(name):
        return None
    if name in RESERVED:
        return f"__{name}__"
    return _escaped.sub(lambda match: _ESCAPES[match[0]], name)


def schema_type(schema: Schema, name: str = "selfType", root: bool = False) -> Type | None:
    """The type of values of a schema; None for one that expressions cannot see. `root` adds what every resource has.

    `name` is what messages call the type; the types of fields are called after it.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return _sized(DYN, _text_limit(schema, MAX_REQUEST - 2), 1)
    if root:
        schema = _with_meta(schema)
    match schema.get("type"):
        case "array":
            return _list(schema, name)
        case "object":
            return _map(schema, name) if isinstance(schema.get("additionalProperties"), dict) else _object(schema, name)
        case "string":
            return _string(schema)
        case "boolean":
            return _sized(BOOL, 0, 4)
        case "integer":
            return _sized(INT, 0, 1)
        case "number":
            return _sized(DOUBLE, 0, 1, _number)
    return None


def _sized(type_: Type, size: int, serialized: int, adapt: Adapt | None = None) -> Type:
    return Type(type_.kind, type_.name, type_.params, adapt=adapt, limits=Limits(size, serialized))


def _nested(schema: Schema, name: str) -> Type | None:
    return schema_type(schema, name, bool(schema.get("x-kubernetes-embedded-resource")))


def smallest(type_: Type) -> int:
    """The fewest bytes of JSON a value takes."""
    return type_.limits.serialized if type_.limits else 0


def max_cardinality(type_: Type) -> int:
    """How many values of the type fit into one request."""
    return MAX_REQUEST // (smallest(type_) + 1)


def _text_limit(schema: Schema, default: int) -> int:
    length = schema.get("maxLength")
    return default if length is None else max(0, length) * 4


def _list(schema: Schema, name: str) -> Type | None:
    items = _nested(schema.get("items") or {}, f"{name}.@idx")
    if items is None:
        return None
    limit = schema.get("maxItems")
    size = (MAX_REQUEST - 2) // (smallest(items) + 1) if limit is None else max(0, limit)
    return Type("list", "list", (items,), adapt=_list_adapter(schema, items.adapt), limits=Limits(size, 2))


def _list_adapter(schema: Schema, adapt: Adapt | None) -> Adapt | None:
    kind, keys = schema.get("x-kubernetes-list-type"), tuple(schema.get("x-kubernetes-list-map-keys") or ())
    if kind == "set":
        return lambda items: SetList(_adapted(items, adapt)) if isinstance(items, list) else items
    if kind == "map":
        return lambda items: MapList(_adapted(items, adapt), keys) if isinstance(items, list) else items
    return None if adapt is None else lambda items: _adapted(items, adapt)


def _adapted(items: Any, adapt: Adapt | None) -> Any:
    if adapt is None or not isinstance(items, list):
        return items
    return [item if item is None else adapt(item) for item in items]


def _map(schema: Schema, name: str) -> Type | None:
    values = _nested(schema["additionalProperties"], f"{name}.@elem")
    if values is None:
        return None
    limit, adapt = schema.get("maxProperties"), values.adapt
    size = (MAX_REQUEST - 2) // (smallest(values) + 6) if limit is None else max(0, limit)

    def adapt_values(mapping: Any) -> Any:
        if adapt is None or not isinstance(mapping, dict):
            return mapping
        return {key: value if value is None else adapt(value) for key, value in mapping.items()}
    key = _sized(STRING, 0, 2)
    return Type("map", "map", (key, values), adapt=adapt_values if adapt else None, limits=Limits(size, 2))


def _object(schema: Schema, name: str) -> Type:
    required = set(schema.get("required") or ())
    fields: dict[str, Field] = {}
    serialized = 2
    for key, sub in (schema.get("properties") or {}).items():
        type_ = _nested(sub, f"{name}.{key}")
        if type_ is None:
            continue
        spelled = escape(key)
        if spelled is not None:
            fields[spelled] = Field(type_, key)
        if key in required and sub.get("default") is None:
            serialized += len(key.encode()) + smallest(type_) + 4
    return object_type(name, fields, Limits(0, serialized))


def object_type(name: str, fields: dict[str, Field], limits: Limits | None = None) -> Type:
    """A struct over JSON objects; values are wrapped only when a field's name or value is not what JSON says."""
    type_ = Type("struct", name, fields=Fields(fields), limits=limits)
    if any(field.key != spelled or field.type.adapt for spelled, field in fields.items()):
        type_.adapt = lambda value: TypedObject(value, type_) if isinstance(value, dict) else value
    return type_


def _with_meta(schema: Schema) -> Schema:
    properties = schema.get("properties") or {}
    text = {"type": "string"}
    meta = (properties.get("metadata") or {}).get("properties") or {}
    if all((properties.get(key) or {}).get("type") == "string" for key in ("kind", "apiVersion")) and {"name", "generateName"} <= meta.keys():
        return schema
    own = {"kind": text, "apiVersion": text, "metadata": {"type": "object", "properties": {"name": text, "generateName": text}}}
    return schema | {"properties": properties | own}


def _number(value: Any) -> Any:
    return float(value) if type(value) is int else value


def json_bytes(value: Any) -> Any:
    """The bytes of base64 text. Raises EvaluationError."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise EvaluationError(f"invalid byte format: {value}") from None


def _string(schema: Schema) -> Type:
    match schema.get("format"):
        case "byte":
            length = schema.get("maxLength")
            return _sized(BYTES, MAX_REQUEST - 2 if length is None else max(0, length), 2, json_bytes)
        case "duration":
            return _sized(DURATION, 32, 3, parse_duration)
        case "date":
            return _sized(TIMESTAMP, 12, 12, lambda text: parse_timestamp(text, dates=True))
        case "date-time":
            return _sized(TIMESTAMP, 32, 21, lambda text: parse_timestamp(text, dates=True))
    if schema.get("maxLength") is None and schema.get("enum"):
        return _sized(STRING, max((len(value.encode()) for value in schema["enum"] if isinstance(value, str)), default=0), 2)
    return _sized(STRING, _text_limit(schema, MAX_REQUEST - 2), 2)
