"""What mutating policies make: `Object{spec: Object.spec{replicas: 3}}` and `[JSONPatch{op: "add", path: "/a", value: 1}]`.

`Object` and every path below it take any field; `JSONPatch` takes those of RFC 6902. Values are dicts: `json_of` makes JSON of them.
Source: k8s.io/apiserver/pkg/cel/mutation; jsonpatch.escapeKey of Kubernetes' jsonpatch library.
"""
from __future__ import annotations

from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import DYN, STRING, UNSPECIFIED, AnyFields, Field, Fields, Type, list_of

OBJECT = Type("struct", "Object", fields=AnyFields())


class _PatchFields(Fields):
    """The fields of a patch; any other has a type nothing can be assigned to."""

    __slots__ = ()

    def get(self, name: str) -> Field | None:
        return super().get(name) or Field(UNSPECIFIED, name)


JSON_PATCH = Type("struct", "JSONPatch", fields=_PatchFields(
    {"op": Field(STRING, "op"), "path": Field(STRING, "path"), "from": Field(STRING, "from"), "value": Field(DYN, "value")}))
JSON_PATCHES = list_of(JSON_PATCH)

MUTATION = Library([OBJECT, JSON_PATCH])
MUTATION.add("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", "(string) -> string",
             lambda key: key.replace("~", "~0").replace("/", "~1"))
