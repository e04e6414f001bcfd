"""Types of built-in objects and of what policies are told about a request.

`kind_type` makes a type of any of `machinery.schema`, for type checking: quantities are text, int-or-string is dyn, and what is just JSON
cannot be seen. `REQUEST` and `NAMESPACE` are the types of `request` and `namespaceObject`.
Source: k8s.io/apiserver/pkg/admission/plugin/policy, its type checking and its request and namespace types.
"""
from __future__ import annotations

from tiffin.machinery import schema
from tiffin.machinery.cel.schematypes import escape, json_bytes, object_type, schema_type
from tiffin.machinery.cel.times import parse_timestamp
from tiffin.machinery.cel.types import BOOL, DOUBLE, DYN, INT, STRING, Field, Fields, Type, list_of, map_of
from tiffin.machinery.cel.values import TypedObject

_SCALARS = {"string": STRING, "boolean": BOOL, "int32": INT, "int64": INT, "double": DOUBLE}
_TIME = Type("timestamp", "google.protobuf.Timestamp", adapt=lambda text: parse_timestamp(text, dates=True))
_BYTES = Type("bytes", adapt=json_bytes)


def kind_type(type_: schema.Type) -> Type | None:
    """The CEL type of a type of objects, made once; None for what expressions cannot see."""
    made: Type | None = type_.derive("cel", _made)
    return made


def _made(type_: schema.Type) -> Type | None:
    match type_:
        case schema.Struct():
            return _struct(type_)
        case schema.Map():
            values = kind_type(type_.values)
            return values and map_of(STRING, values)
        case schema.List():
            items = kind_type(type_.items)
            return items and list_of(items)
        case schema.Scalar():
            return _SCALARS[type_.kind]
        case schema.Quantity():
            return STRING
        case schema.IntOrString():
            return DYN
        case schema.Time():
            return _TIME
        case schema.Bytes():
            return _BYTES
    return None


def _struct(type_: schema.Struct) -> Type | None:
    if type_.source is not None:
        return schema_type(type_.source, type_.name, root=True)
    made = Type("struct", type_.name, fields=Fields(lambda: _fields(type_)))
    made.adapt = lambda value: TypedObject(value, made) if isinstance(value, dict) else value
    return made


def _fields(type_: schema.Struct) -> dict[str, Field]:
    return {spelled: Field(visible, key) for key, field in type_.fields.items()
            if (spelled := escape(key)) and (visible := kind_type(field.type)) is not None}


def _object(name: str, /, **fields: Type) -> Type:
    return object_type(f"kubernetes.{name}", {field: Field(type_, field) for field, type_ in fields.items()})


def _request() -> Type:
    kind = _object("GroupVersionKind", group=STRING, version=STRING, kind=STRING)
    resource = _object("GroupVersionResource", group=STRING, version=STRING, resource=STRING)
    user = _object("UserInfo", username=STRING, uid=STRING, groups=list_of(STRING), extra=map_of(STRING, list_of(STRING)))
    return _object("AdmissionRequest", kind=kind, resource=resource, subResource=STRING, requestKind=kind, requestResource=resource,
                   requestSubResource=STRING, name=STRING, namespace=STRING, operation=STRING, userInfo=user, dryRun=BOOL, options=DYN)


def _namespace() -> Type:
    condition = _object("NamespaceCondition", status=STRING, type=STRING, lastTransitionTime=_TIME, message=STRING, reason=STRING)
    text = {name: Field(STRING, name) for name in ("name", "generateName", "namespace", "resourceVersion")}
    metadata = object_type("kubernetes.NamespaceMetadata", text | {
        "labels": Field(map_of(STRING, STRING), "labels"), "annotations": Field(map_of(STRING, STRING), "annotations"),
        "UID": Field(STRING, "uid"), "creationTimestamp": Field(_TIME, "creationTimestamp"),
        "deletionGracePeriodSeconds": Field(INT, "deletionGracePeriodSeconds"), "deletionTimestamp": Field(_TIME, "deletionTimestamp"),
        "generation": Field(INT, "generation"), "finalizers": Field(list_of(STRING), "finalizers")})
    spec = _object("NamespaceSpec", finalizers=list_of(STRING))
    conditions = Type("list", "list", (condition,), adapt=lambda items: [condition.adapt(item) for item in items] if condition.adapt else items)
    return _object("Namespace", metadata=metadata, spec=spec, status=_object("NamespaceStatus", conditions=conditions, phase=STRING))


REQUEST, NAMESPACE = _request(), _namespace()
