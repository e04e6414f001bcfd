"""Expressions that select devices: what they may speak of, what they must evaluate to, what they may cost.

`device` has a driver, attributes by domain and name, capacities by domain and name, and whether it may be allocated more than once. What
its type promises about sizes is what costs are estimated from. Source: k8s.io/dynamic-resource-allocation/cel.
"""
from __future__ import annotations

from functools import lru_cache
from typing import Any

from tiffin.api.resource.identifiers import LONGEST_DOMAIN, LONGEST_ID, each
from tiffin.machinery.field import FieldError, forbidden, invalid, required, too_long

MAX_SELECTORS, LONGEST_EXPRESSION, HIGHEST_COST = 32, 10 * 1024, 1_000_000
MAX_ATTRIBUTES, LONGEST_VALUE = 32, 64


@lru_cache(maxsize=1)
def _environment() -> Any:
    from tiffin.machinery.cel import Environment
    from tiffin.machinery.cel.library.quantity import QUANTITY_TYPE
    from tiffin.machinery.cel.types import BOOL, STRING, Limits, Type, map_of, struct

    def sized(type_: Type, most: int) -> Type:
        return Type(type_.kind, type_.name, type_.params, fields=type_.fields, limits=Limits(most, 0))

    anything = sized(Type("dyn", "any"), LONGEST_VALUE)
    domain, name = sized(STRING, LONGEST_DOMAIN), sized(STRING, LONGEST_ID)

    def by_domain(value: Type) -> Type:
        return sized(map_of(domain, sized(map_of(name, value), MAX_ATTRIBUTES)), MAX_ATTRIBUTES)

    device = struct("kubernetes.DRADevice", {
        "driver": domain, "attributes": by_domain(anything), "capacity": by_domain(QUANTITY_TYPE), "allowMultipleAllocations": BOOL})
    return Environment({"device": device}, bindings=True)


@lru_cache(maxsize=512)
def _fault(expression: str) -> tuple[str, str]:
    """(reason, words): nothing, `invalid` or `forbidden` with what is wrong."""
    from tiffin.machinery.cel import CompilationError

    environment = _environment()
    try:
        program = environment.compile(expression)
    except CompilationError as error:
        return "invalid", f"compilation failed: {error}"
    if str(program.type) not in ("bool", "any"):
        return "invalid", f"must evaluate to bool or the unknown type, not {program.type}"
    return ("forbidden", "too complex, exceeds cost limit") if environment.estimate(program).most > HIGHEST_COST else ("", "")


def expression_errors(expression: str, path: str) -> list[FieldError]:
    if len(expression.encode()) > LONGEST_EXPRESSION:
        return [too_long(path, LONGEST_EXPRESSION)]
    reason, words = _fault(expression)
    if not reason:
        return []
    return [invalid(path, expression, words) if reason == "invalid" else forbidden(path, words)]


def _selector_errors(selector: dict[str, Any], path: str) -> list[FieldError]:
    cel = selector.get("cel")
    return [required(f"{path}.cel")] if cel is None else expression_errors(cel.get("expression") or "", f"{path}.cel.expression")


def _stored_selector_errors(selector: dict[str, Any], path: str) -> list[FieldError]:
    return [required(f"{path}.cel")] if selector.get("cel") is None else []


def selector_errors(selectors: list[dict[str, Any]] | None, path: str, *, stored: bool = False) -> list[FieldError]:
    """Selectors of a class or request. Expressions that are `stored` were valid once, and are not looked at again."""
    return each(selectors, MAX_SELECTORS, _stored_selector_errors if stored else _selector_errors, path)
