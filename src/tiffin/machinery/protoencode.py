"""Objects in Kubernetes' protobuf encoding: compiled, per struct, into closures that answer bytes.

The bytes are those a Go program writes: fields in the order of their numbers, maps in the order of their keys; a scalar or struct that
is no pointer is written even when it is zero, whereas absent pointers and empty lists are not. The object must be of its type, as
`decode_object` leaves it.

Source: protobuf.dev, "encoding"; gogo/protobuf's generated marshalling, and that of Time, Quantity and IntOrString in Kubernetes.
"""
from __future__ import annotations

import base64
import functools
import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from tiffin.machinery.object import Object
from tiffin.machinery.protodecode import MAGIC
from tiffin.machinery.protolayout import BYTES, Layout, layout, message_of, wire_type, wrapped
from tiffin.machinery.schema import Bytes, Field, IntOrString, List, Map, Quantity, Raw, Scalar, SchemaOr, Struct, Time, Type

Writer = Callable[[Any], bytes]
"""The bytes of a value that is not null; of values that have a length, without it."""


class NoProtobuf(Exception):
    """The kind has no protobuf form."""


def encode_protobuf(obj: Object) -> bytes:
    """The whole encoding of an object: the magic `k8s\\0` and a message `runtime.Unknown`. Raises NoProtobuf.

    An object without apiVersion is one of v1, as in the documents of discovery.
    """
    api_version, kind = obj.get("apiVersion") or "v1", obj["kind"]
    type = message_of(api_version, kind)
    if type is None:
        raise NoProtobuf(f"{kind} of {api_version} has no protobuf form")
    message = _struct(type)(obj)
    return b"".join((_envelope(api_version, kind), _varint(len(message)), message, b"\x1a\0\x22\0"))


@functools.lru_cache(maxsize=256)
def _envelope(api_version: str, kind: str) -> bytes:
    """What stands before the length of the message."""
    named = _delimited(b"\x0a", api_version.encode()) + _delimited(b"\x12", kind.encode())
    return MAGIC + _delimited(b"\x0a", named) + b"\x12"


def encode_event(type: str, whole: bytes) -> bytes:
    """A frame of a watch: four bytes of length and a message `WatchEvent` around an object's whole encoding."""
    message = _delimited(b"\x0a", type.encode()) + _delimited(b"\x12", _delimited(b"\x0a", whole))
    return len(message).to_bytes(4, "big") + message


# messages


def _struct(type: Struct) -> Writer:
    return type.derive("protobuf writer", lambda type: _Message(lambda: layout(type)).write)  # type: ignore[arg-type,no-any-return]


class _Message:
    """Writes the messages of one layout. The table of its fields is made when the first message is written."""

    def __init__(self, fields: Callable[[], Layout]) -> None:
        self.fields = fields
        self.table: list[tuple[str, Writer, bytes]] | None = None

    def write(self, obj: Object) -> bytes:
        pieces = []
        for name, write, absent in self.table if self.table is not None else self._prepare():
            if name:
                value = obj.get(name)
                pieces.append(absent if value is None else write(value))
            else:
                pieces.append(write(obj))
        return b"".join(pieces)

    def _prepare(self) -> list[tuple[str, Writer, bytes]]:
        """Name, writer and what is written when the field is absent; embedded structs have no name."""
        self.table = table = []
        for number, leaf in self.fields().items():
            if isinstance(leaf, dict):
                table.append(("", _embedded(number, leaf), b""))
            else:
                name, field = leaf
                table.append((name, _field(number, field.type), _absent(number, field)))
        return table


def _embedded(number: int, fields: Layout) -> Writer:
    tag, write = _tag(number, BYTES), _Message(lambda: fields).write
    return lambda obj: _delimited(tag, write(obj))


def _absent(number: int, field: Field) -> bytes:
    """What Go writes for a field that is not in the JSON form."""
    type = field.type
    if field.pointer or isinstance(type, (Map, List, Bytes)):
        return b""
    return _tag(number, wire_type(type)) + _zero(type)


def _zero(type: Type) -> bytes:
    """The zero value, with its length if it has one."""
    if isinstance(type, Scalar):
        return bytes(8) if type.kind == "double" else b"\0"
    if isinstance(type, SchemaOr):
        return b"\x02\x08\0" if type.alternative == "boolean" else b"\0"
    if isinstance(type, (Struct, Quantity, IntOrString)):
        return _delimited(b"", _value(type)({Quantity: "0", IntOrString: 0}.get(type.__class__, {})))
    return b"\0"


# fields: tag and value


def _field(number: int, type: Type) -> Writer:
    if isinstance(type, Map):
        return _map(_tag(number, BYTES), type)
    if isinstance(type, List) and not wrapped(type):
        return _list(number, type.items)
    tag, write = _tag(number, wire_type(type)), _value(type)
    if wire_type(type) != BYTES:
        return lambda value: tag + write(value)

    def whole(value: Any) -> bytes:
        data = write(value)
        return tag + _varint(len(data)) + data

    return whole


def _list(number: int, items: Type) -> Writer:
    write, tag = _field(number, items), _tag(number, wire_type(items))
    return lambda values: b"".join([tag + _zero(items) if value is None else write(value) for value in values])


def _map(tag: bytes, type: Map) -> Writer:
    write, absent = _field(2, type.values), Field(type.values)

    def entries(values: dict[str, Any]) -> bytes:
        pieces: list[bytes] = []
        for key in sorted(values):
            value = values[key]
            entry = _delimited(b"\x0a", key.encode()) + (_absent(2, absent) if value is None else write(value))
            pieces += (tag, _varint(len(entry)), entry)
        return b"".join(pieces)

    return entries


# values


def _value(type: Type) -> Writer:
    if isinstance(type, Struct):
        return _struct(type)
    if isinstance(type, List):
        return _list(1, type.items)
    if isinstance(type, SchemaOr):
        return _schema_or(type)
    return _SCALARS[type.kind] if isinstance(type, Scalar) else _LEAVES[type.__class__]


def _schema_or(type: SchemaOr) -> Writer:
    schema = _field(2 if type.alternative == "boolean" else 1, type.schema)
    listed = None if type.alternative == "boolean" else _list(2, Scalar("string") if type.alternative == "strings" else type.schema)

    def value(given: Any) -> bytes:
        if listed is None:
            return b"\x08\x01" + schema(given) if isinstance(given, dict) else b"\x08" + _boolean(given)
        return schema(given) if isinstance(given, dict) else listed(given)

    return value


def _boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


def _integer(value: int) -> bytes:
    return _varint(value & 0xFFFFFFFFFFFFFFFF)


def _double(value: float) -> bytes:
    return struct.pack("<d", value)


def _quantity(value: str) -> bytes:
    return _delimited(b"\x0a", str(value).encode())


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\0" + _delimited(b"\x1a", value.encode())
    return b"\x08\0\x10" + _integer(value) + b"\x1a\0"


@functools.lru_cache(maxsize=1024)
def _time(value: str) -> bytes:
    moment = datetime.fromisoformat(value)
    seconds = (moment.toordinal() - 719163) * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    return b"\x08" + _integer(seconds) + b"\x10" + _integer(moment.microsecond * 1000)


def _raw(value: Any) -> bytes:
    return _delimited(b"\x0a", orjson.dumps(value))


_SCALARS: dict[str, Writer] = {"string": str.encode, "boolean": _boolean, "int32": _integer, "int64": _integer, "double": _double}
_LEAVES: dict[type[Type], Writer] = {
    Bytes: base64.b64decode, Quantity: _quantity, IntOrString: _int_or_string, Time: _time, Raw: _raw}


# the wire


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _delimited(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _many_bytes(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


_SHORT = tuple(_many_bytes(value) for value in range(1024))


def _varint(value: int) -> bytes:
    return _SHORT[value] if value < 1024 else _many_bytes(value)
