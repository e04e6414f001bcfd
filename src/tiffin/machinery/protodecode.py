"""Messages of Kubernetes' protobuf encoding, read into what the same object is in JSON: compiled, per struct, into closures.

A reader takes a field's place in the message, `data[at:stop]` or an integer, and puts its value into the object. Fields that are
unknown are skipped; a message that comes twice is merged, another value that comes twice is the last one. What Go would leave out of
JSON is left to `decode_object`. Whatever cannot be read raises `DecodeError`, also in a reader's middle; nothing is read past `stop`.

Source: protobuf.dev, "encoding"; the marshalling of Time, Quantity and IntOrString in Kubernetes' API machinery.
"""
from __future__ import annotations

import base64
import functools
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tiffin.machinery.jsoncodec import MOST_NESTED, DecodeError, check_number
from tiffin.machinery.object import Object
from tiffin.machinery.protolayout import BYTES, FIXED32, FIXED64, VARINT, Layout, layout, message_of, wire_type, wrapped
from tiffin.machinery.schema import Bytes, Field, IntOrString, List, Map, Quantity, Raw, Scalar, SchemaOr, Struct, Time, Type

MAGIC = b"k8s\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Whole = Callable[[bytes, int, int], Any]
"""The value of a field that has a length: its bytes are `data[at:stop]`."""
Number = Callable[[int], Any]
"""The value of a varint or of a fixed field, from its 64 bits."""


def parse_protobuf(body: bytes) -> Object:
    """The object of a body: the magic `k8s\\0` and a message `runtime.Unknown` with its kind and, as bytes, itself. Raises DecodeError."""
    try:
        made = _enveloped(body)
    except RecursionError:
        raise DecodeError("exceeded max depth") from None
    if len(body) > MOST_NESTED:  # which takes two bytes for each
        check_number(made)
    return made


def _enveloped(body: bytes) -> Object:
    if not body.startswith(MAGIC):
        raise DecodeError(f"provided data does not appear to be a protobuf message, expected prefix [{' '.join(map(str, MAGIC))}]")
    envelope = _parts(body, len(MAGIC), len(body))
    given = envelope.get(0x0A, b"")
    named = _parts(given, 0, len(given))
    version, kind = _decoded(named.get(0x0A, b"")), _decoded(named.get(0x12, b""))
    type = message_of(version, kind)
    if type is None:
        raise DecodeError(f'no kind "{kind}" is registered for version "{version}" in protobuf')
    made: Object = {"kind": kind, "apiVersion": version}
    raw = envelope.get(0x12, b"")
    _filler(type)(made, raw, 0, len(raw))
    return made


def read_varint(data: bytes, at: int, stop: int) -> tuple[int, int]:
    """A varint's 64 bits and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            raise DecodeError("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise DecodeError("proto: integer overflow")


def _filler(type: Struct) -> Callable[[Object, bytes, int, int], None]:
    return type.derive("protobuf filler", lambda type: _Filler(layout(type)).fill)  # type: ignore[arg-type,no-any-return]


class _Filler:
    """Puts the fields of one message into an object. The table of readers, by tag, is made when the first message comes."""

    def __init__(self, fields: Layout) -> None:
        self.fields = fields
        self.readers: dict[int, Callable[..., None]] = {}

    def fill(self, made: Object, data: bytes, at: int, stop: int) -> None:
        readers = self.readers or self._prepare()
        while at < stop:
            tag = data[at]
            at += 1
            if tag > 0x7F:
                tag, at = read_varint(data, at - 1, stop)
            wire = tag & 7
            if wire == BYTES:
                size = data[at] if at < stop else 0x80
                at += 1
                if size > 0x7F:
                    size, at = read_varint(data, at - 1, stop)
                end = at + size
                if end > stop:
                    raise DecodeError("unexpected EOF")
                reader = readers.get(tag)
                if reader is not None:
                    reader(made, data, at, end)
                elif tag < 8 or tag >> 3 in self.fields:
                    raise _wrong(tag)
                at = end
            else:
                value, at = _integer_field(data, at, stop, tag)
                reader = readers.get(tag)
                if reader is not None:
                    reader(made, value)
                elif tag >> 3 in self.fields:
                    raise _wrong(tag)

    def _prepare(self) -> dict[int, Callable[..., None]]:
        for number, leaf in self.fields.items():
            if isinstance(leaf, dict):
                self.readers[number << 3 | BYTES] = _Filler(leaf).fill
                continue
            name, field = leaf
            type = field.type
            repeated = isinstance(type, List) and not wrapped(type)
            self.readers[number << 3 | wire_type(type.items if isinstance(type, List) and repeated else type)] = _reader(name, type)
            if isinstance(type, List) and repeated and wire_type(type.items) == VARINT:
                self.readers[number << 3 | BYTES] = _packed_reader(name, type.items)
        return self.readers


def _wrong(tag: int) -> DecodeError:
    return DecodeError(f"proto: wrong wireType = {tag & 7} for field {tag >> 3}" if tag >> 3 else f"proto: illegal tag 0 (wire type {tag & 7})")


def _integer_field(data: bytes, at: int, stop: int, tag: int) -> tuple[int, int]:
    """The bits of a field that is no bytes, and where it ends."""
    wire = tag & 7
    if tag < 8:
        raise _wrong(tag)
    if wire == VARINT:
        return read_varint(data, at, stop)
    if wire not in (FIXED64, FIXED32):
        raise DecodeError(f"proto: illegal wireType {wire}")
    end = at + (8 if wire == FIXED64 else 4)
    if end > stop:
        raise DecodeError("unexpected EOF")
    return int.from_bytes(data[at:end], "little"), end


# readers: from a field to its place in the object


def _reader(name: str, type: Type) -> Callable[..., None]:
    if isinstance(type, Struct):
        return _struct_reader(name, type)
    if isinstance(type, Map):
        return _map_reader(name, type)
    if isinstance(type, List) and not wrapped(type):
        return _list_reader(name, type.items)
    if wire_type(type) != BYTES:
        convert = _number(type)

        def number(made: Object, bits: int) -> None:
            made[name] = convert(bits)

        return number
    whole = _whole(type)

    def value(made: Object, data: bytes, at: int, stop: int) -> None:
        made[name] = whole(data, at, stop)

    return value


def _struct_reader(name: str, type: Struct) -> Callable[..., None]:
    fill = _filler(type)

    def message(made: Object, data: bytes, at: int, stop: int) -> None:
        inner = made.get(name)
        if inner is None:
            inner = made[name] = {}
        fill(inner, data, at, stop)

    return message


def _list_reader(name: str, items: Type) -> Callable[..., None]:
    if wire_type(items) != BYTES:
        convert = _number(items)

        def number(made: Object, bits: int) -> None:
            made.setdefault(name, []).append(convert(bits))

        return number
    whole = _whole(items)

    def item(made: Object, data: bytes, at: int, stop: int) -> None:
        made.setdefault(name, []).append(whole(data, at, stop))

    return item


def _packed_reader(name: str, items: Type) -> Callable[..., None]:
    convert = _number(items)

    def packed(made: Object, data: bytes, at: int, stop: int) -> None:
        values = made.setdefault(name, [])
        while at < stop:
            bits, at = read_varint(data, at, stop)
            values.append(convert(bits))

    return packed


def _map_reader(name: str, type: Map) -> Callable[..., None]:
    value_tag = 2 << 3 | wire_type(type.values)
    whole = _whole(type.values) if value_tag & 7 == BYTES else None
    convert = _number(type.values) if whole is None else None

    def entry(made: Object, data: bytes, at: int, stop: int) -> None:
        parts = _parts(data, at, stop)
        given = parts.get(value_tag)
        if convert is not None:
            value = convert(given or 0)
        elif whole is not None:
            value = whole(given or b"", 0, len(given or b""))
        made.setdefault(name, {})[_decoded(parts.get(0x0A, b""))] = value

    return entry


# values


def _whole(type: Type) -> Whole:
    """The function for values that have a length."""
    if isinstance(type, Struct):
        return _message(type)
    if isinstance(type, List):
        return _wrapped(type)
    if isinstance(type, SchemaOr):
        return _schema_or(type)
    if isinstance(type, Scalar):
        return _text
    if isinstance(type, Time):
        return _micro_time if type.micro else _time
    return {Bytes: _base64, Quantity: _quantity, IntOrString: _int_or_string, Raw: _raw}[type.__class__]  # type: ignore[index]


def _number(type: Type) -> Number:
    assert isinstance(type, Scalar)
    numbers: dict[str, Number] = {"boolean": bool, "int32": _int32, "int64": _int64, "double": _double}
    return numbers[type.kind]


def _message(type: Struct) -> Whole:
    fill = _filler(type)

    def message(data: bytes, at: int, stop: int) -> Object:
        made: Object = {}
        fill(made, data, at, stop)
        return made

    return message


def _wrapped(type: List) -> Whole:
    whole = _whole(type.items)

    def values(data: bytes, at: int, stop: int) -> list[Any]:
        made: list[Any] = []
        while at < stop:
            tag, at = read_varint(data, at, stop)
            if tag & 7 != BYTES:
                _, at = _integer_field(data, at, stop, tag)
                continue
            size, at = read_varint(data, at, stop)
            if at + size > stop:
                raise DecodeError("unexpected EOF")
            if tag == 0x0A:
                made.append(whole(data, at, at + size))
            at += size
        return made

    return values


def _schema_or(type: SchemaOr) -> Whole:
    """A message with the schema and what may stand in its place."""
    schema = Field(lambda: type.schema)
    if type.alternative == "boolean":
        choice: Layout = {1: ("allows", Field(Scalar("boolean"))), 2: ("schema", schema)}
    else:
        items: Type = Scalar("string") if type.alternative == "strings" else type.schema
        choice = {1: ("schema", schema), 2: ("list", Field(List(items)))}
    fill = _Filler(choice).fill

    def value(data: bytes, at: int, stop: int) -> Any:
        made: Object = {}
        fill(made, data, at, stop)
        if "schema" in made:
            return made["schema"]
        return made.get("allows", False) if type.alternative == "boolean" else made.get("list")

    return value


def _text(data: bytes, at: int, stop: int) -> str:
    return _decoded(data[at:stop])


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"string field contains invalid UTF-8: {error.reason}") from error


def _base64(data: bytes, at: int, stop: int) -> str:
    return base64.b64encode(data[at:stop]).decode()


def _int32(bits: int) -> int:
    return (bits + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def _int64(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits


def _double(bits: int) -> float | None:
    value: float = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    if value - value != 0:
        raise DecodeError("proto: a number that JSON does not have")
    return value


def _parts(data: bytes, at: int, stop: int) -> dict[int, Any]:
    """The fields of a small message by tag: bytes or bits."""
    found: dict[int, Any] = {}
    while at < stop:
        tag, at = read_varint(data, at, stop)
        if tag & 7 != BYTES:
            found[tag], at = _integer_field(data, at, stop, tag)
            continue
        size, at = read_varint(data, at, stop)
        if at + size > stop:
            raise DecodeError("unexpected EOF")
        found[tag] = data[at:at + size]
        at += size
    return found


def _quantity(data: bytes, at: int, stop: int) -> str:
    return _decoded(_parts(data, at, stop).get(0x0A, b"")) or "0"


def _int_or_string(data: bytes, at: int, stop: int) -> int | str:
    parts = _parts(data, at, stop)
    return _decoded(parts.get(0x1A, b"")) if parts.get(0x08) else _int32(parts.get(0x10, 0))


def _time(data: bytes, at: int, stop: int) -> str | None:
    return _moment(data[at:stop])[:19] + "Z" if at < stop else None


def _micro_time(data: bytes, at: int, stop: int) -> str | None:
    return _moment(data[at:stop]) + "Z" if at < stop else None


@functools.lru_cache(maxsize=1024)
def _moment(data: bytes) -> str:
    parts = _parts(data, 0, len(data))
    seconds, nanoseconds = _int64(parts.get(0x08, 0)), _int32(parts.get(0x10, 0))
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        raise DecodeError(f"timestamp out of range: {seconds}") from None
    return moment.isoformat(timespec="microseconds")[:26]


def _raw(data: bytes, at: int, stop: int) -> Any:
    raw = _parts(data, at, stop).get(0x0A, b"")
    if raw.startswith(MAGIC):
        return _enveloped(raw)
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as error:
        raise DecodeError(str(error)) from None
