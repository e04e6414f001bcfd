"""Assignability of types with type parameters, as the checker needs it.

A `Mapping` holds what type variables stand for. `assignable` returns the mapping that makes one type take another, or None.
Source: cel-spec "Gradual Type Checking"; cel-go's checker/types.
"""
from __future__ import annotations

from collections.abc import Iterable

from tiffin.machinery.cel.types import DYN, Type

Mapping = dict[str, Type]

_ANYTHING = frozenset(("dyn", "error"))
_NULLABLE = frozenset(("opaque", "struct", "null", "duration", "timestamp"))
_NESTED = frozenset(("opaque", "list", "map"))


def assignable(mapping: Mapping, wanted: Type, given: Type) -> Mapping | None:
    """The mapping with which `given` can be used as `wanted`; None if there is none."""
    extended = dict(mapping)
    return extended if _assign(extended, wanted, given) else None


def all_assignable(mapping: Mapping, wanted: Iterable[Type], given: Iterable[Type]) -> Mapping | None:
    """As `assignable`, for lists of the same length."""
    extended = dict(mapping)
    return extended if all(_assign(extended, one, other) for one, other in zip(wanted, given)) else None


def _assign(mapping: Mapping, wanted: Type, given: Type) -> bool:
    if given.kind == "param":
        valid, known = _substitution(mapping, wanted, given)
        if valid or known:
            return valid
    if wanted.kind == "param":
        return _substitution(mapping, given, wanted)[0]
    if wanted.kind in _ANYTHING or given.kind in _ANYTHING:
        return True
    if wanted.kind == "null":
        return given.kind in _NULLABLE
    if given.kind == "null":
        return wanted.kind in _NULLABLE
    if wanted.kind == "type":
        return given.kind == "type"
    if wanted.kind != given.kind or wanted.name != given.name or len(wanted.params) != len(given.params):
        return False
    return wanted.kind not in _NESTED or all(_assign(mapping, one, other) for one, other in zip(wanted.params, given.params))


def _substitution(mapping: Mapping, type_: Type, variable: Type) -> tuple[bool, bool]:
    """(whether the variable can stand for the type, whether that is final)."""
    if type_ == variable:
        return True, True
    current = mapping.get(variable.name)
    if current is not None:
        if not _assign(mapping, type_, current):
            return False, True
        general = most_general(type_, current)
        if not _refers(mapping, variable, general):
            mapping[variable.name] = general
        return True, True
    if _refers(mapping, variable, type_):
        return False, False
    mapping[variable.name] = type_
    return True, False


def _refers(mapping: Mapping, variable: Type, within: Type) -> bool:
    if within == variable:
        return True
    if within.kind == "param":
        current = mapping.get(within.name)
        return current is not None and _refers(mapping, variable, current)
    return any(_refers(mapping, variable, part) for part in within.params)


def most_general(one: Type, other: Type) -> Type:
    """The one of two compatible types that takes more."""
    return one if _less_specific(one, other) else other


def _less_specific(one: Type, other: Type) -> bool:
    if one.kind in ("dyn", "param"):
        return True
    if other.kind in ("dyn", "param"):
        return False
    if one.kind == "null":
        return False
    if other.kind == "null":
        return True
    if one.kind != other.kind or one.name != other.name or len(one.params) != len(other.params):
        return False
    return one.kind not in _NESTED or all(map(_less_specific, one.params, other.params))


def substitute(mapping: Mapping, type_: Type, free_to_dyn: bool = False) -> Type:
    """The type with variables replaced by what they stand for; free ones by dyn if asked."""
    if type_.kind == "param":
        current = mapping.get(type_.name)
        if current is not None:
            return substitute(mapping, current, free_to_dyn)
        return DYN if free_to_dyn else type_
    if not type_.params:
        return type_
    params = tuple(substitute(mapping, part, free_to_dyn) for part in type_.params)
    return type_ if params == type_.params and all(a is b for a, b in zip(params, type_.params)) else Type(
        type_.kind, type_.name, params, fields=type_.fields, adapt=type_.adapt, limits=type_.limits)
