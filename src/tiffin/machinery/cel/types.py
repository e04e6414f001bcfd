"""Types as the checker knows them.

A `Type` is a kind, a name and parameters: `list(int)` is kind list, parameters (int,). Structs have fields, looked up by name when
needed; a struct's field may be stored under another key than CEL calls it (`Field.key`). Two types are equal when kind, name and
parameters are. Source: cel-spec "Type system"; cel-go's common/types.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Type:
    """A type. `adapt` turns a JSON value of the type into its run-time value; None where JSON already is that value."""

    __slots__ = ("adapt", "fields", "kind", "limits", "name", "params")

    def __init__(self, kind: str, name: str = "", params: tuple[Type, ...] = (), *, fields: Fields | None = None,
                 adapt: Callable[[Any], Any] | None = None, limits: Limits | None = None) -> None:
        self.kind, self.name, self.params, self.fields, self.adapt = kind, name or kind, params, fields, adapt
        self.limits = limits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.kind == other.kind and self.name == other.name and self.params == other.params

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.params))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.params))})" if self.params else self.name

    __repr__ = __str__


class Limits:
    """What a declared type promises: `size` is the most elements, entries or characters, `serialized` the fewest bytes it takes."""

    __slots__ = ("serialized", "size")

    def __init__(self, size: int | None, serialized: int) -> None:
        self.size, self.serialized = size, serialized


class Field:
    """A field of a struct: its type, and the key it has in the object."""

    __slots__ = ("key", "type")

    def __init__(self, type_: Type, key: str) -> None:
        self.type, self.key = type_, key


class Fields:
    """The fields of a struct, by CEL name. The mapping may be made when first asked for, so types may contain themselves."""

    __slots__ = ("_source",)

    def __init__(self, source: Mapping[str, Field] | Callable[[], Mapping[str, Field]]) -> None:
        self._source = source

    def all(self) -> Mapping[str, Field]:
        if callable(self._source):
            self._source = self._source()
        return self._source

    def get(self, name: str) -> Field | None:
        return self.all().get(name)


class AnyFields(Fields):
    """A struct that takes any field, of type dyn."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__({})

    def get(self, name: str) -> Field | None:
        return Field(DYN, name)


BOOL, INT, UINT, DOUBLE, STRING, BYTES = (Type(kind) for kind in ("bool", "int", "uint", "double", "string", "bytes"))
DYN, NULL, ERROR, UNSPECIFIED = Type("dyn"), Type("null", "null_type"), Type("error", "*error*"), Type("unspecified")
TIMESTAMP, DURATION = Type("timestamp", "google.protobuf.Timestamp"), Type("duration", "google.protobuf.Duration")


def list_of(element: Type) -> Type:
    """list(element)."""
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """map(key, value)."""
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    """optional_type(value)."""
    return Type("opaque", "optional_type", (value,))


def type_of(named: Type) -> Type:
    """The type of a type: type(named)."""
    return Type("type", "type", (named,))


def opaque(name: str) -> Type:
    """A type only functions know how to handle."""
    return Type("opaque", name)


def param(name: str) -> Type:
    """A type parameter of a signature, or a variable of the checker."""
    return Type("param", name)


def struct(name: str, fields: Mapping[str, Type] | Fields) -> Type:
    """An object with declared fields, stored under their own names."""
    return Type("struct", name, fields=fields if isinstance(fields, Fields) else Fields({n: Field(t, n) for n, t in fields.items()}))


def is_optional(type_: Type) -> bool:
    return type_.kind == "opaque" and type_.name == "optional_type"


def unwrapped(type_: Type) -> Type:
    """The value type of an optional, any other type as it is."""
    return type_.params[0] if is_optional(type_) else type_


_SHOWN = {"duration": "duration", "timestamp": "timestamp", "error": "!error!", "null": "null", "unspecified": ""}


def shown(type_: Type) -> str:
    """A type as the checker's messages print it."""
    if type_.kind in _SHOWN:
        return _SHOWN[type_.kind]
    return f"{type_.name}({', '.join(map(shown, type_.params))})" if type_.params else type_.name


LIST, MAP = list_of(DYN), map_of(DYN, DYN)
