"""Types as OpenAPI schemas: components of version 3, definitions of version 2.

A built-in definition refers to others by name; a custom resource is published as its CustomResourceDefinition has it, with the
common fields put in. Descriptions come from the optional package kubernetes-validate where it is installed and are left out
otherwise.
"""
from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tiffin.machinery.schema import (
    META,
    Bytes,
    Field,
    List,
    Map,
    Scalar,
    Struct,
    Type,
    declaration,
    definition,
    leaf_kinds,
    prose_name,
)

Schema = dict[str, Any]
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_LEAF_NAMES = {
    "resource.Quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity", "intstr.IntOrString": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "v1.Time": META + "Time", "v1.MicroTime": META + "MicroTime", "runtime.RawExtension": "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "v1.FieldsV1": META + "FieldsV1", "v1.JSON": EXTENSIONS + "JSON", "v1.JSONSchemaPropsOrBool": EXTENSIONS + "JSONSchemaPropsOrBool",
    "v1.JSONSchemaPropsOrArray": EXTENSIONS + "JSONSchemaPropsOrArray", "v1.JSONSchemaPropsOrStringArray": EXTENSIONS + "JSONSchemaPropsOrStringArray",
}
"""Definitions that are not structs, by the Go type that fields name."""
_FORMATS = {"boolean": {"type": "boolean"}, "string": {"type": "string"}, "double": {"type": "number", "format": "double"},
            "int32": {"type": "integer", "format": "int32"}, "int64": {"type": "integer", "format": "int64"}}
_ONLY_IN_V3 = ("nullable", "oneOf", "anyOf", "allOf", "not", "default", "x-kubernetes-validations")


class Schemas:
    """Collects the schemas that a document needs; `version` is 2 or 3, `groups` the group and version pairs it speaks of."""

    def __init__(self, version: int, groups: Iterable[tuple[str, str]] = ()) -> None:
        self.version = version
        self.prefix = "#/components/schemas/" if version == 3 else "#/definitions/"
        self.groups = set(groups)
        self.made: dict[str, Schema] = {}
        self._prose = descriptions()
        self._leaves = leaf_kinds()

    def reference(self, name: str) -> Schema:
        """A reference to a built-in definition, which is added with all it leads to."""
        if name not in self.made:
            self.made[name] = {}
            self.made[name] = self._leaf(name) if name in self._leaves else self._struct(definition(name))
        return {"$ref": self.prefix + name}

    def add(self, name: str, schema: Schema) -> Schema:
        """A reference to a definition made elsewhere."""
        self.made[name] = schema
        return {"$ref": self.prefix + name}

    def custom(self, declared: Schema | None, kind: tuple[str, str, str]) -> Schema:
        """The schema of a custom resource, as its definition declares it."""
        source = declared or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        made = _for_version_3(source) if self.version == 3 else _for_version_2(source)
        common = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": self.reference(META + "ObjectMeta")}
        made = {**made, "type": "object", "properties": {**made.get("properties", {}), **common}}
        return made | {"x-kubernetes-group-version-kind": [_kind(*kind)]}

    def _struct(self, type: Struct) -> Schema:
        prose, own = self._prose.get(prose_name(type.name), {}), declaration(type.name).get("t", {})
        made: Schema = {"type": "object"}
        if text := own.get("") or prose.get("description"):
            made["description"] = text
        if required := sorted(name for name, field in type.fields.items() if field.required):
            made["required"] = required
        if type.fields:
            described = {name: field.get("description", "") for name, field in prose.get("properties", {}).items()} | own
            made["properties"] = {name: self._field(field, described.get(name, "")) for name, field in sorted(type.fields.items())}
        if kinds := self._kinds(type):
            made["x-kubernetes-group-version-kind"] = kinds
        if definition(type.name).atomic:
            made["x-kubernetes-map-type"] = "atomic"
        if type.unions:
            made["x-kubernetes-unions"] = type.unions
        return made

    def _kinds(self, type: Struct) -> list[Schema]:
        """The kinds of a definition; of those that every group has, version 3 documents name the legacy group's and their own."""
        several = len(type.kinds) > 1 and self.version == 3
        return [_kind(*k) for k in type.kinds if not several or k[:2] in self.groups | {("", "v1")}]

    def _field(self, field: Field, text: str) -> Schema:
        made = self._type(field.type)
        extras = self._extras(field)
        if self.version == 3 and (default := _default(field)) is not None:
            extras["default"] = default
        if text:
            extras["description"] = text
        if "$ref" in made and extras and self.version == 3:
            return extras | {"allOf": [made]}
        return made | extras

    def _extras(self, field: Field) -> Schema:
        type, made = field.type, {}
        if isinstance(type, Struct) and type.name.startswith("io.k8s.") and definition(type.name).atomic != type.atomic:
            made["x-kubernetes-map-type"] = "atomic" if type.atomic else "granular"
        if field.merge_key:
            made["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.strategy:
            made["x-kubernetes-patch-strategy"] = ",".join(field.strategy)
        return made

    def _type(self, type: Type) -> Schema:
        if type.go in _LEAF_NAMES and not isinstance(type, (Struct, Scalar, Map, List)):
            return self.reference(_LEAF_NAMES[type.go])
        if isinstance(type, Struct):
            return self.reference(type.name)
        if isinstance(type, Scalar):
            return dict(_FORMATS[type.kind]) | ({"enum": list(type.enum)} if type.enum else {})
        if isinstance(type, Bytes):
            return {"type": "string", "format": "byte"}
        if isinstance(type, Map):
            return {"type": "object", "additionalProperties": self._type(type.values)} | ({"x-kubernetes-map-type": "atomic"} if type.atomic else {})
        if isinstance(type, List):
            made: Schema = {"type": "array", "items": self._type(type.items)}
            if type.listed:
                made["x-kubernetes-list-type"] = type.list_type
            return made | ({"x-kubernetes-list-map-keys": list(type.keys)} if type.keys else {})
        return {}

    def _leaf(self, name: str) -> Schema:
        made = _leaf_schema(self._leaves[name], self.version)
        text = self._prose.get(name, {}).get("description")
        return made | ({"description": text} if text else {})


def _leaf_schema(code: str, version: int) -> Schema:
    if code == "Quantity":
        return {"type": "string"} if version == 2 else {"oneOf": [{"type": "string"}, {"type": "number"}]}
    if code == "IntOrString":
        return {"format": "int-or-string"} | ({"type": "string"} if version == 2 else {"oneOf": [{"type": "integer"}, {"type": "string"}]})
    if code in ("Time", "MicroTime"):
        return {"type": "string", "format": "date-time"}
    return {} if code.startswith("JSON") else {"type": "object"}


def _kind(group: str, version: str, kind: str) -> Schema:
    return {"group": group, "kind": kind, "version": version}


def _default(field: Field) -> Any:
    """The schema's default: its own, or Go's zero value where a value is always written."""
    if field.default is not None:
        return field.default
    if field.pointer or field.omit_zero:
        return None
    if isinstance(field.type, Struct):
        return {}
    if isinstance(field.type, Scalar) and field.always:
        return {"string": "", "boolean": False}.get(field.type.kind, 0)
    return None


_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def _for_version_3(schema: Any) -> Any:
    """A custom schema that says of what is a whole number or text that it is either."""
    if isinstance(schema, list):
        return [_for_version_3(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _for_version_3(made[key])
    if made.get("properties"):
        made["properties"] = {name: _for_version_3(sub) for name, sub in made["properties"].items()}
    first = (made.get("allOf") or [{}])[0]
    if made.get("x-kubernetes-int-or-string") and _INT_OR_STRING not in (made.get("anyOf"), first.get("anyOf")):
        made |= {"allOf": [{"anyOf": _INT_OR_STRING}, *made["allOf"]]} if made.get("allOf") else {"anyOf": _INT_OR_STRING}
    return made


def _for_version_2(schema: Any) -> Any:
    """A custom schema without what version 2 cannot say."""
    if isinstance(schema, list):
        return [_for_version_2(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {"x-kubernetes-preserve-unknown-fields": True} | {k: v for k, v in schema.items() if k in ("description", "type")}
    kept = {key: value for key, value in schema.items() if key not in _ONLY_IN_V3}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _for_version_2(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _for_version_2(sub) for name, sub in kept["properties"].items()}
    return kept


def descriptions() -> dict[str, Any]:
    """Definitions with their prose, from the optional package; nothing without it."""
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        return {}
    files = sorted(Path(found.submodule_search_locations[0]).glob("kubernetes-json-schema/v1.36.*-local/_definitions.json"))
    loaded: dict[str, Any] = json.loads(files[-1].read_bytes())["$defs"] if files else {}
    return loaded
