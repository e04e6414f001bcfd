"""Turning stored entries into answers: objects, lists, Tables, PartialObjectMetadata; JSON, YAML and protobuf.

The stored encoding is the wire encoding: plain JSON answers are made of stored bytes and nothing is encoded again.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from tiffin.api.kind import Column
from tiffin.apiserver.negotiate import JSON, PLAIN, PROTOBUF, YAML, Form
from tiffin.apiserver.registry import Served
from tiffin.machinery import errors
from tiffin.machinery.object import Object, meta
from tiffin.machinery.protoencode import NoProtobuf, encode_protobuf
from tiffin.machinery.table import age
from tiffin.net.http import Response
from tiffin.store.mvcc import Entry

INCLUDE = ("None", "Metadata", "Object")


def encode(obj: Any, form: Form = PLAIN) -> bytes:
    """An object in the form's media type."""
    if form.media_type == YAML:
        from tiffin.machinery.yamlcodec import dump_yaml

        return dump_yaml(obj)
    if form.media_type == PROTOBUF:
        return as_protobuf(obj)
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2) if form.pretty else orjson.dumps(obj)


def as_protobuf(obj: Object) -> bytes:
    """Raises 406 for a kind that has no protobuf form."""
    try:
        return encode_protobuf(obj)
    except NoProtobuf as error:
        raise errors.not_acceptable(f"{error} and cannot be encoded to a protobuf message") from None


@lru_cache(maxsize=256)
def entry_protobuf(served: Served, entry: Entry) -> bytes:
    """An entry in the served version; those that watch one event share it."""
    return as_protobuf(served.from_stored(entry.object))


def respond(obj: Any, form: Form = PLAIN, status: int = 200) -> Response:
    return Response(status, {"Content-Type": form.media_type}, encode(obj, form))


def json_response(data: bytes, status: int = 200) -> Response:
    return Response(status, {"Content-Type": JSON}, data)


def partial(obj: Object, version: str) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj.get("metadata") or {}}


def columns_of(columns: Iterable[Column]) -> list[Object]:
    return [{"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority} for c in columns]


class Renderer:
    """Renders the objects of one resource for one request."""

    def __init__(self, served: Served, form: Form, now: datetime, include_object: str = "") -> None:
        if form.kind == "Table" and include_object and include_object not in INCLUDE:
            from tiffin.machinery.field import shown

            raise errors.bad_request(
                f"Unable to convert to Table as requested: includeObject: Invalid value: {shown(include_object)}: must be 'Metadata', 'Object', 'None', or empty")
        self.served, self.form, self.now, self.include = served, form, now, include_object or "Metadata"

    # one object

    def data(self, entry: Entry) -> bytes:
        """The plain JSON encoding in the served version."""
        if self.served.version is None:
            return entry.data
        return orjson.dumps(self.served.from_stored(entry.object))

    def entry_response(self, entry: Entry, status: int = 200) -> Response:
        if self.form.plain:
            return json_response(self.data(entry), status)
        return respond(self.transform(self.served.from_stored(entry.object)), self.form, status)

    def object_response(self, obj: Object, status: int = 200) -> Response:
        """For objects that are not stored (dry run): `obj` is in the served version."""
        return respond(self.transform(obj), self.form, status)

    def transform(self, obj: Object) -> Object:
        """The object in the form's kind."""
        kind = self.form.kind
        if kind == "Table":
            revision = meta(obj).get("resourceVersion")
            return self.table([obj], {"resourceVersion": revision} if revision else {})
        if kind == "PartialObjectMetadata":
            return partial(obj, self.form.version)
        return obj

    # tables

    def row(self, obj: Object) -> Object:
        kind, make = self.served.kind, self.served.row
        cells = make(obj, self.now) if make else [meta(obj).get("name", ""), age(obj, self.now)]
        row: Object = {"cells": cells}
        conditions = kind.row_conditions(obj) if kind.row_conditions else None
        if conditions:
            row["conditions"] = conditions
        row["object"] = None
        if self.include == "Metadata":
            row["object"] = partial(obj, self.form.version or "v1")
        elif self.include == "Object":
            row["object"] = obj
        return row

    def table(self, objects: Sequence[Object], metadata: Object, columns: bool = True) -> Object:
        table: Object = {"kind": "Table", "apiVersion": f"meta.k8s.io/{self.form.version}", "metadata": metadata}
        table["columnDefinitions"] = columns_of(self.served.columns) if columns else None
        table["rows"] = [self.row(obj) for obj in objects]
        return table

    # lists

    def list_response(self, entries: Sequence[Entry], metadata: Object) -> Response:
        served, form = self.served, self.form
        if form.plain:
            return json_response(self._list_json(entries, metadata))
        objects = [served.from_stored(entry.object) for entry in entries]
        if form.kind == "Table":
            return respond(self.table(objects, metadata), form)
        if form.kind:
            items = [partial(obj, form.version) for obj in objects]
            return respond({"kind": form.kind, "apiVersion": f"meta.k8s.io/{form.version}", "metadata": metadata, "items": items or None}, form)
        if not served.custom:
            objects = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in objects]
        return respond({"kind": list_kind(served), "apiVersion": served.api_version, "metadata": metadata, "items": objects}, form)

    def _list_json(self, entries: Sequence[Entry], metadata: Object) -> bytes:
        served = self.served
        if served.custom:
            metadata = {"continue": "", **metadata}
        head = orjson.dumps({"kind": list_kind(served), "apiVersion": served.api_version, "metadata": metadata})[:-1] + b',"items":['
        if served.custom:
            return b"%b%b]}\n" % (head, b",".join([self.data(e) for e in entries]))
        skip = len(served.head)
        if served.version is None:
            body = b",{".join([e.data[skip:] for e in entries])
        else:
            body = b",{".join([self.data(e)[skip:] for e in entries])
        return b"".join((head, b"{" if entries else b"", body, b"]}\n"))


def list_kind(served: Served) -> str:
    return f"{served.kind.kind}List"

