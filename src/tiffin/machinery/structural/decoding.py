"""`Structure`: everything that follows from the schema of one version, each part made when it is first needed.

An object that comes in goes through `decode` (metadata brought into form, unknown fields and nulls dropped, embedded metadata
brought into form) and `default`; then `violations` or `update_violations` say what is wrong with it. All of them work in place, on
an object that belongs to its request.

A schema is loaded when it is needed, and kept without its prose: large definitions cost nothing until objects of theirs are written.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from tiffin.machinery.decode import DecodeError, Problem, decode_object
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object
from tiffin.machinery.schema import META, Struct, definition
from tiffin.machinery.structural import embedded
from tiffin.machinery.structural.defaulting import Default, defaulter
from tiffin.machinery.structural.lists import Check, list_check
from tiffin.machinery.structural.pruning import prune, prune_nulls
from tiffin.machinery.structural.rules import RuleNode, rule_node
from tiffin.machinery.structural.types import custom_type
from tiffin.machinery.structural.values import NOWHERE, UNKNOWN, Validator

ANYTHING: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""The schema of a version that has none."""


_PROSE = frozenset({"description", "title", "example", "externalDocs"})


def without_prose(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what is only said to people."""
    bare = {key: value for key, value in schema.items() if key not in _PROSE}
    for key in ("items", "not", "additionalProperties"):
        if isinstance(bare.get(key), dict):
            bare[key] = without_prose(bare[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if bare.get(key):
            bare[key] = [without_prose(sub) for sub in bare[key]]
    if bare.get("properties"):
        bare["properties"] = {name: without_prose(sub) for name, sub in bare["properties"].items()}
    return bare


class Structure:
    """The rules of one version of a custom resource; `load` gives its schema, None for a version without one."""

    def __init__(self, load: Callable[[], dict[str, Any] | None], name: str = "") -> None:
        self._load, self._name = load, name

    def published(self) -> dict[str, Any]:
        """The schema as it was declared."""
        return self._load() or ANYTHING

    @cached_property
    def schema(self) -> dict[str, Any]:
        return without_prose(self.published())

    @cached_property
    def type(self) -> Struct:
        """What patches and managed fields go by."""
        return custom_type(self.schema, self._name)

    def decode(self, obj: Object) -> list[Problem]:
        """Brings a parsed object into form; answers the unknown fields that were dropped. Raises DecodeError."""
        unknown = [f"metadata.{problem.path}" for problem in _decode_metadata(obj)]
        unknown += prune(obj, self.schema)
        prune_nulls(obj, self.schema)
        if self._embedded is not None:
            for resource, path in self._embedded(obj, ""):
                if path:
                    unknown += embedded.coerce(resource, path)
        return [Problem("unknown", path) for path in unknown]

    def default(self, obj: Object) -> None:
        """Fills in the defaults."""
        if self._default is not None:
            self._default(obj)

    def violations(self, obj: Object) -> list[FieldError]:
        """What is wrong with the values of an object."""
        return self._values.validate(obj)

    def update_violations(self, new: Object, old: Object) -> list[FieldError]:
        """What is wrong with the values of an object and was not before."""
        return self._values.validate_update(new, old)

    def status_violations(self, new: Object, old: Object) -> list[FieldError]:
        """What is wrong with the values of the status and was not before. Paths in messages begin at the status."""
        if "status" not in new or self._status is None:
            return []
        found = self._status.validate_update(new["status"], old.get("status", UNKNOWN))
        return [error._replace(field=f"status.{error.field}" if error.field != NOWHERE else "status") for error in found]

    def embedded_violations(self, obj: Object) -> list[FieldError]:
        """What is wrong with resources inside the object."""
        errors: list[FieldError] = []
        if self._embedded is not None:
            for resource, path in self._embedded(obj, ""):
                if path:
                    embedded.check(resource, path, errors)
        return errors

    def repeated(self, obj: Object) -> list[FieldError]:
        """Elements that stand twice in sets and maps."""
        errors: list[FieldError] = []
        if self._lists is not None:
            self._lists(obj, "", errors)
        return errors

    @property
    def has_rules(self) -> bool:
        """Whether there are CEL rules."""
        return self._rules is not None

    def rule_violations(self, new: Object, old: Object | None, passed: list[FieldError]) -> list[FieldError]:
        """What the CEL rules say; `old` is None on creation. What they say of unchanged values is added to `passed`."""
        return self._rules.violations(new, old, passed=passed) if self._rules is not None else []

    @cached_property
    def _rules(self) -> RuleNode | None:
        return rule_node(self.schema, resource=True)

    @cached_property
    def _default(self) -> Default | None:
        return defaulter(self.schema)

    @cached_property
    def _embedded(self) -> embedded.Visit | None:
        return embedded.embedded_in(self.schema)

    @cached_property
    def _lists(self) -> Check | None:
        return list_check(self.schema)

    @cached_property
    def _values(self) -> Validator:
        return Validator(self.schema)

    @cached_property
    def _status(self) -> Validator | None:
        schema = (self.schema.get("properties") or {}).get("status")
        return Validator(schema) if schema is not None else None


def _decode_metadata(obj: Object) -> list[Problem]:
    metadata = obj.get("metadata")
    if metadata is None:
        obj.pop("metadata", None)
        return []
    if metadata.__class__ is not dict:
        kind = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}[metadata.__class__]
        raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta")
    return decode_object(metadata, definition(META + "ObjectMeta"))
