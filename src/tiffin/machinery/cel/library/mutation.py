"""What mutating policies make: `Object{spec: Object.spec{replicas: 3}}` and `[JSONPatch{op: "add", path: "/a", value: 1}]`.

`Object` and every path below it take any field; `JSONPatch` takes those of RFC 6902. `json_of` makes JSON of the values, after
`misnamed` has found nothing wrong with them.
Source: k8s.io/apiserver/pkg/cel/mutation; jsonpatch.escapeKey of Kubernetes' jsonpatch library.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import DYN, STRING, UNSPECIFIED, AnyFields, Field, Fields, Type, list_of
from tiffin.machinery.cel.values import Made

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


def misnamed(value: Any, path: str = "Object") -> list[str]:
    """What is wrong with the names of the types within an `Object`: each has to be the path of its field. Lists and maps have no name.

    To be asked of values that `json_of` took, which are no larger than a request.
    """
    if isinstance(value, Made):
        name = value.type.name
        wrong = [] if name == path else [f'unexpected type name "{name}", expected "{path}", which matches field name path from root Object type']
        return wrong + [message for key, item in value.raw.items() for message in misnamed(item, f"{path}.{key}")]
    items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [message for item in items for message in misnamed(item, path)]
