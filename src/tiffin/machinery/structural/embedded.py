"""Resources inside a resource: nodes with x-kubernetes-embedded-resource have a kind, an apiVersion and proper metadata.

Compiled for the parts of a schema that have such nodes. `coerce` brings their metadata into form when an object is decoded;
`check` validates them. Source: API extension docs, "RawExtension".
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tiffin.machinery.decode import DecodeError, decode_object
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.names import is_dns1035_label
from tiffin.machinery.schema import META, definition
from tiffin.machinery.structural.lists import in_order
from tiffin.machinery.validation import path_segment_name, validate_object_meta


class CoerceError(DecodeError):
    """What is wrong with metadata that does not decode."""

    def __init__(self, violation: FieldError) -> None:
        super().__init__(str(violation))
        self.violation = violation


Visit = Callable[[Any, str], Iterator[tuple[dict[str, Any], str]]]
"""The embedded resources inside a value, each with its path."""


def embedded_in(schema: dict[str, Any]) -> Visit | None:
    """The function that finds the embedded resources below a schema; None when it has none."""
    own = bool(schema.get("x-kubernetes-embedded-resource"))
    fields = {key: made for key, sub in (schema.get("properties") or {}).items() if (made := embedded_in(sub)) is not None}
    others, items = _of(schema.get("additionalProperties")), _of(schema.get("items"))
    if not own and not fields and others is None and items is None:
        return None

    def visit(value: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
        if value.__class__ is dict:
            if own:
                yield value, path
            for key, item in value.items():
                inside = fields.get(key, others)
                if inside is not None:
                    yield from inside(item, f"{path}.{key}" if path else key)
        elif value.__class__ is list and items is not None:
            for index, item in enumerate(value):
                yield from items(item, f"{path}[{index}]")

    return visit


def _of(schema: Any) -> Visit | None:
    return embedded_in(schema) if isinstance(schema, dict) else None


def coerce(resource: dict[str, Any], path: str) -> list[str]:
    """Brings the metadata of an embedded resource into form; answers the paths of unknown fields. Raises CoerceError."""
    for field in ("apiVersion", "kind"):
        if field in resource and not isinstance(resource[field], str):
            raise CoerceError(invalid(f"{path}.{field}" if path else field, resource[field], "must be a string"))
    if "metadata" not in resource:
        return []
    metadata = resource["metadata"]
    try:
        problems = decode_object(metadata, definition(META + "ObjectMeta")) if isinstance(metadata, dict) else _no_object(metadata)
    except DecodeError as error:
        raise CoerceError(invalid(f"{path}.metadata" if path else "metadata", in_order(metadata), str(error))) from None
    if metadata.get("creationTimestamp", "") is None:
        del metadata["creationTimestamp"]
    return [f"{path}.metadata.{problem.path}" if path else f"metadata.{problem.path}" for problem in problems]


def _no_object(value: Any) -> list[Any]:
    kind = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}.get(value.__class__, "null")
    raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta")


def check(resource: dict[str, Any], path: str, errors: list[FieldError]) -> None:
    """Adds what is wrong with the kind, apiVersion and metadata of an embedded resource."""
    at = f"{path}." if path else ""
    for field in ("apiVersion", "kind"):
        if field not in resource:
            errors.append(required(at + field))
        elif not isinstance(resource[field], str):
            errors.append(invalid(at + field, resource[field], "must be a string"))
        elif not resource[field]:
            errors.append(required(at + field))
        elif field == "apiVersion" and resource[field].count("/") > 1:
            errors.append(invalid(at + field, resource[field], f"unexpected GroupVersion string: {resource[field]}"))
        elif field == "kind" and (found := is_dns1035_label(resource[field].lower())):
            errors.append(invalid(at + field, resource[field], "may have mixed case, but should otherwise match: " + ",".join(found)))
    metadata = resource.get("metadata")
    if isinstance(metadata, dict):
        named = metadata if metadata.get("name") else {**metadata, "name": "fakename"}
        errors += validate_object_meta(
            named, namespaced=bool(metadata.get("namespace")), name_validator=path_segment_name, path=f"{at}metadata", any_finalizers=True)


