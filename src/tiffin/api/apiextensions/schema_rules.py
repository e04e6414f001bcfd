"""What the schema of a CustomResourceDefinition must be beyond being structural: keywords and their combinations, node by node.

Errors come in the order in which Kubernetes walks a schema; those of CEL rules follow those of keywords. Rules are compiled only
where the schema is structural, its defaults are right, and no keyword on or below their node is wrong.
"""
from __future__ import annotations

import re
from typing import Any, NamedTuple

from tiffin.api.apiextensions.rule_costs import Costs
from tiffin.api.apiextensions.schema_defaults import default_errors
from tiffin.api.apiextensions.schema_structure import structure_errors
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.structural.rulepaths import FieldPathError, follow

Schema = dict[str, Any]
TYPES = ("array", "boolean", "integer", "number", "object", "string")
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum", "MaxLength", "MinLength", "Pattern",
    "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items", "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields",
    "XValidations")
_AT_ROOT_KEYS = frozenset({"x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations", *(name[0].lower() + name[1:] for name in AT_ROOT)})
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_EVEN_EMPTY = ("additionalItems", "dependencies", "$ref")
_SWITCHES = ("nullable", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string")
_METADATA = ("metadata", "kind", "apiVersion")
_line_break = re.compile(r"[\n\r]")


class _Place(NamedTuple):
    """What is known of where a node stands."""

    no_defaults: str = ""
    """Why there may be no defaults."""
    in_metadata: bool = False
    uncorrelated: str = ""
    """The first schema on the way whose inside has no old values."""

    def without_old(self, path: str) -> _Place:
        return self if self.uncorrelated else self._replace(uncorrelated=path)


def schema_errors(schema: Schema, status: bool, path: str, structural: bool = True) -> list[FieldError]:
    """What is wrong with the schema of a version; `status`: it has the status subresource; `structural`: it has to be."""
    errors = _root_errors(schema, path) if status else []
    if schema.get("nullable"):
        errors.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    structural = structural and not _is_unreadable(schema)
    wrong = structure_errors(schema, path) or default_errors(schema, path) if structural else []
    costs = Costs.root(schema) if structural and not wrong else None
    keywords, rules = _node_errors(schema, path, _Place(), True, costs)
    errors += wrong + keywords + rules
    return errors + (costs.total_errors(path) if costs is not None else [])


def _unsupported(schema: Schema) -> list[str]:
    """The keywords of a node that no schema may have."""
    return [name for name in _UNSUPPORTED if (schema.get(name) is not None if name in _EVEN_EMPTY else schema.get(name))]


def _is_unreadable(schema: Any) -> bool:
    """Whether something in a schema cannot stand in a structural one at all; no more is said of its structure then."""
    if not isinstance(schema, dict):
        return False
    if _unsupported(schema) or schema.get("type") == "null" or (isinstance(schema.get("items"), list) and schema["items"]):
        return True
    below = [schema.get("items"), schema.get("additionalProperties"), schema.get("not"), *(schema.get("properties") or {}).values()]
    for junctor in ("allOf", "anyOf", "oneOf"):
        below += schema.get(junctor) or []
    return any(map(_is_unreadable, below))


def _root_errors(schema: Schema, path: str) -> list[FieldError]:
    before_type = any(schema.get(key) for key in ("id", "$schema")) or schema.get("$ref") is not None
    if not before_type and schema.get("type") and schema["type"] != "object":
        return [invalid(f"{path}.type", schema["type"], 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled')]
    if all(key in _AT_ROOT_KEYS or value is None or (value is False and key in _SWITCHES) or value == "" for key, value in schema.items()):
        return []
    words = f"only [{' '.join(AT_ROOT)}] fields are allowed at the root of the schema if the status subresource is enabled"
    return [invalid(path, schema, words)]


def _node_errors(schema: Schema, path: str, place: _Place, root: bool, costs: Costs | None) -> tuple[list[FieldError], list[FieldError]]:
    """Errors of keywords and of rules, on a node and below."""
    keywords, rules = _plain_errors(schema, path, place), []

    def descend(sub: Any, step: str, inside: _Place, below: Costs | None) -> None:
        if isinstance(sub, dict):
            found = _node_errors(sub, f"{path}.{step}", inside, False, below)
            keywords.extend(found[0])
            rules.extend(found[1])

    others = schema.get("additionalProperties")
    if others is not None:
        if schema.get("properties") and others is not True:
            keywords.append(forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"))
        inside = place._replace(no_defaults="inside additionalProperties applying to object metadata") if place.in_metadata else place
        descend(others, "additionalProperties", inside, costs and costs.values(schema))
    for key, sub in (schema.get("properties") or {}).items():
        descend(sub, f"properties[{key}]", _property_place(schema, key, path, place, root), costs and costs.field(schema, key))
    descend(schema.get("not"), "not", place, None)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for index, sub in enumerate(schema.get(junctor) or ()):
            descend(sub, f"{junctor}[{index}]", place, None)
    if isinstance(schema.get("items"), dict):
        inside = place if schema.get("x-kubernetes-list-type") == "map" else place.without_old(path)
        descend(schema["items"], "items", inside, costs and costs.items(schema))
    keywords += _extension_errors(schema, path) + _rule_form_errors(schema, path)
    if schema.get("x-kubernetes-validations") and not keywords and costs is not None:
        rules += costs.rule_errors(schema, path, place.uncorrelated)
    return keywords, rules


def _property_place(schema: Schema, key: str, path: str, place: _Place, root: bool) -> _Place:
    if schema.get("x-kubernetes-map-type") == "atomic":
        place = place.without_old(path)
    if (root or schema.get("x-kubernetes-embedded-resource")) and key in _METADATA:
        place = place._replace(in_metadata=True)
        if root:
            place = place._replace(no_defaults=f"in top-level {key}")
    return place


def _plain_errors(schema: Schema, path: str, place: _Place) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        errors.append(not_supported(f"{path}.type", kind, TYPES))
    if schema.get("default") is not None and place.no_defaults:
        errors.append(forbidden(f"{path}.default", f"must not be set {place.no_defaults}"))
    errors += [forbidden(f"{path}.{name}", f"{name} is not supported") for name in _unsupported(schema)]
    if kind == "null":
        errors.append(forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative"))
    if isinstance(schema.get("items"), list) and schema["items"]:
        errors.append(forbidden(f"{path}.items", "items must be a schema object and not an array"))
    if place.in_metadata and schema.get("x-kubernetes-embedded-resource"):
        errors.append(forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta"))
    if schema.get("uniqueItems"):
        errors.append(forbidden(f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"))
    return errors


def _extension_errors(schema: Schema, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.append(invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined"))
    map_type, list_type = schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")
    if map_type is not None and kind != "object":
        errors.append(_type_error(kind, f"{path}.type", "must be object if x-kubernetes-map-type is specified"))
    if map_type is not None and map_type not in ("atomic", "granular"):
        errors.append(not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular")))
    if list_type is not None and kind != "array":
        errors.append(_type_error(kind, f"{path}.type", "must be array if x-kubernetes-list-type is specified"))
    elif list_type == "set" and isinstance(schema.get("items"), dict):
        errors += _set_item_errors(schema["items"], f"{path}.items")
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        errors.append(not_supported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map")))
    if schema.get("x-kubernetes-list-map-keys") and list_type != "map":
        errors.append(_type_error(list_type or "", f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty"))
    if list_type == "map":
        errors += _map_list_errors(schema, path)
    return errors + _item_errors(schema, path)


def _type_error(kind: str, path: str, words: str) -> FieldError:
    return invalid(path, kind, words) if kind else required(path, words)


def _set_item_errors(items: Schema, path: str) -> list[FieldError]:
    words = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        return [invalid(f"{path}.x-kubernetes-list-type", items["x-kubernetes-list-type"], words)]
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        return [invalid(f"{path}.x-kubernetes-map-type", items.get("x-kubernetes-list-type"), words)]
    return []


def _map_list_errors(schema: Schema, path: str) -> list[FieldError]:
    keys, items = schema.get("x-kubernetes-list-map-keys") or [], schema.get("items")
    errors: list[FieldError] = []
    if not keys:
        errors.append(required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
    if items is None:
        return [*errors, required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")]
    if not isinstance(items, dict):
        return [*errors, invalid(f"{path}.items", items, "must only have a single schema if x-kubernetes-list-type is map")]
    if items.get("type") != "object":
        words = "must be object if parent array's x-kubernetes-list-type is map"
        return [*errors, invalid(f"{path}.items.type", items.get("type") or "", words)]
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            errors.append(invalid(f"{path}.x-kubernetes-list-map-keys", keys, "entries must all be names of item properties"))
        elif properties[key].get("type") in ("array", "object"):
            words = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.append(invalid(f"{path}.items.properties[{key}].type", items["type"], words))
        if key in keys[:index]:
            errors.append(invalid(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries"))
    return errors


def _item_errors(schema: Schema, path: str) -> list[FieldError]:
    """Items of sets and maps are never null, and the keys of maps are always there."""
    list_type, items = schema.get("x-kubernetes-list-type"), schema.get("items")
    if list_type not in ("set", "map") or not isinstance(items, dict):
        return []
    errors: list[FieldError] = []
    if items.get("nullable"):
        errors.append(forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {list_type}"))
    for key in schema.get("x-kubernetes-list-map-keys") or () if list_type == "map" else ():
        described = (items.get("properties") or {}).get(key)
        if described is None:
            continue
        here = f"{path}.items.properties[{key}]"
        if key not in (items.get("required") or ()) and described.get("default") is None:
            words = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(required(f"{here}.default", words))
        if described.get("nullable"):
            errors.append(forbidden(f"{here}.nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"))
    return errors


def _rule_form_errors(schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with rules before they are compiled."""
    errors: list[FieldError] = []
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        here = f"{path}.x-kubernetes-validations[{index}]"
        text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            errors.append(required(f"{here}.rule", "rule is not specified"))
        elif message and not message.strip():
            errors.append(invalid(f"{here}.message", message, "must be non-empty if specified"))
        elif _line_break.search(message.strip()):
            errors.append(invalid(f"{here}.message", message, "must not contain line breaks"))
        elif _line_break.search(text) and not message:
            errors.append(required(f"{here}.message", "must be specified if rule contains line breaks"))
        expression, reason, field = rule.get("messageExpression") or "", rule.get("reason"), rule.get("fieldPath") or ""
        if expression and not expression.strip():
            errors.append(required(f"{here}.messageExpression", "must be non-empty if specified"))
        if reason is not None and reason not in REASONS:
            errors.append(not_supported(f"{here}.reason", reason, REASONS))
        if field and not field.strip():
            errors.append(invalid(f"{here}.fieldPath", field, "must be non-empty if specified"))
        if _line_break.search(field):
            errors.append(invalid(f"{here}.fieldPath", field, "must not contain line breaks"))
        if field and not _leads_somewhere(schema, field):
            errors.append(invalid(f"{here}.fieldPath", field, "must be a valid path"))
    return errors


def _leads_somewhere(schema: Schema, path: str) -> bool:
    try:
        follow(schema, path)
    except FieldPathError:
        return False
    return True
