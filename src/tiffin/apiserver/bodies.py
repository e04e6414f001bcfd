"""Reading request bodies: media type, field validation, kind and version, defaults.

A decoded object is private to its request, in the served version as the client sent it, normalised as Go would have it.
"""
from __future__ import annotations

from collections.abc import Sequence

import orjson

from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.negotiate import JSON, PROTOBUF, YAML
from tiffin.apiserver.registry import Served
from tiffin.machinery import errors
from tiffin.machinery.decode import DecodeError, Problem, decode_object, parse_json, parse_yaml, strict_error, strict_problems
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import invalid
from tiffin.machinery.object import Object
from tiffin.machinery.protodecode import parse_protobuf
from tiffin.machinery.protolayout import message_of
from tiffin.machinery.schema import Type, definition

UNKNOWN_FORMAT = f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
SHOWN = 30
"""Bytes of an unreadable body that its refusal repeats."""
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_SCHEME = "kubernetes/pkg/api/legacyscheme/scheme.go:30"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def media_type(context: RequestContext) -> str:
    return context.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON


def parse_body(context: RequestContext, body: bytes, strict: bool, kind: str = "") -> tuple[Object, list[Problem]]:
    """The body as JSON, YAML or protobuf, by its Content-Type; raises 415 for other types and 400 for what cannot be parsed.

    `kind` is what the body should have been, for the message; without it only the fault is named.
    """
    media = media_type(context)
    if media not in (JSON, YAML, PROTOBUF, "application/x-yaml", "text/yaml", "*/*"):
        raise errors.unsupported_media_type(UNKNOWN_FORMAT)
    try:
        if media == PROTOBUF:
            return parse_protobuf(body), []
        return parse_yaml(body) if "yaml" in media else parse_json(body, strict)
    except DecodeError as error:
        if not kind:
            raise errors.bad_request(str(error)) from None
        where = "couldn't get version/kind; json parse error: " if "yaml" not in media and media != PROTOBUF else ""
        raise unrecognized(kind, f"{where}{error}", body) from None


def unrecognized(kind: str, why: str, body: bytes) -> ApiError:
    """400 for a body that does not even tell what it is; its beginning is shown, as text if it looks like JSON."""
    if not body:
        shown = "<empty>"
    else:
        shown = (body[:SHOWN].decode(errors="replace") if body[:1] == b"{" else body[:SHOWN].hex()) + (" ..." if len(body) > SHOWN else "")
    return errors.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})")


def report(context: RequestContext, kind: str, version: str, problems: Sequence[Problem]) -> None:
    """What strictness found: refused, warned of or ignored as `fieldValidation` says."""
    if not problems or context.field_validation == "Ignore":
        return
    if context.field_validation == "Strict":
        raise errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {strict_error(problems)}')
    context.warnings.extend(dict.fromkeys(map(str, problems)))


def read_object(context: RequestContext, served: Served, body: bytes) -> Object:
    """The object of a POST or PUT in the served version, with defaults applied. Raises 400 for another kind."""
    kind = served.kind
    if served.custom and media_type(context) == PROTOBUF:
        raise errors.unsupported_media_type(UNKNOWN_FORMAT.removesuffix(f", {PROTOBUF}"))
    obj, problems = parse_body(context, body, context.field_validation != "Ignore", kind.kind)
    if served.form is not None:
        _check_custom_kind(obj, served, body)
        problems = [*problems, *decode_served(obj, served)]  # repeated fields of the text, then unknown ones of the object
    else:
        _check_kind(obj, kind.kind, served.api_version, body)
        problems = strict_problems(problems, decode_served(obj, served))
    report(context, kind.kind, served.resource.version, problems)
    return obj


def read_typed(context: RequestContext, body: bytes, gvk: tuple[str, str, str], schema: str) -> Object:
    """The body of a subresource: an object of another kind than the resource's."""
    obj, problems = parse_body(context, body, context.field_validation != "Ignore", gvk[2])
    return as_typed(context, obj, problems, gvk, schema, body)


def as_typed(context: RequestContext, obj: Object, problems: list[Problem], gvk: tuple[str, str, str], schema: str, body: bytes) -> Object:
    """The same of a body that has been parsed."""
    group, version, kind = gvk
    _check_kind(obj, kind, f"{group}/{version}" if group else version, body)
    problems = strict_problems(problems, decode_typed(obj, definition(schema), kind, version))
    report(context, kind, version, problems)
    return obj


def decode_served(obj: Object, served: Served) -> list[Problem]:
    """Brings an object of a served version into form, in place; answers the unknown fields that were dropped."""
    try:
        return served.decode(obj)
    except DecodeError as error:
        kind = served.kind.kind
        raise errors.bad_request(f'{kind} in version "{served.resource.version}" cannot be handled as a {kind}: {error}') from None


def decode_typed(obj: Object, type: Type, kind: str, version: str) -> list[Problem]:
    try:
        return decode_object(obj, type)
    except DecodeError as error:
        raise errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None


def _check_custom_kind(obj: Object, served: Served, body: bytes) -> None:
    """Custom resources have to say what they are: their kind is validated, not decoded."""
    wanted = served.kind.kind
    if isinstance(obj, dict):
        for name in ("kind", "apiVersion"):
            if not obj.get(name) and isinstance(obj.get(name), (str, type(None))):
                text = (body if body[:1] == b"{" else orjson.dumps(obj)).decode(errors="replace")
                raise unrecognized(wanted, f"Object '{name[0].upper() + name[1:] if name == 'kind' else name}' is missing in '{text}'", body)
    given = obj.get("kind") if isinstance(obj, dict) else None
    _check_kind({**obj, "kind": wanted} if isinstance(given, str) else obj, wanted, served.api_version, body)
    if given != wanted:
        metadata = obj.get("metadata")
        called = metadata.get("name") if isinstance(metadata, dict) else ""
        raise errors.invalid(str(given), served.kind.group, called or "", [invalid("kind", given, f"must be {wanted}")])


def _check_kind(obj: Object, kind: str, api_version: str, body: bytes) -> None:
    if not isinstance(obj, dict):
        raise unrecognized(kind, f"couldn't get version/kind; json parse error: json: cannot unmarshal {_go_type(obj)} into Go value of type {_TYPE_META}", body)
    for name in ("apiVersion", "kind"):
        value = obj.get(name)
        if value is not None and not isinstance(value, str):
            why = f"couldn't get version/kind; json parse error: json: cannot unmarshal {_go_type(value)} into Go struct field .{name} of type string"
            raise unrecognized(kind, why, body)
    given_kind, given_version = obj.get("kind"), obj.get("apiVersion")
    if given_version and given_version != api_version and (given_kind or kind) == kind and _is_registered(given_version, kind):
        raise errors.bad_request(f"the API version in the data ({given_version}) does not match the expected API version ({api_version})")
    if (given_kind and given_kind != kind) or (given_version and given_version != api_version):
        raise errors.bad_request(_wrong_kind(given_kind or kind, given_version or api_version, kind, api_version))
    obj["kind"], obj["apiVersion"] = kind, api_version


def _wrong_kind(given_kind: str, given_version: str, kind: str, api_version: str) -> str:
    """Why a body of one kind cannot be taken for another, depending on whether there is such a kind at all."""
    version = given_version.rpartition("/")[2]
    if message_of(given_version, given_kind) is None:
        why = f'no kind "{given_kind}" is registered for version "{given_version}" in scheme "{_SCHEME}"'
    else:
        internal = api_version.partition("/")[0].partition(".")[0] if "/" in api_version else "core"
        why = f"converting ({version}.{given_kind}) to ({internal}.{kind}): unknown conversion"
    return f'{given_kind} in version "{version}" cannot be handled as a {kind}: {why}'


def _is_registered(api_version: str, kind: str) -> bool:
    """Whether it is a type of Kubernetes' own in that version, or of a group Kubernetes has no types for."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    return message_of(api_version, kind) is not None or ("." in group and not group.endswith(".k8s.io"))


def _go_type(value: object) -> str:
    return {list: "array", str: "string", bool: "bool", int: "number", float: "number", dict: "object"}.get(type(value), "null")


def read_delete_options(context: RequestContext, body: bytes) -> Object:
    """DeleteOptions of the body, or of the query when there is no body. Unknown fields never warn."""
    if body.strip():
        obj, _ = parse_body(context, body, False)
        if not isinstance(obj, dict) or obj.get("kind", "DeleteOptions") != "DeleteOptions":
            raise errors.bad_request("the body of a DELETE has to be DeleteOptions")
        decode_typed(obj, definition(DELETE_OPTIONS), "DeleteOptions", "v1")
        return obj
    query, obj = context.query, {}
    grace = query.number("gracePeriodSeconds")
    if grace is not None:
        obj["gracePeriodSeconds"] = grace
    if "orphanDependents" in query.values:
        obj["orphanDependents"] = query.flag("orphanDependents")
    if "propagationPolicy" in query.values:
        obj["propagationPolicy"] = query.text("propagationPolicy")
    if "dryRun" in query.values:
        obj["dryRun"] = query.values["dryRun"]
    return obj
