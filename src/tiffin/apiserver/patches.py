"""PATCH: from a body and its media type to a transform of the stored object.

Every transform starts from a private copy, so what it shares with the copy may be changed in place afterwards.
"""
from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson

from tiffin.api.kind import Subresource
from tiffin.apiserver import bodies
from tiffin.apiserver.context import RequestContext
from tiffin.apiserver.registry import Served
from tiffin.client.client import PatchType
from tiffin.machinery import errors
from tiffin.machinery.decode import DecodeError, Problem, parse_json, parse_yaml, strict_error
from tiffin.machinery.field import invalid
from tiffin.machinery.jsonerror import complaint
from tiffin.machinery.jsonpatch import apply_json_patch
from tiffin.machinery.managedfields import check_fields
from tiffin.machinery.mergepatch import apply_merge_patch
from tiffin.machinery.object import Object
from tiffin.machinery.patch import REJECTED, Fault, PatchError
from tiffin.machinery.strategicpatch import apply_strategic_patch
from tiffin.machinery.yamlcodec import repeated_keys

BUILTIN_TYPES = (PatchType.JSON, PatchType.MERGE, PatchType.STRATEGIC, PatchType.APPLY)
CUSTOM_TYPES = (PatchType.JSON, PatchType.MERGE, PatchType.APPLY)


def patch_type(context: RequestContext, served: Served) -> PatchType:
    """The kind of patch the Content-Type names; raises 415."""
    given = bodies.media_type(context) if "content-type" in context.headers else ""
    accepted = CUSTOM_TYPES if served.custom else BUILTIN_TYPES
    for candidate in accepted:
        if candidate == given:
            return candidate
    if served.custom:
        raise errors.unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join([*CUSTOM_TYPES])}")
    raise errors.ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def transform(context: RequestContext, served: Served, kind: PatchType, body: bytes) -> Callable[[Object], Object]:
    """The function from the stored object to the patched one, in the served version, decoded but without defaults."""
    patch, problems = _parse(context, kind, body)
    if problems and context.field_validation == "Strict":
        raise errors.bad_request("strict decoding error: " + ", ".join(str(p) for p in problems))
    context.warnings += [str(p) for p in problems if context.field_validation != "Ignore"]
    warned = False

    def apply(stored: Object) -> Object:
        nonlocal warned
        base = orjson.loads(orjson.dumps(served.from_stored(stored)))
        try:
            result = _apply(kind, base, patch, served)
        except PatchError as error:
            raise error_of(error) from None
        found = _decode(served, result, body)
        if found and not warned:
            warned = True
            _report(context, found, body)
        return result

    return apply


def _apply(kind: PatchType, base: Object, patch: Any, served: Served) -> Object:
    if kind is PatchType.JSON:
        return apply_json_patch(base, patch)
    if kind is PatchType.MERGE:
        return apply_merge_patch(base, patch)
    return apply_strategic_patch(base, patch, served.type)


def _parse(context: RequestContext, kind: PatchType, body: bytes) -> tuple[Any, list[Problem]]:
    try:
        if kind is PatchType.JSON:
            return _json_patch(body), []
        if kind is PatchType.MERGE and body.strip() == b"null":  # no change to a strategic one, nonsense to this one
            raise errors.bad_request("Invalid JSON Patch")
        return parse_json(body, context.field_validation != "Ignore", "map[string]interface {}")
    except DecodeError as error:
        raise errors.bad_request(f"{'error decoding patch: ' if kind is PatchType.MERGE else ''}{error}") from None


def _json_patch(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.bad_request(complaint(body.decode(errors="replace")) or str(error)) from None


def _decode(served: Served, result: Object, body: bytes) -> list[Problem]:
    for field, wanted in (("kind", served.kind.kind), ("apiVersion", served.api_version)):
        if result.get(field) not in (None, "", wanted):
            raise _undecodable(body, f"the patched object has {field} {result[field]!r} instead of {wanted!r}")
        result[field] = wanted
    try:
        return served.decode(result)
    except DecodeError as error:
        raise _undecodable(body, str(error)) from None


def _undecodable(body: bytes, detail: str) -> errors.ApiError:
    """422 of a patch whose result is no object of the kind: it names neither kind nor object, as in Kubernetes."""
    cause = invalid("patch", body.decode("utf-8", "replace"), detail)
    listed = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    return errors.ApiError(422, "Invalid", f' "" is invalid: {cause}', {"causes": [listed]})


def _report(context: RequestContext, problems: list[Problem], body: bytes) -> None:
    if context.field_validation == "Strict":
        raise _undecodable(body, strict_error(problems))
    if context.field_validation != "Ignore":
        context.warnings.extend(dict.fromkeys(map(str, problems)))


def error_of(error: PatchError) -> errors.ApiError:
    """The answer to a patch that cannot be applied."""
    if error.fault is Fault.INAPPLICABLE:
        return errors.ApiError(422, "Invalid", REJECTED, {})
    if error.fault is Fault.TOO_LARGE:
        return errors.too_large(str(error))
    if error.fault is Fault.INTERNAL:
        return errors.ApiError(500, "", str(error))
    return errors.bad_request(str(error))


def parse_applied(context: RequestContext, body: bytes) -> Object:
    """The body of an apply: YAML or JSON, an object."""
    try:
        obj, problems = parse_yaml(body)
    except DecodeError as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from None
    if problems and context.field_validation == "Strict":
        raise errors.bad_request("error strict decoding YAML: " + ", ".join(str(p) for p in problems))
    if context.field_validation != "Ignore":
        context.warnings += [line for p in problems for line in repeated_keys(p)]
    if not isinstance(obj, dict):
        raise errors.bad_request("error decoding YAML: the body is not an object")
    return obj


ATTEMPTS = 5
"""How often a patch is computed anew when other writes come between."""


def check_applied(context: RequestContext, served: Served, applied: Object) -> None:
    """The identity an applied body must state for itself."""
    kind, version = applied.get("kind"), applied.get("apiVersion")
    if not kind or not version:
        raise errors.bad_request(f"error decoding YAML: Object '{'Kind' if not kind else 'apiVersion'}' is missing in the applied configuration")
    if kind != served.kind.kind or version != served.api_version:
        raise errors.bad_request(f"invalid object type: {version}, Kind={kind}")
    metadata = applied.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not name:
        raise errors.bad_request(f"the name of the object ({context.info.name} based on URL) was undeterminable: name must be provided")
    if name != context.info.name:
        raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({context.info.name})")


def as_owned(served: Served, applied: Object) -> Object:
    """An applied body in the version that owners of its fields are noted in. Raises what an apply of the body itself would.

    Conversions are written for objects of the right types: that it is one is found out on a copy, as the body is not to be completed.
    """
    if not served.owns_as_stored:
        return applied
    assert served.version is not None
    check_fields(applied, served.type, served.api_version)
    bodies.decode_served(deepcopy(applied), served)
    return served.version.to_stored(_without_nulls(applied))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value if each is not None] if isinstance(value, list) else value


def as_made(applied: Object, owned: Object) -> Object:
    """What an apply creates where owners were noted in another version: the body itself, with them."""
    made = deepcopy(applied)
    made["metadata"]["managedFields"] = owned["metadata"].get("managedFields")
    return made


def reset_fields(served: Served, sub: Subresource | None) -> tuple[tuple[str, ...], ...]:
    """Paths whose ownership an apply does not take: what its endpoint does not write."""
    if sub is not None and sub.resets is not None:
        return sub.resets
    if "status" not in served.kind.subresource_by_name:
        return served.kind.resets
    return (("spec",),) if sub is not None and sub.name == "status" else (("status",), *served.kind.resets)
