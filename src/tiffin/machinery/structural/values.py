"""Whether values are what a schema allows, in the words Kubernetes uses (which are those of go-openapi).

A `Validator` is made of a schema once and keeps what it needs of it; the validators of fields and items are made when a value of
theirs first comes. All violations are found, and in this order: type, junctors (anyOf, oneOf, allOf, not), text, format, number,
list, enum, object. `check` also counts how much of a schema a value satisfied: of alternatives that all fail, the violations of
the one that satisfied most are told.

Ratcheting: where the old value is known and the new one equals it, violations are passed over. Items of a list are compared with
those of the same key in lists of type map; all other lists are equal as a whole or not. Source: KEP-4008.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel.regex import RegexError, compile_regex
from tiffin.machinery.field import FieldError, go_number, invalid, not_supported, required, too_long, too_many, type_invalid
from tiffin.machinery.structural.formats import text_format
from tiffin.machinery.structural.lists import identity

NOWHERE = "<nil>"
"""The path of what concerns no single field."""
_LARGEST_SAFE = 2**53 - 1
_INT_RANGES = {"int32": (-2**31, 2**31 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
_INT64 = (-2**63, 2**63 - 1)


class _Unknown:
    """The mark of an old value that cannot be correlated with a new one."""


UNKNOWN = _Unknown()


def json_type(value: Any) -> str:
    """The JSON type of a value in Go's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return {str: "string", float: "number", dict: "object", list: "array"}[value.__class__]


def _go_format(value: Any) -> str:
    """The format Go would give a value."""
    if isinstance(value, bool):
        return ""
    return "int64" if isinstance(value, int) else "float64" if isinstance(value, float) else ""


class Validator:
    """The compiled form of one schema."""

    __slots__ = (
        "_children", "_format", "_format_check", "_items", "_junctors", "_not", "_others", "_pattern", "_properties", "_required", "_types",
        "enum", "format", "list_keys", "list_type", "nullable", "number_type", "schema")

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._types: tuple[str, ...] = (schema["type"],) if schema.get("type") else ("integer", "string") if schema.get("x-kubernetes-int-or-string") else ()
        self.number_type = self._types[0] if len(self._types) == 1 else ""
        self.nullable = bool(schema.get("nullable"))
        self.format = schema.get("format") or ""
        self._format_check = text_format(self.format) if self.format else None
        if self._format_check is None and self.format not in ("int32", "int64", "float", "double"):
            self.format = ""
        self.enum: list[Any] = schema.get("enum") or []
        self._pattern = _search(schema["pattern"]) if schema.get("pattern") else None
        self._required: list[str] = schema.get("required") or []
        self._properties: dict[str, Any] = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        self._others = others if isinstance(others, dict) else None
        self.list_type, self.list_keys = schema.get("x-kubernetes-list-type"), tuple(schema.get("x-kubernetes-list-map-keys") or ())
        self._children: dict[str, Validator] = {}
        self._items: Validator | None = None
        self._junctors: dict[str, list[Validator]] | None = None
        self._not: Validator | None = None

    def validate(self, value: Any, path: str = "") -> list[FieldError]:
        """The violations of a value at a path."""
        errors: list[FieldError] = []
        self.check(value, path, errors)
        return errors

    def validate_update(self, value: Any, old: Any, path: str = "") -> list[FieldError]:
        """The violations that `old` did not have already."""
        errors: list[FieldError] = []
        self.check(value, path, errors, old)
        return errors

    def check(self, value: Any, path: str, errors: list[FieldError], old: Any = UNKNOWN) -> int:
        """Adds the violations of a value, but not those that its equal old value had; answers how many checks were met."""
        before = len(errors)
        count = self._run(value, path, errors, old)
        if len(errors) > before and old is not UNKNOWN and unchanged(self.schema, old, value):
            del errors[before:]
        return count

    def _run(self, value: Any, path: str, errors: list[FieldError], old: Any) -> int:
        if value is None:
            return self._null(path, errors)
        count = 5  # junctors (twice), enum, and the whole, of which each counts whether met or not
        if self._types or self.format:
            count += 1
            if self._check_type(value, path, errors):
                count += 1
        schema = self.schema
        if "anyOf" in schema or "oneOf" in schema or "allOf" in schema or "not" in schema:
            count += self._check_junctors(value, path, errors, old)
        kind = value.__class__
        if kind is str:
            count += 1
            self._check_text(value, path, errors)
            if self._format_check is not None:
                count += 1
                if not self._format_check(value):
                    errors.append(_wrong_type(path, schema["format"], value))
        elif kind is dict:
            count += 1
        elif kind is list:
            count += 2 + self._check_list(value, path, errors, old)
        elif kind is not bool:
            count += 2
            self._check_number(value, path, errors)
        if self.enum and not any(_same(value, allowed) for allowed in self.enum):
            errors.append(self._unsupported(value, path))
        if kind is dict:
            count += self._check_object(value, path, errors, old)
        return count

    def _null(self, path: str, errors: list[FieldError]) -> int:
        met = 1
        if self._types and not self.nullable:
            errors.append(_wrong_type(path, ",".join(self._types), "null"))
            met = 0
        if self.enum:
            errors.append(self._unsupported(None, path))
        return met

    def _check_type(self, value: Any, path: str, errors: list[FieldError]) -> bool:
        given, types = json_type(value), self._types
        if given in types or (given == "integer" and "number" in types):
            return True
        whole = given == "number" and "integer" in types and value.is_integer() and abs(value) <= _LARGEST_SAFE
        if whole:
            return True
        numeric = "number" in types or "integer" in types
        if self.format and given not in ("string", "array") and _go_format(value) != self.format:
            errors.append(_wrong_type(path, self.format, _go_format(value)))
            return False
        if self.format and not numeric and given in ("string", "array"):
            return True
        if not types:
            return True
        errors.append(_wrong_type(path, ",".join(types), given))
        return False

    def _unsupported(self, value: Any, path: str) -> FieldError:
        return not_supported(path or NOWHERE, value, [v if isinstance(v, str) else identity(v).decode() for v in self.enum])

    # text and numbers

    def _check_text(self, value: str, path: str, errors: list[FieldError]) -> None:
        schema = self.schema
        longest, shortest = schema.get("maxLength"), schema.get("minLength")
        if longest is not None and len(value) > longest:
            errors.append(too_long(path or NOWHERE, longest))
        elif shortest is not None and len(value) < shortest:
            errors.append(_out_of_place(path, value, f"should be at least {shortest} chars long"))
        elif self._pattern is not None and not self._pattern(value):
            errors.append(_out_of_place(path, value, f"should match '{schema['pattern']}'"))

    def _check_number(self, value: float, path: str, errors: list[FieldError]) -> None:
        self._check_range(value, "Checked", path, errors)
        schema = self.schema
        if (factor := schema.get("multipleOf")) is not None and not _is_multiple(value, factor):
            errors.append(_out_of_place(path, value, f"should be a multiple of {go_number(factor)}"))
        if (least := schema.get("minimum")) is not None:
            if schema.get("exclusiveMinimum"):
                if value <= least:
                    errors.append(_out_of_place(path, value, f"should be greater than {go_number(least)}"))
            elif value < least:
                errors.append(_out_of_place(path, value, f"should be greater than or equal to {go_number(least)}"))
        if (most := schema.get("maximum")) is not None:
            if schema.get("exclusiveMaximum"):
                if value >= most:
                    errors.append(_out_of_place(path, value, f"should be less than {go_number(most)}"))
            elif value > most:
                errors.append(_out_of_place(path, value, f"should be less than or equal to {go_number(most)}"))

    def _check_range(self, value: float, what: str, path: str, errors: list[FieldError]) -> None:
        """Whether a number fits what its schema calls it: only whole numbers have limits that matter."""
        if self.number_type != "integer":
            return
        low, high = _INT_RANGES.get(self.format, _INT64)
        if not float(value).is_integer() or not low <= value <= high:
            kind = f"with format {self.format}" if self.format else "(default format)"
            errors.append(_general(f"{what} value must be of type integer {kind} in {path}"))

    # lists and objects

    def _check_list(self, value: list[Any], path: str, errors: list[FieldError], old: Any) -> int:
        count, schema = 0, self.schema
        if "items" in schema:
            if self._items is None:
                self._items = Validator(schema["items"])
            items = self._items
            earlier = correlate(schema, old, value) if old is not UNKNOWN else None
            for index, item in enumerate(value):
                count += items.check(item, f"{path}[{index}]", errors, UNKNOWN if earlier is None else earlier(index))
        size = len(value)
        if (least := schema.get("minItems")) is not None and size < least:
            errors.append(_out_of_place(path, size, f"should have at least {least} items"))
        if (most := schema.get("maxItems")) is not None and size > most:
            errors.append(too_many(path or NOWHERE, size, most))
        if schema.get("uniqueItems") and len({identity(item) for item in value}) < size:
            errors.append(_out_of_place(path, "", "shouldn't contain duplicates"))
        return count

    def _check_object(self, value: dict[str, Any], path: str, errors: list[FieldError], old: Any) -> int:
        count, schema = 0, self.schema
        size = len(value)
        if (least := schema.get("minProperties")) is not None and size < least:
            errors.append(_out_of_place(path, size, f"should have at least {least} properties"))
            return 0
        if (most := schema.get("maxProperties")) is not None and size > most:
            errors.append(too_many(path or NOWHERE, size, most))
            return 0
        children = self._children
        before = old if old.__class__ is dict else None
        for key, item in value.items():
            child = children.get(key) or self._child(key)
            if child is not None:
                earlier = before[key] if before is not None and key in before else UNKNOWN
                count += child.check(item, f"{path}.{key}" if path else key, errors, earlier)
        for key in self._required:
            if key not in value:
                errors.append(required(f"{path}.{key}" if path else key))
        return count

    def _child(self, key: str) -> Validator | None:
        schema = self._properties.get(key)
        if schema is not None:
            made = self._children[key] = Validator(schema)
            return made
        if self._others is None:
            return None
        if self._items is None:  # the validator of list items serves for the items of maps as well: no value is both
            self._items = Validator(self._others)
        return self._items

    # junctors

    def _check_junctors(self, value: Any, path: str, errors: list[FieldError], old: Any) -> int:
        if self._junctors is None:
            self._junctors = {key: [Validator(sub) for sub in self.schema.get(key) or ()] for key in ("anyOf", "oneOf", "allOf")}
            if self.schema.get("not") is not None:
                self._not = Validator(self.schema["not"])
        count = self._check_any(value, path, errors, old) + self._check_one(value, path, errors, old)
        validated = 0
        for schema in self._junctors["allOf"]:
            found: list[FieldError] = []
            count += schema._run(value, path, found, old)
            validated += not found
            errors += found
        if validated < len(self._junctors["allOf"]):
            errors.append(_general(f'"{path}" must validate all the schemas (allOf){"" if validated else ". None validated"}'))
        if self._not is not None:
            found = []
            self._not._run(value, path, found, old)
            if not found:
                errors.append(_general(f'"{path}" must not validate the schema (not)'))
        return count

    def _check_any(self, value: Any, path: str, errors: list[FieldError], old: Any) -> int:
        assert self._junctors is not None
        best: tuple[int, list[FieldError]] | None = None
        for schema in self._junctors["anyOf"]:
            found: list[FieldError] = []
            count = schema._run(value, path, found, old)
            if not found:
                return count
            if best is None or count > best[0]:
                best = count, found
        if best is None:
            return 0
        errors.append(_general(f'"{path}" must validate at least one schema (anyOf)'))
        errors += best[1]
        return best[0]

    def _check_one(self, value: Any, path: str, errors: list[FieldError], old: Any) -> int:
        assert self._junctors is not None
        best: tuple[int, list[FieldError]] | None = None
        counts: list[int] = []
        for schema in self._junctors["oneOf"]:
            found: list[FieldError] = []
            count = schema._run(value, path, found, old)
            if not found:
                counts.append(count)
            elif not counts and (best is None or count > best[0]):
                best = count, found
        if len(counts) == 1 or not self._junctors["oneOf"]:
            return counts[0] if counts else 0
        told = f"Found {len(counts)} valid alternatives" if counts else "Found none valid"
        errors.append(_general(f'"{path}" must validate one and only one schema (oneOf). {told}'))
        if not counts and best is not None:
            errors += best[1]
            return best[0]
        return 0


def _search(pattern: str) -> Callable[[str], Any] | None:
    """What looks for a pattern; None for one that no definition would be accepted with today."""
    try:
        return compile_regex(pattern).search
    except RegexError:
        return None


def _wrong_type(path: str, wanted: str, given: str) -> FieldError:
    return type_invalid(path or NOWHERE, given, f'{path} in body must be of type {wanted}: "{given}"')


def _out_of_place(path: str, value: Any, words: str) -> FieldError:
    return invalid(path or NOWHERE, value, f"{path} in body {words}")


def _general(words: str) -> FieldError:
    return invalid(NOWHERE, "", words)


def _same(value: Any, allowed: Any) -> bool:
    return bool(value == allowed) and isinstance(value, bool) is isinstance(allowed, bool)


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    quotient = value / factor
    return math.isfinite(quotient) and float(quotient).is_integer()


# old values

def correlate(schema: dict[str, Any], old: Any, new: list[Any]) -> Callable[[int], Any]:
    """The function from the place of an item in `new` to its counterpart in the old list, UNKNOWN where it has none."""
    if old.__class__ is not list or schema.get("x-kubernetes-list-type") != "map":
        return lambda index: UNKNOWN
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    by_key = {_map_key(item, keys): item for item in reversed(old) if item.__class__ is dict}
    return lambda index: by_key.get(_map_key(new[index], keys), UNKNOWN) if new[index].__class__ is dict else UNKNOWN


def _map_key(item: dict[str, Any], keys: Any) -> bytes:
    return identity([item.get(key) for key in keys])


def unchanged(schema: dict[str, Any], old: Any, new: Any) -> bool:
    """Whether a value equals its old one; of an object this can be told only where the schema describes all its fields."""
    if new.__class__ is list and old.__class__ is list:
        items = schema.get("items")
        if schema.get("x-kubernetes-list-type") != "map" or items is None or len(old) != len(new):
            return same(old, new)
        earlier = correlate(schema, old, new)
        return all((was := earlier(i)) is not UNKNOWN and unchanged(items, was, item) for i, item in enumerate(new))
    if new.__class__ is dict and old.__class__ is dict:
        if len(old) != len(new):
            return False
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        return all(
            key in old and isinstance(below := properties.get(key, others), dict) and unchanged(below, old[key], item) for key, item in new.items())
    return same(old, new)


def same(old: Any, new: Any) -> bool:
    """Whether two JSON values are equal, true and 1 being different."""
    return old == new and identity(old) == identity(new)
