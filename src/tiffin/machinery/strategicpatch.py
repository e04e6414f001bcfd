"""Strategic merge patch: lists of built-in kinds merge by their merge keys.

Rules, as Kubernetes has them:
* Maps merge; null removes. A map with `$patch: replace` replaces, with `$patch: delete` empties; `$retainKeys` lists the only
  keys that stay.
* A list whose field says `merge` merges: maps by the merge key, scalars as a set. Elements may carry `$patch: delete` or
  `replace` (which replaces the list). Every other list is replaced.
* `$deleteFromPrimitiveList/NAME` removes scalars. `$setElementOrder/NAME` orders the list: elements that the patch names stand
  in its order, and those only the server has are fitted in by their old neighbours. Without it the patch's own order counts.
Inputs are not changed; the result shares what is unchanged.

Source: apimachinery strategicpatch, as its documentation and the answers of a reference server show it.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.machinery.mergepatch import without_nulls
from tiffin.machinery.object import Object
from tiffin.machinery.patch import Fault, PatchError
from tiffin.machinery.schema import Field, List, Map, Struct, Type

DIRECTIVE, RETAIN = "$patch", "$retainKeys"
DELETE_PREFIX, ORDER_PREFIX = "$deleteFromPrimitiveList/", "$setElementOrder/"


def apply_strategic_patch(obj: Object, patch: Any, type: Type) -> Object:
    """The patched object; PatchError for a patch that is no object or whose directives make no sense."""
    if not isinstance(patch, dict):
        raise PatchError(Fault.MALFORMED, "json: cannot unmarshal array into Go value of type map[string]interface {}")
    return _merge_map(obj, patch, type)


def _wrong(message: str) -> PatchError:
    return PatchError(Fault.INTERNAL, message)


def _merge_map(original: Object, patch: Object, type: Type | None) -> Object:
    if DIRECTIVE in patch:
        return _directed(patch)
    result = dict(original)
    if RETAIN in patch:
        _retain(result, patch)
    ordered = _merge_ordered(result, patch, type)
    for key, value in patch.items():
        if key == RETAIN or key in ordered or key.startswith(ORDER_PREFIX):
            continue
        if key.startswith(DELETE_PREFIX):
            name = key.removeprefix(DELETE_PREFIX)
            if isinstance(result.get(name), list) and isinstance(value, list):
                gone = set(map(_hashable, value))
                result[name] = [item for item in result[name] if _hashable(item) not in gone]
        elif value is None:
            result.pop(key, None)
        elif key in result or not _is_directed(value):
            result[key] = _merge_value(result.get(key), value, key, type)
    return result


def _directed(patch: Object) -> Object:
    """A map that says how it is to be taken."""
    if patch[DIRECTIVE] == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if patch[DIRECTIVE] == "delete":
        return {}
    raise _wrong(f"unknown patch type found: {patch[DIRECTIVE]!s}")


def _merge_value(old: Any, new: Any, key: str, type: Type | None) -> Any:
    """The value of a key that the patch sets: merged where both are maps or both lists, otherwise the patch's."""
    inner, field = _child(type, key)
    if isinstance(old, dict) and isinstance(new, dict):
        return new if field is not None and "replace" in field.strategy else _merge_map(old, new, inner)
    if isinstance(old, list) and isinstance(new, list):
        return _merge_list(old, new, inner, field)
    return _without_directives(without_nulls(new))


def _child(type: Type | None, key: str) -> tuple[Type | None, Field | None]:
    """The type of a key's value, and its field if the parent is a struct."""
    if isinstance(type, Struct):
        field = type.fields.get(key)
        return (field.type, field) if field else (None, None)
    return (type.values if isinstance(type, Map) else None), None


def _retain(result: Object, patch: Object) -> None:
    if not isinstance(patch[RETAIN], list):
        raise _wrong("invalid patch format of retainKeys")
    keys = {key for key in patch[RETAIN] if isinstance(key, str)}
    for key, value in patch.items():
        if value is not None and key != RETAIN and not key.startswith((DELETE_PREFIX, ORDER_PREFIX)) and key not in keys:
            raise _wrong("invalid patch format of retainKeys")
    for key in [key for key in result if key not in keys]:
        del result[key]


def _merge_ordered(result: Object, patch: Object, type: Type | None) -> set[str]:
    """Merges the lists whose order the patch sets, in place; answers their names."""
    done: set[str] = set()
    for directive, order in patch.items():
        if not directive.startswith(ORDER_PREFIX):
            continue
        name = directive.removeprefix(ORDER_PREFIX)
        old, new = result.get(name, []), patch.get(name, [])
        if not isinstance(order, list) or not isinstance(old, list) or not isinstance(new, list):
            raise _wrong(f"{directive} needs lists")
        inner, field = _child(type, name)
        if name not in result and name not in patch:
            continue
        key = field.merge_key if field else ""
        _check_order(new, order, key)
        if name in result and name in patch:
            merged = _merge_list(old, new, inner, field)
        else:
            merged = old if name in result else _without_directives(new)
        named, others = _partition(merged, order, key)
        result[name] = _in_order(named, others, order, old, key)
        done.add(name)
    return done


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The elements of the patch must stand in the order list, in the same order."""
    identity = _identity(key)
    wanted = iter([identity(item) for item in order])
    for item in patch:
        if not (isinstance(item, dict) and item.get(DIRECTIVE) == "delete") and identity(item) not in wanted:
            raise _wrong(f"The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")


def _merge_list(old: list[Any], new: list[Any], type: Type | None, field: Field | None) -> list[Any]:
    if field is None or "merge" not in field.strategy:
        return new
    if not old and not new:
        return old
    if any(isinstance(item, list) for item in (*old, *new)) or len({isinstance(item, dict) for item in (*old, *new)}) > 1:
        raise _wrong("list element types are not identical")
    if not isinstance((old or new)[0], dict):
        merged = list({_hashable(item): item for item in (*old, *new)}.values())
        return _arranged(merged, new, old, "")
    if not field.merge_key:
        raise _wrong("cannot merge lists without merge key")
    kept, patch = _apply_directives(old, new, field.merge_key)
    merged = _merge_elements(kept, patch, field.merge_key, type.items if isinstance(type, List) else None)
    return _arranged(merged, patch, kept, field.merge_key)


def _apply_directives(old: list[Any], new: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """Carries out the elements that are directives; answers what is left of the list and of the patch."""
    plain: list[Any] = []
    replace = False
    for item in new:
        directive = item.get(DIRECTIVE)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            value = _key_of(item, key)
            old = [other for other in old if other.get(key) != value]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _wrong("merging lists cannot yet be specified in the patch")
        else:
            raise _wrong(f"unknown patch type found: {directive!s}")
    return (plain, []) if replace else (old, plain)


def _merge_elements(old: list[Any], patch: list[Any], key: str, type: Type | None) -> list[Any]:
    result = list(old)
    places = {_hashable(item.get(key)): index for index, item in reversed(list(enumerate(old)))}
    for item in patch:
        place = places.get(value := _hashable(_key_of(item, key)))
        if place is None:
            places[value] = len(result)
            result.append(_without_directives(item))
        else:
            result[place] = _merge_map(result[place], item, type)
    return result


def _key_of(item: Object, key: str) -> Any:
    if key not in item:
        raise _wrong(f"map: {item} does not contain declared merge key: {key}")
    return item[key]


def _hashable(value: Any) -> Any:
    return (value.__class__, value) if value.__hash__ else str(value)


def _identity(key: str) -> Callable[[Any], Any]:
    """What tells elements apart: the merge key of maps, scalars themselves."""
    return lambda item: _hashable(item.get(key) if key and isinstance(item, dict) else item)


def _partition(items: list[Any], order: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """The items that the order names, and the others."""
    identity = _identity(key)
    named = {identity(item) for item in order}
    return [i for i in items if identity(i) in named], [i for i in items if identity(i) not in named]


def _arranged(merged: list[Any], patch: list[Any], old: list[Any], key: str) -> list[Any]:
    return _in_order(*_partition(merged, patch, key), patch, old, key)


def _in_order(named: list[Any], others: list[Any], order: list[Any], old: list[Any], key: str) -> list[Any]:
    """`named` in the given order, with `others` fitted in: each before the first named one that it used to stand before."""
    identity = _identity(key)
    wanted = _places(order, identity)
    before = _places(old, identity)
    right = sorted(named, key=lambda item: wanted.get(identity(item), len(order)))
    left = sorted(others, key=lambda item: before.get(identity(item), len(old)))
    result: list[Any] = []
    while left and right:
        first, second = before.get(identity(left[0])), before.get(identity(right[0]))
        result.append(left.pop(0) if first is not None and second is not None and first < second else right.pop(0))
    return result + left + right


def _places(items: list[Any], identity: Callable[[Any], Any]) -> dict[Any, int]:
    places: dict[Any, int] = {}
    for index, item in enumerate(items):
        places.setdefault(identity(item), index)
    return places


def _without_directives(value: Any) -> Any:
    """A value that is new, without the directives it holds: there is nothing for them to work on. What carries `$patch` goes whole."""
    if isinstance(value, dict):
        return {key: _without_directives(item) for key, item in value.items()
                if key != RETAIN and not key.startswith((DELETE_PREFIX, ORDER_PREFIX)) and not _is_directed(item)}
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not _is_directed(item)]
    return value


def _is_directed(value: Any) -> bool:
    return isinstance(value, dict) and DIRECTIVE in value
