"""Values as they are after a round trip through Go: compiled, per type, into closures that work in place.

A normalizer takes a decoded JSON value and answers the value to keep, which is the same object wherever nothing changes.
`None` stands for null and gives the type's zero value. Whatever is not exactly as its type wants it (an unknown field, a wrong
kind of value, text that does not parse) raises `Doubt`; `decode.py` then walks the object slowly and says what is wrong and where.

What Go leaves out: a field with `omitempty` whose value is false, 0, "", an empty list or map, or a null pointer. Structs are
always written. Pointers keep zero values. Lists and maps that must be written but are empty come back as null, because the
stored form does not tell empty from absent. Source: encoding/json; the recorded answers of a reference server.
"""
from __future__ import annotations

import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiffin.machinery import quantity, rfc3339
from tiffin.machinery.schema import META, Bytes, Field, IntOrString, List, Map, Quantity, Raw, Scalar, SchemaOr, Struct, Time, Type

Normalizer = Callable[[Any], Any]
INT32, INT64 = 2**31, 2**63
TOLD_FROM_ABSENT = {
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec": ("versions",),
    "io.k8s.api.autoscaling.v2.HPAScalingRules": ("policies",),
    "io.k8s.api.core.v1.EphemeralContainer": ("ports", "resizePolicy", "restartPolicyRules"),
}
"""Lists whose empty form is not the same as none where defaults are filled in or violations found. All are refused when empty, so none is stored."""


class Doubt(Exception):
    """The value is not plainly of its type."""


class _Drop:
    """The mark of a field that is left out."""


DROP = _Drop()


def normalizer(type: Type) -> Normalizer:
    """The function for values of a type that stand in a list, a map, or alone; null becomes the zero value."""
    return type.derive("normalize", _compile)  # type: ignore[no-any-return]


def _compile(type: Type) -> Normalizer:
    if isinstance(type, Struct):
        return _struct(type)
    if isinstance(type, Map):
        return _map(type)
    if isinstance(type, List):
        return _list(type)
    if isinstance(type, Scalar):
        return _scalar(type.kind)
    if isinstance(type, Time):
        return _time(type.micro)
    if isinstance(type, Raw):
        return _object if type.objects else _raw
    if isinstance(type, SchemaOr):
        return _schema_or(type)
    return {Quantity: _quantity, IntOrString: _int_or_string, Bytes: _bytes}[type.__class__]  # type: ignore[index]


def _struct(type: Struct) -> Normalizer:
    table: dict[str, Normalizer] = {}
    written: list[tuple[str, Normalizer]] = []

    def prepare() -> None:
        for name, field in type.fields.items():
            table[name] = field_normalizer(field)
            if field_normalizer(field)(None) is not DROP:
                written.append((name, table[name]))
        if type.name == META + "ObjectMeta":
            table["managedFields"] = _reset_or(table["managedFields"])
        for name in TOLD_FROM_ABSENT.get(type.name, ()):
            if name in table:
                table[name] = _kept_empty(table[name])

    def struct(obj: Any) -> Any:
        if obj.__class__ is not dict:
            if obj is not None:
                raise Doubt
            obj = {}
        if not table:
            prepare()
        dropped: list[str] | None = None
        for name, value in obj.items():
            if name not in table:
                if type.preserve:
                    continue
                raise Doubt
            kept = table[name](value)
            if kept is not value:
                if kept is not DROP:
                    obj[name] = kept
                elif dropped is None:
                    dropped = [name]
                else:
                    dropped.append(name)
        if dropped is not None:
            for name in dropped:
                del obj[name]
        for name, make in written:
            if name not in obj:
                obj[name] = make(None)
        return obj

    return struct


def field_normalizer(field: Field) -> Normalizer:
    """The function for a field's values: like `normalizer`, but answers `DROP` for what Go leaves out."""
    inner = normalizer(field.type)
    if field.pointer:
        absent = None if field.always else DROP
        return lambda value: absent if value is None else inner(value)
    if isinstance(field.type, (Struct, Quantity, IntOrString, Time, Raw)):
        if field.omit_zero:
            return lambda value: DROP if value is None else inner(value)
        return inner
    if isinstance(field.type, (Map, List, Bytes)):
        empty = None if field.always else DROP
        return _collection(inner, empty)
    return inner if field.always else _omit_empty(inner)


def _kept_empty(inner: Normalizer) -> Normalizer:
    """An empty list stays one; absence and null are as before."""
    return lambda value: value if value == [] else inner(value)


def _reset_or(inner: Normalizer) -> Normalizer:
    """For managed fields an empty list is a request to forget them; one empty entry says the same and survives."""
    return lambda value: [{}] if value == [] else value if value == [{}] else inner(value)


def _omit_empty(inner: Normalizer) -> Normalizer:
    def scalar(value: Any) -> Any:
        return inner(value) or DROP

    return scalar


def _collection(inner: Normalizer, empty: Any) -> Normalizer:
    def collection(value: Any) -> Any:
        return empty if value is None else inner(value) or empty

    return collection


def _map(type: Map) -> Normalizer:
    value_of = normalizer(type.values)

    def mapping(obj: Any) -> Any:
        if obj.__class__ is not dict:
            if obj is None:
                return None
            raise Doubt
        for key, value in obj.items():
            kept = value_of(value)
            if kept is not value:
                obj[key] = kept
        return obj

    def texts(obj: Any) -> Any:
        if obj.__class__ is not dict:
            if obj is None:
                return None
            raise Doubt
        for key, value in obj.items():
            if value.__class__ is not str:
                if value is not None:
                    raise Doubt
                obj[key] = ""
        return obj

    return texts if isinstance(type.values, Scalar) and type.values.kind == "string" else mapping


def _list(type: List) -> Normalizer:
    item_of = normalizer(type.items)

    def array(values: Any) -> Any:
        if values.__class__ is not list:
            if values is None:
                return None
            raise Doubt
        for index, value in enumerate(values):
            kept = item_of(value)
            if kept is not value:
                values[index] = kept
        return values

    return array


def _scalar(kind: str) -> Normalizer:
    return {"string": _string, "boolean": _boolean, "int32": _int32, "int64": _int64, "double": _double}[kind]


def _string(value: Any) -> Any:
    if value.__class__ is str:
        return value
    if value is None:
        return ""
    raise Doubt


def _boolean(value: Any) -> Any:
    if value is True or value is False:
        return value
    if value is None:
        return False
    raise Doubt


def _int32(value: Any) -> Any:
    if value.__class__ is int and -INT32 <= value < INT32:
        return value
    if value is None:
        return 0
    raise Doubt


def _int64(value: Any) -> Any:
    if value.__class__ is int and -INT64 <= value < INT64:
        return value
    if value is None:
        return 0
    raise Doubt


def _double(value: Any) -> Any:
    if value.__class__ is int:
        return value
    if value.__class__ is float:
        return int(value) if value.is_integer() and abs(value) < 1e21 else value
    if value is None:
        return 0
    raise Doubt


def _quantity(value: Any) -> Any:
    if value is None:
        return "0"
    if value.__class__ is not str and value.__class__ is not int and value.__class__ is not float:
        raise Doubt
    try:
        return quantity.canonical(value)
    except ValueError:
        raise Doubt from None


def _int_or_string(value: Any) -> Any:
    return value if value.__class__ is str else _int32(value)


def _time(micro: bool) -> Normalizer:
    def time(value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is not str:
            raise Doubt
        try:
            if not micro and len(value) == 20 and value[19] == "Z" and value[10] == "T" and value[4] == "-":
                datetime.fromisoformat(value)
                return value
            return rfc3339.canonical(value, micro)
        except ValueError:
            raise Doubt from None

    return time


def _bytes(value: Any) -> Any:
    if value is None:
        return ""
    if value.__class__ is not str:
        raise Doubt
    try:
        plain = binascii.a2b_base64(value.replace("\n", "").replace("\r", ""), strict_mode=True)
    except ValueError:
        raise Doubt from None
    kept = binascii.b2a_base64(plain, newline=False).decode()
    return value if kept == value else kept


def _raw(value: Any) -> Any:
    return value


def _object(value: Any) -> Any:
    if value.__class__ is not dict and value is not None:
        raise Doubt
    return value


def _schema_or(type: SchemaOr) -> Normalizer:
    def schema(value: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is dict:
            return normalizer(type.schema)(value)
        if type.alternative == "boolean" and (value is True or value is False):
            return value
        if type.alternative == "list" and value.__class__ is list:
            return [normalizer(type.schema)(item) for item in value]
        if type.alternative == "strings" and value.__class__ is list and all(item.__class__ is str for item in value):
            return value
        raise Doubt

    return schema
