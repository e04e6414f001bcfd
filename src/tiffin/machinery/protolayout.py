"""Where fields stand in Kubernetes' protobuf messages: numbers, and the Go structs that are messages of their own.

Numbers of fields come from `protobuf.json.gz` (made by `scripts/make_protobuf.py`), their types from the schema, so nothing is written
down twice. A Go struct that is embedded in another has its fields beside the others in JSON but is a message of its own in protobuf: a
branch of the layout.
"""
from __future__ import annotations

import functools
import gzip
import json
from importlib import resources
from typing import Any

from tiffin.machinery.schema import META, PREFIX, Field, List, Scalar, Struct, Type, definition, definition_names

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types: what follows a tag."""

Layout = dict[int, "tuple[str, Field] | Layout"]
"""Fields by number, in the order of the numbers: name and field, or the layout of an embedded struct."""


def layout(type: Struct) -> Layout:
    """The layout of a struct; KeyError if it has no protobuf form."""
    return type.derive("protobuf layout", _layout)  # type: ignore[no-any-return]


def _layout(type: Type) -> Layout:
    assert isinstance(type, Struct)
    made: Layout = {}
    paths = _numbers()[type.name.removeprefix(PREFIX)]
    for name, (*branches, number) in sorted(paths.items(), key=lambda item: item[1]):
        place: Any = made
        for branch in branches:
            place = place.setdefault(branch, {})
        place[number] = (name, type.fields[name])
    return made


def wrapped(type: Type) -> bool:
    """A list with a name of its own, such as ExtraValue: a message with the items in its field 1, which may be absent."""
    return isinstance(type, List) and not type.go.startswith("[]")


def wire_type(type: Type) -> int:
    """What follows the tags of a type's values."""
    if isinstance(type, Scalar) and type.kind != "string":
        return FIXED64 if type.kind == "double" else VARINT
    return BYTES


@functools.cache
def message_of(api_version: str, kind: str) -> Struct | None:
    """The struct of a kind that has a protobuf form; custom resources have none."""
    name = _kinds().get((api_version, kind))
    return None if name is None else _partial(name) if name in _PARTIAL else definition(name)


@functools.cache
def _numbers() -> dict[str, dict[str, list[int]]]:
    packed = resources.files("tiffin.machinery").joinpath("protobuf.json.gz").read_bytes()
    data: dict[str, dict[str, list[int]]] = json.loads(gzip.decompress(packed))
    return data


@functools.cache
def _kinds() -> dict[tuple[str, str], str]:
    """Names of definitions by apiVersion and kind, of those that have numbers."""
    known = ((name, definition(name)) for name in definition_names() if name.removeprefix(PREFIX) in _numbers())
    kinds = {(f"{group}/{version}" if group else version, kind): name for name, type in known for group, version, kind in type.kinds}
    return kinds | {(f"meta.k8s.io/{version}", name.removeprefix(META)): name for name in _PARTIAL for version in ("v1", "v1beta1")}


_PARTIAL = (f"{META}PartialObjectMetadata", f"{META}PartialObjectMetadataList")


@functools.cache
def _partial(name: str) -> Struct:
    """The two kinds that are no definitions of the schema because only answers have them."""
    named = {"kind": Field(Scalar("string")), "apiVersion": Field(Scalar("string"))}
    if name.endswith("List"):
        items = Field(lambda: List(_partial(_PARTIAL[0])), always=True)
        return Struct(name, {**named, "metadata": Field(lambda: definition(f"{META}ListMeta")), "items": items})
    return Struct(name, {**named, "metadata": Field(lambda: definition(f"{META}ObjectMeta"))})
