"""`Structure`: everything that follows from the schema of one version, each part made when it is first needed.

An object that comes in goes through `decode` (metadata brought into form, unknown fields and nulls dropped, embedded metadata
brought into form) and `default`; then `violations` or `update_violations` say what is wrong with it. All of them work in place, on
an object that belongs to its request.
"""
from __future__ import annotations

from functools import cached_property
from typing import Any

from tiffin.machinery.decode import DecodeError, Problem, decode_object
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object
from tiffin.machinery.schema import META, definition
from tiffin.machinery.structural import embedded
from tiffin.machinery.structural.defaulting import Default, defaulter
from tiffin.machinery.structural.lists import Check, list_check
from tiffin.machinery.structural.pruning import prune, prune_nulls
from tiffin.machinery.structural.rules import RuleNode, rule_node
from tiffin.machinery.structural.values import Validator

ANYTHING: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""The schema of a version that has none."""


class Structure:
    """The rules of one version of a custom resource."""

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self.schema = ANYTHING if schema is None else schema

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

    def rule_violations(self, new: Object, old: Object | None) -> list[FieldError]:
        """What the CEL rules say; `old` is None on creation."""
        return self._rules.violations(new, old) if self._rules is not None else []

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


def _decode_metadata(obj: Object) -> list[Problem]:
    metadata = obj.get("metadata")
    if metadata is None:
        obj.pop("metadata", None)
        return []
    if metadata.__class__ is not dict:
        kind = {str: "string", bool: "bool", int: "number", float: "number", list: "array"}[metadata.__class__]
        raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta")
    return decode_object(metadata, definition(META + "ObjectMeta"))
