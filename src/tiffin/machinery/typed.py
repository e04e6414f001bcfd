"""Values seen through their types: which fields they set, how two differ, how they merge, and what is left without some fields.

The schema decides what counts as one piece: scalars, atomic lists and maps are leaves; other maps and structs go field by field,
lists of type set by value, lists of type map by their keys (with the schema's defaults for missing ones). Data without a
schema is deduced: maps field by field, lists atomic. Null is a value, absence is not.
Values are shared and never changed. Source: structured-merge-diff typed (compare, merge, remove, toFieldSet, validate).
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

import orjson

from tiffin.machinery.fieldset import LEAF, SELF, FieldSet, Node, as_member, is_member
from tiffin.machinery.schema import Field, List, Map, Raw, Scalar, SchemaOr, Struct, Type

UNTYPED = Raw()


class TypedError(ValueError):
    """A value that is not of its type; the message names every violation with its path."""


def child_type(type: Type, name: str) -> Type:
    """The type of a field or map value."""
    if isinstance(type, Struct):
        field = type.fields.get(name)
        return field.type if field else UNTYPED
    return type.values if isinstance(type, Map) else UNTYPED


def _goes_by_field(type: Type, *values: Any) -> bool:
    """Whether a type's values are taken apart by field; without a schema their form decides."""
    if isinstance(type, (Struct, Map)):
        return not type.atomic
    return isinstance(type, (Raw, SchemaOr)) and all(v is None or v.__class__ is dict for v in values) and any(v is not None for v in values)


def _goes_by_element(type: Type) -> bool:
    return isinstance(type, List) and type.list_type != "atomic"


# Elements of lists

def element_of(type: List) -> Callable[[Any], str]:
    """The function from a list's items to their path elements; ValueError for an item that has none."""
    return type.derive("element", _element_of)  # type: ignore[no-any-return]


def _element_of(type: Type) -> Callable[[Any], str]:
    assert isinstance(type, List)
    if type.list_type == "set":
        return lambda item: f"v:{orjson.dumps(item).decode()}"
    keys = sorted(type.keys)
    defaults = {key: _default(type.items, key) for key in keys}
    if len(keys) == 1 and defaults[keys[0]] is None:
        key, head = keys[0], f"k:{{{orjson.dumps(keys[0]).decode()}:"

        def single(item: Any) -> str:
            if item.__class__ is not dict or item.get(key) is None:
                raise ValueError(_omitted(keys))
            return f"{head}{orjson.dumps(item[key]).decode()}}}"

        return single

    def several(item: Any) -> str:
        if item.__class__ is not dict:
            raise ValueError(_omitted(keys))
        values = {key: item.get(key, defaults[key]) for key in keys}
        present = {key: value for key, value in values.items() if value is not None}
        if not present:
            raise ValueError(_omitted(type.keys))
        return f"k:{orjson.dumps(present).decode()}"

    return several


def _default(items: Type, key: str) -> Any:
    field: Field | None = items.fields.get(key) if isinstance(items, Struct) else None
    return field.default if field else None


def _omitted(keys: Iterable[str]) -> str:
    listed = " ".join(orjson.dumps(key).decode() for key in keys)
    return f"associative list with keys has an element that omits all key fields [{listed}] (and doesn't have default values for any key fields)"


def _elements(type: List, items: Any) -> dict[str, list[Any]]:
    """Items by path element, in order; items without one are left out."""
    element = element_of(type)
    grouped: dict[str, list[Any]] = {}
    for item in items or ():
        try:
            grouped.setdefault(element(item), []).append(item)
        except ValueError:
            continue
    return grouped


# Which fields a value sets

def field_set(type: Type, value: Any) -> FieldSet:
    """The fields that an applied value owns."""
    return _owned(type, value) or {}


def _owned(type: Type, value: Any) -> Node | None:
    if _goes_by_field(type, value):
        return _owned_fields(type, value) if value else None
    if isinstance(type, List) and _goes_by_element(type):
        children = {}
        for element, items in _elements(type, value).items():
            children[element] = as_member(_owned(type.items, items[0])) if len(items) == 1 else LEAF
        return children or None
    return LEAF


def _owned_fields(type: Type, value: dict[str, Any]) -> Node | None:
    children: Node = {}
    declared = type.fields if isinstance(type, Struct) else ()
    for name, item in value.items():
        node = _owned(child_type(type, name), item)
        if item is None or item == {} or name not in declared:
            node = as_member(node)
        if node is not None:
            children[f"f:{name}"] = node
    return children or None


# How values differ

def added(type: Type) -> Callable[[Any], Node]:
    """The function from a value that was absent to the fields that came with it."""
    return type.derive("added", _added)  # type: ignore[no-any-return]


def _leaf(value: Any) -> Node:
    return LEAF


def _added(type: Type) -> Callable[[Any], Node]:
    if isinstance(type, (Struct, Map)):
        if type.atomic:
            return _leaf
        return _added_struct(type) if isinstance(type, Struct) else _added_map(added(type.values))
    if isinstance(type, List):
        return (lambda values: _added_elements(type, values) if values and values.__class__ is list else LEAF) if _goes_by_element(type) else _leaf
    if isinstance(type, (Raw, SchemaOr)):
        return lambda value: _added_map(added(UNTYPED))(value) if value.__class__ is dict else LEAF
    return _leaf


def _added_struct(type: Struct) -> Callable[[Any], Node]:
    table: dict[str, tuple[str, Callable[[Any], Node]]] = {}

    def struct(value: Any) -> Node:
        if not value or value.__class__ is not dict:  # a custom resource is validated after its owners are noted
            return LEAF
        node = {SELF: LEAF}
        for name, item in value.items():
            known = table.get(name)
            if known is None:
                known = f"f:{name}", added(child_type(type, name))
                if name in type.fields:
                    table[name] = known
            element, inner = known
            node[element] = LEAF if inner is _leaf else inner(item)
        return node

    return struct


def _added_map(inner: Callable[[Any], Node]) -> Callable[[Any], Node]:
    def mapping(value: Any) -> Node:
        if not value or value.__class__ is not dict:
            return LEAF
        node = {SELF: LEAF}
        for name, item in value.items():
            node[f"f:{name}"] = inner(item)
        return node

    return mapping


def _added_elements(type: List, values: list[Any]) -> Node:
    node: Node = {SELF: LEAF}
    element, of_item = element_of(type), added(type.items)
    for item in values:
        try:
            name = element(item)
        except ValueError:
            continue
        node[name] = LEAF if name in node else of_item(item)  # of elements that stand twice only the place is owned
    return node


_CONTAINERS = {dict, list, NoneType}


def compare(type: Type, old: Any, new: Any) -> tuple[Node | None, Node | None]:
    """The nodes of what was added or changed, and of what was removed, between two present values; None where there is nothing."""
    if old is new or old == new:
        return None, None
    kinds = {old.__class__, new.__class__}
    if not kinds <= _CONTAINERS:
        return LEAF, None
    if list not in kinds and _goes_by_field(type, old, new):
        return compare_fields(type, old, new) if old or new else (LEAF, None)
    if dict not in kinds and isinstance(type, List) and _goes_by_element(type):
        return _compare_elements(type, old, new) if old or new else (LEAF, None)
    return LEAF, None


def compare_fields(type: Type, old: Any, new: Any) -> tuple[Node | None, Node | None]:
    """`compare` for values that are taken apart by field."""
    changed: Node = {}
    removed: Node = {}
    old, new = old or {}, new or {}
    for name, value in new.items():
        if name not in old:
            changed[f"f:{name}"] = added(child_type(type, name))(value)
        elif (before := old[name]) is not value and before != value:
            note(f"f:{name}", compare(child_type(type, name), before, value), changed, removed)
    for name, value in old.items():
        if name not in new:
            removed[f"f:{name}"] = added(child_type(type, name))(value)
    return changed or None, removed or None


def _compare_elements(type: List, old: Any, new: Any) -> tuple[Node | None, Node | None]:
    changed: Node = {}
    removed: Node = {}
    before, after = _elements(type, old), _elements(type, new)
    of_item = added(type.items)
    for element, items in after.items():
        mine = before.get(element)
        if mine is None:
            changed[element] = of_item(items[0]) if len(items) == 1 else LEAF
        elif len(items) == len(mine) == 1:
            note(element, compare(type.items, mine[0], items[0]), changed, removed)
        elif items != mine:
            changed[element] = LEAF
    for element, items in before.items():
        if element not in after:
            removed[element] = of_item(items[0]) if len(items) == 1 else LEAF
    return changed or None, removed or None


def note(element: str, found: tuple[Node | None, Node | None], changed: Node, removed: Node) -> None:
    """Adds what `compare` found below an element to the nodes above it."""
    if found[0] is not None:
        changed[element] = found[0]
    if found[1] is not None:
        removed[element] = found[1]


# How values merge

def merge(type: Type, old: Any, new: Any) -> Any:
    """What comes of applying `new` over `old`, both present: `new` wins, and what only `old` has stays."""
    if _goes_by_field(type, old, new) and (old or new):
        merged = dict(old or {})
        for name, value in (new or {}).items():
            merged[name] = merge(child_type(type, name), merged[name], value) if name in merged else value
        return merged
    if isinstance(type, List) and _goes_by_element(type) and (old or new):
        return _merge_elements(type, old or [], new or [])
    return new


def _merge_elements(type: List, old: list[Any], new: list[Any]) -> list[Any]:
    """Elements of both: those of `new` keep their order, those only `old` has stay before the shared one they stood before."""
    element = element_of(type)
    left, right = [(element(item), item) for item in old], [(element(item), item) for item in new]
    mine, theirs = dict(left), dict(right)
    shared = [e for e, _ in right if e in mine]
    merged: list[Any] = []
    done: set[str] = set()
    i = j = at = 0

    def take(e: str) -> None:
        nonlocal at
        merged.append(merge(type.items, mine[e], theirs[e]) if e in mine else theirs[e])
        done.add(e)
        if at < len(shared) and shared[at] == e:
            at += 1

    while i < len(left) or j < len(right):
        if i < len(left):
            e, item = left[i]
            if e not in theirs:
                merged.append(item)
                i += 1
                continue
            if j < len(right) and e == right[j][0]:
                take(e)
                i, j = i + 1, j + 1
                continue
            if j < len(right) and at < len(shared) and shared[at] != e:
                i += 1  # shared, but another one comes first
                continue
            if e in done:
                i += 1
        if j < len(right):
            take(right[j][0])
            j += 1
    return merged


# What is left without some fields

def remove(type: Type, value: Any, gone: FieldSet) -> Any:
    """The value without the members of a set; null if nothing is left. Atomic values below a path of the set go whole."""
    if not gone:
        return value
    if _goes_by_field(type, value) and value:
        left = {}
        for name, item in value.items():
            node = gone.get(f"f:{name}")
            if node is None:
                left[name] = item
            elif not is_member(node):
                left[name] = remove(child_type(type, name), item, node)
        return left or None
    if isinstance(type, List) and _goes_by_element(type) and value:
        element, kept = element_of(type), []
        for item in value:
            try:
                node = gone.get(element(item))
            except ValueError:
                node = None
            if node is None:
                kept.append(item)
            elif not is_member(node):
                kept.append(remove(type.items, item, node))
        return kept or None
    return None if isinstance(type, (Struct, Map, List)) or isinstance(value, (dict, list)) else value


def with_named_fields(type: Type, fields: FieldSet) -> FieldSet:
    """The set with every declared field that leads to a member made a member itself."""
    made: FieldSet = {}
    for element, node in fields.items():
        if element == SELF:
            made[SELF] = node
            continue
        inner = type.items if isinstance(type, List) else child_type(type, element[2:])
        below = with_named_fields(inner, node) if node else node
        named = isinstance(type, Struct) and element[0] == "f" and element[2:] in type.fields
        made[element] = as_member(below) if named else below
    return made


# Whether a value is of its type

def validate(type: Type, value: Any) -> None:
    """TypedError unless an applied value fits its type: no undeclared fields, no elements without keys, none twice."""
    errors: list[str] = []
    _validate(type, value, "", errors)
    if errors:
        raise TypedError(errors[0] if len(errors) == 1 else "\n".join(["errors:", *(f"  {error}" for error in errors)]))


def _validate(type: Type, value: Any, path: str, errors: list[str]) -> None:
    if value is None:
        return
    if isinstance(type, (Struct, Map)):
        if not isinstance(value, dict):
            errors.append(f"{path}: expected map, got {_go(value)}")
            return
        for name, item in value.items():
            if isinstance(type, Struct) and name not in type.fields and not type.preserve:
                errors.append(f"{path}.{name}: field not declared in schema")
            else:
                _validate(child_type(type, name), item, f"{path}.{name}", errors)
    elif isinstance(type, List):
        _validate_list(type, value, path, errors)
    elif not isinstance(type, (Raw, SchemaOr)):
        _validate_scalar(type, value, path, errors)


def _validate_list(type: List, value: Any, path: str, errors: list[str]) -> None:
    from tiffin.machinery.fieldset import shown

    if not isinstance(value, list):
        errors.append(f"{path}: expected list, got {_go(value)}")
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        place = f"[{index}]"
        if _goes_by_element(type):
            try:
                element = element_of(type)(item)
            except ValueError as error:
                errors.append(f"{path}: element {index}: {error}")
                return
            place = shown(element)
            if element in seen:
                errors.append(f"{path}: duplicate entries for key {place}")
            seen.add(element)
        _validate(type.items, item, path + place, errors)


def _validate_scalar(type: Type, value: Any, path: str, errors: list[str]) -> None:
    kind = type.kind if isinstance(type, Scalar) else ""
    if kind == "string" and not isinstance(value, str):
        errors.append(f"{path}: expected string, got &value.valueUnstructured{{Value:{_go(value)}}}")
    elif kind == "boolean" and not isinstance(value, bool):
        errors.append(f"{path}: expected boolean, got &{{{_go(value)}}}")
    elif kind in ("int32", "int64", "double") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        errors.append(f"{path}: expected numeric (int or float), got {_go_type(value)}")
    elif isinstance(value, (dict, list)):
        errors.append(f"{path}: expected any scalar, got &{{{_go(value)}}}")


def _go(value: Any) -> str:
    return str(orjson.dumps(value), "utf-8")


def _go_type(value: Any) -> str:
    return {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}.get(type(value), "float64")
