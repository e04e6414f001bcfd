"""Lists and sets: isSorted, sum, min, max, indexOf, lastIndexOf; slice, flatten, sort, sortBy, distinct, reverse, lists.range; sets.*.

Source: Kubernetes' list library; cel-go ext/lists version 3, ext/sets.
"""
from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

from tiffin.machinery.cel import operators
from tiffin.machinery.cel.budget import PER_CALL
from tiffin.machinery.cel.errors import CostExceeded, EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.values import Duration, Uint, equal, identity, kind_of

LISTS = Library()
_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_MAX_RANGE = 10_000_000


def _is_sorted(items: list[Any]) -> bool:
    return all(operators.less_or_equal(one, other) for one, other in pairwise(items))


def _sum(zero: Any, items: list[Any]) -> Any:
    total = zero if not items else items[0]
    for item in items[1:]:
        total = operators.add(total, item)
    return total


def _extreme(name: str, better: Any, items: list[Any]) -> Any:
    if not items:
        raise EvaluationError(f"{name} called on empty list")
    found = items[0]
    for item in items[1:]:
        if better(item, found):
            found = item
    return found


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((number for number, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((number for number in range(len(items) - 1, -1, -1) if equal(items[number], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    cannot = f"cannot slice({start}, {end}), "
    if start < 0 or end < 0:
        raise EvaluationError(cannot + "negative indexes not supported")
    if start > end:
        raise EvaluationError(cannot + "start index must be less than or equal to end index")
    if len(items) < end:
        raise EvaluationError(cannot + f"list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Any] = list(items)
    # one level at a time: lists may be nested deeper than the stack
    for _ in range(min(depth, 1000)):
        if not any(isinstance(item, list) for item in flat):
            break
        if sum(len(item) if isinstance(item, list) else 1 for item in flat) > PER_CALL:
            raise CostExceeded
        flat = [inner for item in flat for inner in (item if isinstance(item, list) else (item,))]
    return flat


def _sort(items: list[Any]) -> list[Any]:
    return _sort_by(items, items)


def _sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    kinds = {kind_of(key).name for key in keys}
    if len(kinds) > 1:
        raise EvaluationError("list elements must have the same type")
    if kinds and not kinds & _SORTABLE:
        raise EvaluationError("list elements must be comparable")
    return [items[number] for number in sorted(range(len(items)), key=keys.__getitem__)]


_SORTABLE = {"int", "uint", "double", "bool", "string", "bytes", "google.protobuf.Duration", "google.protobuf.Timestamp"}


def _distinct(items: list[Any]) -> list[Any]:
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(identity(item), item)
    return list(found.values())


def _range(count: int) -> list[int]:
    if count < 0:
        raise EvaluationError(f"lists.range: size must be non-negative, got {count}")
    if count > _MAX_RANGE:
        raise EvaluationError(f"lists.range: size {count} exceeds maximum allowed ({_MAX_RANGE})")
    if count > PER_CALL:
        raise CostExceeded
    return list(range(count))


def _has_all(items: list[Any], wanted: list[Any]) -> bool:
    known = set(map(identity, items))
    return all(identity(item) in known for item in wanted)


for _kind in _COMPARABLE:
    LISTS.add("isSorted", f"list_{_kind}_is_sorted_bool", f"list({_kind}).() -> bool", _is_sorted)
    LISTS.add("min", f"list_{_kind}_min_{_kind}", f"list({_kind}).() -> {_kind}", partial(_extreme, "min", operators.less))
    LISTS.add("max", f"list_{_kind}_max_{_kind}", f"list({_kind}).() -> {_kind}", partial(_extreme, "max", operators.greater))
    LISTS.add("sort", f"list_{_kind}_sort", f"list({_kind}).() -> list({_kind})", _sort)
    LISTS.add("@sortByAssociatedKeys", f"list_{_kind}_sortByAssociatedKeys", f"list(T).(list({_kind})) -> list(T)", _sort_by)
for _kind, _zero in (("int", 0), ("uint", Uint(0)), ("double", 0.0), ("duration", Duration(0))):
    LISTS.add("sum", f"list_{_kind}_sum_{_kind}", f"list({_kind}).() -> {_kind}", partial(_sum, _zero))
LISTS.add("indexOf", "list_a_index_of_int", "list(A).(A) -> int", _index_of)
LISTS.add("lastIndexOf", "list_a_last_index_of_int", "list(A).(A) -> int", _last_index_of)
LISTS.add("slice", "list_slice", "list(T).(int, int) -> list(T)", _slice)
LISTS.add("flatten", "list_flatten", "list(list(T)).() -> list(T)", _flatten)
LISTS.add("flatten", "list_flatten_int", "list(dyn).(int) -> list(dyn)", _flatten)
LISTS.add("reverse", "list_reverse", "list(T).() -> list(T)", lambda items: items[::-1])
LISTS.add("distinct", "list_distinct", "list(T).() -> list(T)", _distinct)
LISTS.add("lists.range", "lists_range", "(int) -> list(int)", _range)
LISTS.add("sets.contains", "list_sets_contains_list", "(list(T), list(T)) -> bool", _has_all)
LISTS.add("sets.equivalent", "list_sets_equivalent_list", "(list(T), list(T)) -> bool",
          lambda one, other: _has_all(one, other) and _has_all(other, one))
LISTS.add("sets.intersects", "list_sets_intersects_list", "(list(T), list(T)) -> bool",
          lambda one, other: not set(map(identity, one)).isdisjoint(map(identity, other)))
