"""Type checking of ValidatingAdmissionPolicies: what their expressions get wrong about the kinds they match.

Policies take objects of any shape when they are stored. Afterwards their expressions are checked against each kind that their rules
name, and what does not fit becomes a warning in their status. Groups and versions with wildcards name no kind.
Source: KEP-3488, "Type checking"; apiserver `validating.TypeChecker`.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

from tiffin.api.admissionregistration.expressions import Scope
from tiffin.machinery import schema
from tiffin.machinery.cel import CompilationError, Type
from tiffin.machinery.cel.schematypes import escape
from tiffin.machinery.cel.times import parse_timestamp
from tiffin.machinery.cel.types import BOOL, BYTES, DOUBLE, DYN, INT, STRING, TIMESTAMP, Field, Fields, list_of, map_of
from tiffin.machinery.object import Object

MOST_KINDS = 10


class KnownKind(NamedTuple):
    """A kind and the type of its objects."""

    name: str
    """As messages print it: `apps/v1, Kind=Deployment`."""
    type: Type


Lookup = Callable[[str, str, str], KnownKind | None]
"""`lookup(group, version, plural)`: the kind served there, if there is one."""


def object_type(type_: schema.Type, name: str = "Object") -> Type:
    """The type of a built-in kind's objects, as expressions see it. Fields are looked at when they are asked for."""
    match type_:
        case schema.Struct():
            return Type("struct", name, fields=Fields(lambda: _fields(type_, name)))
        case schema.Map():
            return map_of(STRING, object_type(type_.values, f"{name}.@elem"))
        case schema.List():
            return list_of(object_type(type_.items, f"{name}.@idx"))
        case schema.Scalar():
            return {"boolean": BOOL, "double": DOUBLE, "string": STRING}.get(type_.kind, INT)
        case schema.Time():
            return Type(TIMESTAMP.kind, TIMESTAMP.name, adapt=parse_timestamp)
        case schema.Bytes():
            return BYTES
    return DYN


def _fields(struct: schema.Struct, name: str) -> dict[str, Field]:
    spelled = ((escape(key), key, field) for key, field in struct.fields.items())
    return {cel: Field(object_type(field.type, f"{name}.{key}"), key) for cel, key, field in spelled if cel is not None}


def expression_warnings(spec: Object, lookup: Lookup, params: Type | None = None) -> list[Object]:
    """The `expressionWarnings` of a policy's status. `params` is the type of its parameters; where it is not known, there are none."""
    scopes = [(kind.name, _scope(spec, kind.type, params)) for kind in _matched(spec, lookup)]
    found: list[Object] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field)
            warning = "\n".join(_problems(text, scopes)) if text else ""
            if warning:
                found.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": warning})
    return found


def _matched(spec: Object, lookup: Lookup) -> list[KnownKind]:
    """The kinds that rules name, without repetition, ordered by name."""
    kinds: dict[str, KnownKind] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions, resources = (rule.get(field) or [] for field in ("apiGroups", "apiVersions", "resources"))
        if any("*" in name for name in (*groups, *versions)):
            continue
        whole = [name for name in resources if "*" not in name and "/" not in name]
        for group, version, plural in product(sorted(groups), sorted(versions), sorted(whole)):
            kind = lookup(group, version, plural)
            if kind is not None:
                kinds[kind.name] = kind
    return [kinds[name] for name in sorted(kinds)][:MOST_KINDS]


def _scope(spec: Object, object_: Type, params: Type | None) -> Scope:
    scope = Scope(params is not None, {"object": object_, "oldObject": object_} | ({"params": params} if params is not None else {}))
    for variable in spec.get("variables") or ():
        try:
            scope.variable(variable["name"], variable["expression"])
        except CompilationError:
            continue  # it is known as of any type from here on
    return scope


def _problems(text: str, scopes: list[tuple[str, Scope]]) -> Iterator[str]:
    for name, scope in scopes:
        try:
            scope.compile(text, None)
        except CompilationError as error:
            yield f"{name}: {error}\n"


def kind_name(group: str, version: str, kind: str) -> str:
    return f"{f'{group}/' if group else ''}{version}, Kind={kind}"


def custom_kind(crd: Object, version: str) -> KnownKind | None:
    """The kind a CustomResourceDefinition defines, in one of its versions."""
    from tiffin.machinery.cel import schema_type

    spec: dict[str, Any] = crd["spec"]
    for served in spec.get("versions") or ():
        if served.get("name") == version:
            structure = (served.get("schema") or {}).get("openAPIV3Schema") or {}
            return KnownKind(kind_name(spec["group"], version, spec["names"]["kind"]), schema_type(structure, "Object", root=True) or DYN)
    return None
