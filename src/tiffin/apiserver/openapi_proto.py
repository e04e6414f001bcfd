"""OpenAPI v2 documents as protobuf, the form in which kubectl and helm fetch them.

The messages are gnostic's `openapi.v2`; each is a table from JSON field to number and type. What a table does not know is a vendor
extension, where the message has room for those, and is carried as text.
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED_FOR = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
"""A media type may not contain "@"; older clients send it all the same."""

Encoder = Callable[[Any], bytes]
"""The bytes of a value within its message, without tag and length."""
Table = Mapping[str, tuple[int, Callable[[int, Any], bytes]]]


def openapi_v2_bytes(document: Mapping[str, Any]) -> bytes:
    """The Document message of a parsed OpenAPI v2 document."""
    return _message(_DOCUMENT, document, 16)


# values with their tags


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode()) if value else b""


def _texts(number: int, values: list[str]) -> bytes:
    return b"".join(_bytes(number, value.encode()) for value in values)


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b"\1" if value else b""


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & (1 << 64) - 1) if value else b""


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value) if value else b""


def _any(number: int, value: Any) -> bytes:
    """gnostic's Any, which carries YAML; JSON is YAML."""
    return _bytes(number, _text(2, orjson.dumps(value).decode() + "\n"))


def _anys(number: int, values: list[Any]) -> bytes:
    return b"".join(_any(number, value) for value in values)


def _inside(encode: Encoder) -> Callable[[int, Any], bytes]:
    return lambda number, value: _bytes(number, encode(value))


def _each(encode: Encoder) -> Callable[[int, Any], bytes]:
    return lambda number, values: b"".join(_bytes(number, encode(value)) for value in values)


def _named(encode: Encoder, number: int = 1) -> Encoder:
    """A map as a message of named values."""
    return lambda values: b"".join(_bytes(number, _text(1, name) + _bytes(2, encode(value))) for name, value in values.items())


def _message(table: Table, value: Mapping[str, Any], extensions: int = 0) -> bytes:
    parts = []
    for name, field in value.items():
        known = table.get(name)
        if known is not None:
            parts.append(known[1](known[0], field))
        elif extensions and name.startswith("x-"):
            parts.append(_bytes(extensions, _text(1, name) + _any(2, field)))
    return b"".join(parts)


# messages


def _schema(value: Mapping[str, Any]) -> bytes:
    return _message(_SCHEMA, value, 31)


def _additional(value: Any) -> bytes:
    return _bytes(1, _schema(value)) if isinstance(value, dict) else _varint(2 << 3) + (b"\1" if value else b"\0")


def _types(value: str | list[str]) -> bytes:
    return _texts(1, [value] if isinstance(value, str) else value)


def _items(value: Any) -> bytes:
    return _each(_schema)(1, value if isinstance(value, list) else [value])


def _parameter(value: Mapping[str, Any]) -> bytes:
    """ParametersItem: a reference, a body, or one of the kinds that have no schema."""
    if "$ref" in value:
        return _bytes(2, _text(1, value["$ref"]))
    if value["in"] == "body":
        return _bytes(1, _bytes(1, _message(_BODY, value, 6)))
    number, table, extensions = _PLACES[value["in"]]
    return _bytes(1, _bytes(2, _bytes(number, _message(table, value, extensions))))


def _response(value: Mapping[str, Any]) -> bytes:
    return _bytes(2, _text(1, value["$ref"])) if "$ref" in value else _bytes(1, _message(_RESPONSE, value, 5))


def _responses(value: Mapping[str, Any]) -> bytes:
    return _named(_response)({code: each for code, each in value.items() if not code.startswith("x-")})


def _operation(value: Mapping[str, Any]) -> bytes:
    return _message(_OPERATION, value, 13)


def _path(value: Mapping[str, Any]) -> bytes:
    return _message(_PATH, value, 10)


def _security(value: Mapping[str, Any]) -> bytes:
    return _named(lambda scopes: _texts(1, scopes))(value)


def _security_definition(value: Mapping[str, Any]) -> bytes:
    return _bytes(2, _message(_API_KEY, value, 5)) if value["type"] == "apiKey" else _bytes(1, _message(_BASIC, value, 3))


def _limits(first: int) -> Table:
    """The fields that say what a primitive may be, from `type` on, in the order that all messages with them share."""
    names: list[tuple[str, Callable[[int, Any], bytes]]] = [
        ("type", _text), ("format", _text), ("items", _inside(lambda value: _message(_limits(1), value, 18))), ("collectionFormat", _text), ("default", _any),
        ("maximum", _double), ("exclusiveMaximum", _flag), ("minimum", _double), ("exclusiveMinimum", _flag), ("maxLength", _integer), ("minLength", _integer),
        ("pattern", _text), ("maxItems", _integer), ("minItems", _integer), ("uniqueItems", _flag), ("enum", _anys), ("multipleOf", _double),
    ]  # fmt: skip
    return {name: (first + index, encode) for index, (name, encode) in enumerate(names)}


_WHERE: Table = {"required": (1, _flag), "in": (2, _text), "description": (3, _text), "name": (4, _text)}
_MAY_BE_EMPTY: Table = {"allowEmptyValue": (5, _flag)}
_PLACES: Mapping[str, tuple[int, Table, int]] = {
    "header": (1, {**_WHERE, **_limits(5)}, 22), "formData": (2, {**_WHERE, **_MAY_BE_EMPTY, **_limits(6)}, 23),
    "query": (3, {**_WHERE, **_MAY_BE_EMPTY, **_limits(6)}, 23), "path": (4, {**_WHERE, **_limits(5)}, 22),
}  # fmt: skip
_BODY: Table = {"description": (1, _text), "name": (2, _text), "in": (3, _text), "required": (4, _flag), "schema": (5, _inside(_schema))}
_RESPONSE: Table = {"description": (1, _text), "schema": (2, _inside(lambda value: _bytes(1, _schema(value))))}
_DOCUMENTATION: Table = {"description": (1, _text), "url": (2, _text)}
_SCHEMA: Table = {
    "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), "default": (5, _any), "multipleOf": (6, _double),
    "maximum": (7, _double), "exclusiveMaximum": (8, _flag), "minimum": (9, _double), "exclusiveMinimum": (10, _flag), "maxLength": (11, _integer),
    "minLength": (12, _integer), "pattern": (13, _text), "maxItems": (14, _integer), "minItems": (15, _integer), "uniqueItems": (16, _flag),
    "maxProperties": (17, _integer), "minProperties": (18, _integer), "required": (19, _texts), "enum": (20, _anys),
    "additionalProperties": (21, _inside(_additional)), "type": (22, _inside(_types)), "items": (23, _inside(_items)), "allOf": (24, _each(_schema)),
    "properties": (25, _inside(_named(_schema))), "discriminator": (26, _text), "readOnly": (27, _flag),
    "externalDocs": (29, _inside(lambda value: _message(_DOCUMENTATION, value, 3))), "example": (30, _any),
}  # fmt: skip
_OPERATION: Table = {
    "tags": (1, _texts), "summary": (2, _text), "description": (3, _text), "operationId": (5, _text), "produces": (6, _texts), "consumes": (7, _texts),
    "parameters": (8, _each(_parameter)), "responses": (9, _inside(_responses)), "schemes": (10, _texts), "deprecated": (11, _flag),
    "security": (12, _each(_security)),
}  # fmt: skip
_PATH: Table = {
    "$ref": (1, _text), **{method: (2 + index, _inside(_operation)) for index, method in enumerate(("get", "put", "post", "delete", "options", "head", "patch"))},
    "parameters": (9, _each(_parameter)),
}  # fmt: skip
_API_KEY: Table = {"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)}
_BASIC: Table = {"type": (1, _text), "description": (2, _text)}
_INFO: Table = {"title": (1, _text), "version": (2, _text), "description": (3, _text), "termsOfService": (4, _text)}
_DOCUMENT: Table = {
    "swagger": (1, _text), "info": (2, _inside(lambda value: _message(_INFO, value, 7))), "host": (3, _text), "basePath": (4, _text), "schemes": (5, _texts),
    "consumes": (6, _texts), "produces": (7, _texts), "paths": (8, _inside(_named(_path, 2))), "definitions": (9, _inside(_named(_schema))),
    "security": (12, _each(_security)), "securityDefinitions": (13, _inside(_named(_security_definition))),
}  # fmt: skip
