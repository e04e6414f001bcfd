"""OpenAPI v2 as protobuf: read back by a reader that knows the messages' numbers only."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.apiserver.inprocess import InProcess
from tiffin.apiserver.openapi_proto import ASKED_FOR, MEDIA_TYPE, openapi_v2_bytes


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at:at + size]
            at += size
        elif tag & 7 == 1:
            yield tag >> 3, struct.unpack("<d", data[at:at + 8])[0]
            at += 8
        else:
            yield tag >> 3, varint()


def one(data: bytes, *path: int) -> Any:
    for number in path:
        data = next(value for key, value in fields(data) if key == number)
    return data


def named(data: bytes, number: int = 1) -> dict[str, bytes]:
    return {one(entry, 1).decode(): one(entry, 2) for key, entry in fields(data) if key == number}


DOCUMENT = {
    "swagger": "2.0", "info": {"title": "t", "version": "v"},
    "paths": {"/a": {
        "get": {"operationId": "getA", "parameters": [{"in": "query", "name": "q", "type": "string", "uniqueItems": True}], "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}}},
                "x-kubernetes-action": "get"},
        "parameters": [{"in": "path", "name": "n", "type": "string", "required": True}, {"in": "body", "name": "body", "schema": {"type": "object"}}],
    }},
    "definitions": {"A": {
        "type": "object", "required": ["b"], "properties": {"b": {"type": "array", "items": {"type": "integer", "minimum": -1.5, "maxLength": 300}}, "c": {"additionalProperties": {"type": "string"}}, "d": {"additionalProperties": True}},
        "enum": ["x", 1], "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "A"}],
    }},
    "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}}, "security": [{"BearerToken": []}],
}  # fmt: skip


def test_every_part_is_where_the_message_has_it() -> None:
    data = openapi_v2_bytes(DOCUMENT)
    assert (one(data, 1), one(data, 2, 1)) == (b"2.0", b"t")
    schema = named(one(data, 9))["A"]
    assert one(schema, 22, 1) == b"object" and one(schema, 19) == b"b"
    properties = named(one(schema, 25))
    assert one(properties["b"], 22, 1) == b"array"
    item = one(properties["b"], 23, 1)
    assert (one(item, 22, 1), one(item, 9), one(item, 11)) == (b"integer", -1.5, 300)
    assert one(properties["c"], 21, 1, 22, 1) == b"string" and one(properties["d"], 21, 2) == 1
    assert [orjson.loads(one(value, 2)) for key, value in fields(schema) if key == 20] == ["x", 1]
    assert orjson.loads(one(named(schema, 31)["x-kubernetes-group-version-kind"], 2)) == [{"group": "g", "version": "v1", "kind": "A"}]
    path = named(one(data, 8), 2)["/a"]
    assert one(path, 2, 5) == b"getA" and one(path, 2, 8, 1, 2, 3, 6) == b"string" and one(path, 2, 8, 1, 2, 3, 20) == 1
    assert one(named(one(path, 2, 9))["200"], 1, 2, 1, 1) == b"#/definitions/A"
    assert one(named(one(path, 2), 13)["x-kubernetes-action"], 2) == b'"get"\n'
    parameters = [value for key, value in fields(path) if key == 9]
    assert one(parameters[0], 1, 2, 4, 4) == b"n" and one(parameters[0], 1, 2, 4, 1) == 1
    assert one(parameters[1], 1, 1, 5, 22, 1) == b"object"
    assert one(named(one(data, 13))["BearerToken"], 2, 2) == b"authorization"
    assert list(named(one(data, 12))) == ["BearerToken"]


@pytest.mark.parametrize("accept", ASKED_FOR)
async def test_clients_get_the_form_they_ask_for(api: InProcess, accept: str) -> None:
    plain = await api.call("GET", "/openapi/v2")
    packed = await api.call("GET", "/openapi/v2", accept=f"{accept}, application/json")
    assert packed.headers["Content-Type"] == MEDIA_TYPE and plain.headers["Content-Type"] == "application/json"
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert set(named(one(packed.body, 9))) == set(orjson.loads(plain.text)["definitions"])
