"""Types of objects: what the fields are, which lists merge by which keys, and what Go leaves out when it writes a value.

A `Type` is one of the small classes below. Built-in kinds have theirs in `schema.json.gz` (made by `scripts/make_schema.py`,
which documents the codes): `definition("io.k8s.api.core.v1.Pod")`. A definition is compiled when first asked for, and its fields
when first looked at, so a process pays only for the kinds it touches. Custom resources build the same classes from their
structural schema.

Types are immutable once made and compared by identity; consumers may cache what they derive from one.

Source: OpenAPI extensions x-kubernetes-list-type, -list-map-keys, -map-type, -patch-merge-key, -patch-strategy; encoding/json.
"""
from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from importlib import resources
from typing import Any


class Type:
    """Base of all types. `go` is the Go type as error messages print it."""

    __slots__ = ("_derived", "go")

    def __init__(self, go: str) -> None:
        self.go = go
        self._derived: dict[str, Any] = {}

    def derive(self, purpose: str, make: Callable[[Type], Any]) -> Any:
        """What `make` makes of this type, made once per purpose: compiled decoders, extractors and the like."""
        try:
            return self._derived[purpose]
        except KeyError:
            made = self._derived[purpose] = make(self)
            return made


class Scalar(Type):
    """Text, boolean or number. `kind` is string, boolean, int32, int64 or double; `enum` the values that are known, if any."""

    __slots__ = ("enum", "kind")

    def __init__(self, kind: str, go: str = "", enum: tuple[str, ...] = ()) -> None:
        super().__init__(go or {"boolean": "bool", "double": "float64"}.get(kind, kind))
        self.kind, self.enum = kind, enum


class Quantity(Type):
    """A resource quantity: text or a number on the way in, canonical text afterwards."""

    __slots__ = ()


class IntOrString(Type):
    """A 32-bit integer or text."""

    __slots__ = ()


class Time(Type):
    """RFC 3339 text, UTC, whole seconds; `micro` times have six digits of fraction."""

    __slots__ = ("micro",)

    def __init__(self, micro: bool = False) -> None:
        super().__init__("v1.MicroTime" if micro else "v1.Time")
        self.micro = micro


class Bytes(Type):
    """Base64 text (RFC 4648, padded)."""

    __slots__ = ()


class Raw(Type):
    """Any JSON, kept as it is: RawExtension, FieldsV1, JSON, and what a schema preserves. `objects` refuses anything but objects."""

    __slots__ = ("objects",)

    def __init__(self, go: str = "interface {}", objects: bool = False) -> None:
        super().__init__(go)
        self.objects = objects


class SchemaOr(Type):
    """A JSON schema or something else: "boolean", "list" (of schemas) or "strings"."""

    __slots__ = ("alternative",)

    def __init__(self, alternative: str) -> None:
        super().__init__({"boolean": "v1.JSONSchemaPropsOrBool", "list": "v1.JSONSchemaPropsOrArray"}.get(alternative, "v1.JSONSchemaPropsOrStringArray"))
        self.alternative = alternative

    @property
    def schema(self) -> Struct:
        return definition(JSON_SCHEMA)


class Struct(Type):
    """Named fields; `fields` is in Go's order. `atomic` structs have one owner. `preserve` keeps fields that are not declared.

    `source` is the OpenAPI schema a custom resource's type was made from, if there was one.
    """

    __slots__ = ("_fields", "atomic", "kinds", "name", "preserve", "source", "unions")

    def __init__(self, name: str, fields: dict[str, Field] | Callable[[], dict[str, Field]], *, go: str = "", atomic: bool = False,
                 preserve: bool = False, kinds: tuple[tuple[str, str, str], ...] = (), unions: list[Any] | None = None,
                 source: dict[str, Any] | None = None) -> None:
        super().__init__(go or ".".join(name.split(".")[-2:]))
        self.source = source
        self.name, self._fields, self.atomic, self.preserve, self.kinds, self.unions = name, fields, atomic, preserve, kinds, unions

    @property
    def fields(self) -> dict[str, Field]:
        if callable(self._fields):
            self._fields = self._fields()
        return self._fields


class Map(Type):
    """Text to values of one type. `atomic` maps have one owner."""

    __slots__ = ("atomic", "values")

    def __init__(self, values: Type, go: str = "", atomic: bool = False) -> None:
        super().__init__(go or f"map[string]{values.go}")
        self.values, self.atomic = values, atomic


class List(Type):
    """`list_type` is atomic, set or map; lists of type map tell their elements apart by `keys`. `listed`: the schema says so."""

    __slots__ = ("items", "keys", "list_type", "listed")

    def __init__(self, items: Type, list_type: str = "", keys: tuple[str, ...] = (), go: str = "") -> None:
        super().__init__(go or f"[]{items.go}")
        self.items, self.list_type, self.listed, self.keys = items, list_type or "atomic", bool(list_type), keys


class Field:
    """A field of a struct.

    `pointer`: zero values are kept, null is absence. `always`: written even when empty. `omit_zero`: left out when null although
    a struct. `required` as in OpenAPI. `merge_key` and `strategy` serve strategic merge patches; `default` is the schema's;
    `embedded` names the Go structs between owner and field.
    """

    __slots__ = ("_type", "always", "default", "embedded", "merge_key", "omit_zero", "pointer", "required", "strategy")

    def __init__(self, type: Type | Callable[[], Type], *, pointer: bool = False, always: bool = False, omit_zero: bool = False,
                 required: bool = False, merge_key: str = "", strategy: tuple[str, ...] = (), default: Any = None,
                 embedded: tuple[str, ...] = ()) -> None:
        self._type, self.pointer, self.always, self.omit_zero, self.required = type, pointer, always, omit_zero, required
        self.merge_key, self.strategy, self.default, self.embedded = merge_key, strategy, default, embedded

    @property
    def type(self) -> Type:
        if not isinstance(self._type, Type):
            self._type = self._type()
        return self._type


PREFIX = "io.k8s.api."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


@functools.cache
def _data() -> dict[str, Any]:
    packed = resources.files("tiffin.machinery").joinpath("schema.json.gz").read_bytes()
    data: dict[str, Any] = json.loads(gzip.decompress(packed))
    return data


def declare(definitions: dict[str, dict[str, Any]]) -> None:
    """Adds definitions to those of the data file, in its form; a name that is known already is left as it is.

    Versions that Kubernetes has retired are declared this way when they are served. `b` names the definition one was made from, `t` has
    descriptions of fields, and under "" of the whole.
    """
    for name, made in definitions.items():
        _data()["definitions"].setdefault(name.removeprefix(PREFIX), made)


def declaration(name: str) -> dict[str, Any]:
    """A definition in the form of the data file, read-only; empty if there is none."""
    found: dict[str, Any] = _data()["definitions"].get(name.removeprefix(PREFIX), {})
    return found


def prose_name(name: str) -> str:
    """The definition whose descriptions also hold for this one: the one it was made from."""
    return _long(declaration(name).get("b", name))


def definition_names() -> list[str]:
    """Every definition's full name, sorted."""
    return sorted(_long(name) for name in _data()["definitions"])


@functools.cache
def definition(name: str) -> Struct:
    """The type of a definition such as `io.k8s.api.core.v1.Pod`; KeyError if there is none (or it is not a struct)."""
    made = _data()["definitions"][name.removeprefix(PREFIX)]
    specs = made["f"]
    return Struct(name, lambda: {field: _field(spec) for field, spec in specs.items()}, atomic=made.get("m") == "atomic",
                  kinds=tuple(tuple(k) for k in made.get("g", ())), unions=made.get("u"))


def leaf_kinds() -> dict[str, str]:
    """The definitions that are not structs, each with the last part of its name: `Quantity`, `Time`, …"""
    return {_long(name): name.rpartition(".")[2] for name, made in _data()["definitions"].items() if "f" not in made}


def _long(name: str) -> str:
    return name if name.startswith("io.k8s.") else PREFIX + name


def _field(spec: str | list[Any]) -> Field:
    text, extras = (spec, {}) if isinstance(spec, str) else spec
    code = text.lstrip("+!0*")
    flags = text[:len(text) - len(code)]
    return Field(lambda: _type(code, extras)[0], pointer="*" in flags, always="!" in flags, omit_zero="0" in flags, required="+" in flags,
                 merge_key=extras.get("mk", ""), strategy=tuple(filter(None, extras.get("ps", "").split(","))), default=extras.get("d"),
                 embedded=tuple(extras.get("e", ())))


_NOTHING: dict[str, Any] = {}
_SCALARS = {"s": "string", "b": "boolean", "i": "int32", "l": "int64", "d": "double"}
_LEAVES: dict[str, Type] = {
    "q": Quantity("resource.Quantity"), "x": IntOrString("intstr.IntOrString"), "T": Time(), "M": Time(micro=True), "B": Bytes("[]uint8"),
    "R": Raw("runtime.RawExtension"), "F": Raw("v1.FieldsV1"), "J": Raw("v1.JSON"),
    "o": SchemaOr("boolean"), "a": SchemaOr("list"), "t": SchemaOr("strings"),
} | {code: Scalar(kind) for code, kind in _SCALARS.items()}


def _type(code: str, extras: dict[str, Any]) -> tuple[Type, str]:
    """The type that a code begins with, and the rest of the code. Extras apply to the outermost list, map or struct."""
    head, rest, go = code[0], code[1:], ""
    if rest.startswith("="):
        go, _, rest = rest[1:].partition(";")
    if head == "[":
        items, rest = _type(rest, _NOTHING)
        return List(items, extras.get("lt", ""), tuple(extras.get("lk", ())), go), rest
    if head == "{":
        values, rest = _type(rest, _NOTHING)
        return Map(values, go, extras.get("mt") == "atomic"), rest
    if head == "@":
        return _reference(_long(rest), extras), ""
    return (_named(head, go) if go else _LEAVES[head]), rest


@functools.cache
def _named(code: str, go: str) -> Scalar:
    return Scalar(_SCALARS[code], go, tuple(_data()["enums"].get(go, ())))


def _reference(name: str, extras: dict[str, Any]) -> Struct:
    whole = definition(name)
    atomic = extras.get("mt", "") == "atomic" if "mt" in extras else whole.atomic
    if atomic == whole.atomic:
        return whole
    return Struct(name, lambda: whole.fields, go=whole.go, atomic=atomic, kinds=whole.kinds, unions=whole.unions)
