"""Table columns of custom resources: name, then what `additionalPrinterColumns` says, or else the age.

A cell is the first thing its path finds, in the type its column has: a whole number, a number, true or false, an age for a date, or
text (JSON for lists and objects); null where nothing fits. Source: CRD docs, "Additional printer columns".
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from tiffin.api.kind import Column
from tiffin.machinery.field import go_number
from tiffin.machinery.jsonpath import PathError, compile_path
from tiffin.machinery.object import Object
from tiffin.machinery.table import age, name, since

CREATED = ".metadata.creationTimestamp"
INVALID = "<invalid>"
_NAME_PROSE = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the "
    "generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. "
    "Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names")
_CREATED_PROSE = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before "
    "order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. "
    "Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata")

Cell = Callable[[Object, datetime], Any]


def table(declared: list[dict[str, Any]]) -> tuple[tuple[Column, ...], Callable[[Object, datetime], list[Any]]]:
    """The columns of a version and the function for a row."""
    columns = [Column("Name", format="name", description=_NAME_PROSE)]
    if not declared:
        columns.append(Column("Age", "date", description=_CREATED_PROSE))
        return tuple(columns), lambda obj, now: [name(obj), age(obj, now)]
    for column in declared:
        told = column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
        columns.append(Column(column["name"], column["type"], column.get("format", ""), column.get("priority", 0), told))
    cells = [_cell(column["jsonPath"], column["type"]) for column in declared]
    return tuple(columns), lambda obj, now: [name(obj), *(cell(obj, now) for cell in cells)]


def _cell(path: str, type: str) -> Cell:
    if path == CREATED and type == "date":
        return age
    try:
        find = compile_path(path)
    except PathError:
        return lambda obj, now: None
    convert = _CONVERSIONS[type]

    def cell(obj: Object, now: datetime) -> Any:
        found = find(obj)
        return convert(found[0], now) if found and found[0] is not None else None

    return cell


def _integer(value: Any, now: datetime) -> Any:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _number(value: Any, now: datetime) -> Any:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _boolean(value: Any, now: datetime) -> Any:
    return value if isinstance(value, bool) else None


def _text(value: Any, now: datetime) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return go_number(value) if isinstance(value, (int, float)) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _date(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return since(value, now)
    except ValueError:
        return INVALID


_CONVERSIONS: dict[str, Callable[[Any, datetime], Any]] = {
    "integer": _integer, "number": _number, "boolean": _boolean, "string": _text, "date": _date}
