"""Kubernetes' protobuf encoding of objects, read into what the same object is in JSON.

kubectl sends some objects so (`kubectl create configmap`, for one), whatever the server prefers. A body is the magic `k8s\\0` and a
message `runtime.Unknown`: type and version of the object and, as bytes, the object. Numbers of fields come from `protobuf.json.gz`
(made by `scripts/make_protobuf.py`), their types from the schema, so nothing is written down twice. Fields that are not known are
skipped, as protobuf wants it. What Go would leave out of JSON is left to `decode_object`.

Sources: the Kubernetes API conventions, "alternate representations of resources"; protobuf.dev, "encoding".
"""
from __future__ import annotations

import base64
import functools
import gzip
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import orjson

from tiffin.machinery.decode import DecodeError
from tiffin.machinery.object import Object
from tiffin.machinery.schema import (
    PREFIX,
    Bytes,
    IntOrString,
    List,
    Map,
    Quantity,
    Raw,
    Scalar,
    Struct,
    Time,
    Type,
    definition,
    definition_names,
)

MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Wire = int | bytes
"""A varint, or the bytes of any other field."""


def parse_protobuf(body: bytes) -> Object:
    """The object of a request body. Raises `DecodeError`."""
    if not body.startswith(MAGIC):
        raise DecodeError(f"provided data does not appear to be a protobuf message, expected prefix [{' '.join(map(str, MAGIC))}]")
    envelope = dict(_fields(body[len(MAGIC) :]))
    named = {number: _text(value) for number, value in _fields(_bytes(envelope.get(1, b"")))}
    version, kind = named.get(1, ""), named.get(2, "")
    name = _kinds().get((version, kind))
    if name is None:
        raise DecodeError(f'no kind "{kind}" is registered for version "{version}" in protobuf')
    return {"kind": kind, "apiVersion": version, **_message(_bytes(envelope.get(2, b"")), definition(name))}


def _message(data: bytes, type: Struct) -> Object:
    made: Object = {}
    _fill(made, data, type.derive("protobuf", _tree))
    return made


def _fill(made: Object, data: bytes, tree: dict[int, Any]) -> None:
    """Puts a message's fields into the object; those of an embedded struct, a branch of the tree, beside the others."""
    for number, wire in _fields(data):
        leaf = tree.get(number)
        if isinstance(leaf, dict):
            _fill(made, _bytes(wire), leaf)
        elif leaf is not None:
            name, type = leaf
            made[name] = _repeated(made.get(name), wire, type)


def _repeated(before: Any, wire: Wire, type: Type) -> Any:
    """The value of a field after one more occurrence of it."""
    if isinstance(type, List):
        return [*(before or []), *_items(wire, type.items)]
    if isinstance(type, Map):
        entry = dict(_fields(_bytes(wire)))
        return {**(before or {}), _text(entry.get(1, b"")): _map_value(entry.get(2), type.values)}
    return _single(wire, type)


def _items(wire: Wire, type: Type) -> Iterator[Any]:
    if isinstance(type, Scalar) and type.kind not in ("string", "double") and isinstance(wire, bytes):
        yield from (_single(value, type) for value in _packed(wire))
    else:
        yield _single(wire, type)


def _map_value(wire: Wire | None, type: Type) -> Any:
    if isinstance(type, List):  # a named list, such as ExtraValue, is a message with the items in its field 1
        return [_single(value, type.items) for _, value in _fields(_bytes(wire or b""))]
    if wire is None:
        return 0 if isinstance(type, Scalar) and type.kind != "string" else _single(b"", type)
    return _single(wire, type)


def _single(wire: Wire, type: Type) -> Any:
    match type:
        case Scalar():
            return _scalar(wire, type.kind)
        case Struct():
            return _message(_bytes(wire), type)
        case Bytes():
            return base64.b64encode(_bytes(wire)).decode()
        case Time():
            return _time(_bytes(wire), type.micro)
        case Quantity():
            return _text(dict(_fields(_bytes(wire))).get(1, b"")) or "0"
        case IntOrString():
            parts = dict(_fields(_bytes(wire)))
            return _text(parts.get(3, b"")) if parts.get(1) else _integer(parts.get(2, 0))
        case Raw():
            return _raw(_bytes(dict(_fields(_bytes(wire))).get(1, b"")))
    raise DecodeError(f"{type.go} has no protobuf encoding")


def _scalar(wire: Wire, kind: str) -> Any:
    if kind == "string":
        return _text(wire)
    if kind == "double":
        data = _bytes(wire)
        if len(data) != 8:
            raise DecodeError(f"proto: a double of {len(data)} bytes")
        return struct.unpack("<d", data)[0]
    return bool(_integer(wire)) if kind == "boolean" else _integer(wire)


def _time(data: bytes, micro: bool) -> str | None:
    parts = dict(_fields(data))
    seconds, nanoseconds = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    if not seconds and not nanoseconds:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError as error:
        raise DecodeError(f"timestamp out of range: {seconds}") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _raw(data: bytes) -> Any:
    if data.startswith(MAGIC):
        return parse_protobuf(data)
    try:
        return orjson.loads(data) if data else None
    except orjson.JSONDecodeError as error:
        raise DecodeError(str(error)) from error


def _fields(data: bytes) -> Iterator[tuple[int, Wire]]:
    """The fields of a message in their order, by number. Raises `DecodeError` for what is cut short or of a type no message has."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise DecodeError(f"proto: illegal tag {number} (wire type {wire})")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise DecodeError(f"proto: illegal wireType {wire}")
        if at + size > len(data):
            raise DecodeError("unexpected EOF")
        yield number, data[at : at + size]
        at += size


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise DecodeError("unexpected EOF")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise DecodeError("proto: integer overflow")


def _integer(wire: Wire) -> int:
    """Two's complement of 64 bits, as protobuf writes negative numbers of either size."""
    if isinstance(wire, bytes):
        raise DecodeError("proto: wrong wireType = 2 for an integer")
    return wire - (1 << 64) if wire >> 63 else wire


def _bytes(wire: Wire) -> bytes:
    if isinstance(wire, int):
        raise DecodeError("proto: wrong wireType = 0 for a message or text")
    return wire


def _text(wire: Wire) -> str:
    try:
        return _bytes(wire).decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"string field contains invalid UTF-8: {error.reason}") from error


def _tree(type: Type) -> dict[int, Any]:
    """Fields by number, as (name, type); those of embedded structs in a tree of their own."""
    assert isinstance(type, Struct)
    tree: dict[int, Any] = {}
    for name, (*branches, number) in _numbers().get(type.name.removeprefix(PREFIX), {}).items():
        place = tree
        for branch in branches:
            place = place.setdefault(branch, {})
        place[number] = (name, type.fields[name].type)
    return tree


@functools.cache
def _numbers() -> dict[str, dict[str, list[int]]]:
    packed = resources.files("tiffin.machinery").joinpath("protobuf.json.gz").read_bytes()
    data: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress(packed))
    return data


@functools.cache
def _kinds() -> dict[tuple[str, str], str]:
    """Names of definitions by apiVersion and kind, of those that have numbers."""
    known = ((name, definition(name)) for name in definition_names() if name.removeprefix(PREFIX) in _numbers())
    return {(f"{group}/{version}" if group else version, kind): name for name, type in known for group, version, kind in type.kinds}
