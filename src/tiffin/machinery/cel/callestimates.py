"""What calls are estimated to cost, by function and by overload.

Source: the estimates of Kubernetes' CEL libraries (by function, asked first) and of cel-go (by overload).
"""
from __future__ import annotations

import math

from tiffin.machinery.cel.ast import Literal
from tiffin.machinery.cel.estimate import (
    NOTHING,
    ONE,
    PATTERN,
    TRAVERSAL,
    UNBOUNDED,
    UNKNOWN,
    CallEstimate,
    Estimated,
    Estimator,
    Known,
    Range,
    fixed,
)

AUTHORIZATION = 350_000
_ADDRESS = Range(4, 16)
_LONGEST_FORMAT, _LIST_CALL = 128, 11
_NETWORK = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL)


def _nominal(cost: int) -> CallEstimate:
    return lambda estimator, overload, target, args: (fixed(cost), None)


def _argument(factor: float) -> CallEstimate:
    """A walk through the first argument."""
    return lambda estimator, overload, target, args: (args[0].size.scaled(factor), None) if args else None


def _target(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return None if target is None else (target.size.scaled(TRAVERSAL), target.size)


def _elements(estimator: Estimator, known: Known) -> tuple[str, Range] | None:
    """(kind, size) of a list's elements."""
    if not known.type.params:
        return None
    size = estimator.path_size((*known.path, "@items")) if known.path else None
    return known.type.params[0].kind, size or UNKNOWN


def _traversal(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None:
        return None
    elements = _elements(estimator, target)
    if elements is None:
        return target.size.scaled(TRAVERSAL), None
    each = ONE.plus(elements[1].scaled(TRAVERSAL)) if elements[0] in ("string", "bytes") else ONE
    return target.size.times(each), None


def _replace(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.size, args[0].size, args[1].size
    if old.least == 0:
        most, kept_most = min(size.most + 1, UNBOUNDED), size.most
    elif new.most <= old.least:
        most, kept_most = 0, size.most
    else:
        most, kept_most = math.ceil(size.most / old.least), 0
    if old.most == 0:
        least, kept_least = min(size.least + 1, UNBOUNDED), size.least
    elif old.most <= new.least:
        least, kept_least = 0, size.least
    else:
        least, kept_least = math.ceil(size.least / old.most), 0
    return size.scaled(2 * TRAVERSAL), Range(least, min(most, UNBOUNDED)).times(new).plus(Range(kept_least, kept_most))


def _split(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None:
        return None
    limit = args[1].node.value if len(args) > 1 and isinstance(args[1].node, Literal) else None
    most = limit % 2**64 if isinstance(limit, int) else target.size.most
    return target.size.scaled(2 * TRAVERSAL), Range(0, most)


def _join(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None:
        return None
    elements = _elements(estimator, target)
    size = target.size.times(elements[1]) if elements else NOTHING
    if args:
        size = size.plus(args[0].size.times(Range(max(0, target.size.least - 1), max(0, target.size.most - 1))))
    return size.scaled(TRAVERSAL), size


def _find(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None or not args:
        return None
    cost = target.size.plus(ONE).scaled(TRAVERSAL).times(args[0].size.scaled(PATTERN))
    return cost, Range(0, target.size.most)


def _ip(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if overload == "cidr_ip":
        return ONE, None
    return None if target is None else (args[0].size.scaled(TRAVERSAL), None)


def _only_methods(factor: float) -> CallEstimate:
    """Parsers are functions, and the estimate asks for a target: they cost what any call costs."""
    return lambda estimator, overload, target, args: None if target is None else (args[0].size.scaled(factor), None)


def _contains_ip(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return _NETWORK.plus(args[0].size.scaled(TRAVERSAL) if overload == "cidr_contains_ip_string" else NOTHING), None


def _contains_cidr(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    cost = _NETWORK.plus(_ADDRESS.scaled(TRAVERSAL)).plus(ONE)
    return cost.plus(args[0].size.scaled(TRAVERSAL) if overload == "cidr_contains_cidr_string" else NOTHING), None


def _membership(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return args[1].size.scaled(1), None


def _matches(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None:
        return None
    return target.size.plus(ONE).scaled(TRAVERSAL).times(args[0].size.scaled(PATTERN)), None


def _contained(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return None if target is None else (target.size.scaled(TRAVERSAL).times(args[0].size.scaled(TRAVERSAL)), None)


def _comparison(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    most = min(args[0].size.most, args[1].size.most)
    return Range(1 if most else 0, most).scaled(TRAVERSAL), None


def _to_bytes(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    size = args[0].size
    return size.scaled(TRAVERSAL), Range(size.least, min(size.most * 4, UNBOUNDED))


def _to_text(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    size = args[0].size
    return size.scaled(TRAVERSAL), Range(size.least // 4, size.most)


def _format(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return None if target is None else (target.size.scaled(TRAVERSAL), None)


def _validate(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return args[0].size.scaled(TRAVERSAL).scaled(_LONGEST_FORMAT * PATTERN), None


def _selector(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    size = args[0].size
    return fixed(10).plus(size.scaled(TRAVERSAL)).plus(size.scaled(0.5).scaled(50)), None


def _escaped(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return args[0].size.scaled(TRAVERSAL), args[0].size


def _library_equality(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    name = args[0].type.name
    if args[0].type != args[1].type or not name.startswith(("kubernetes.", "net.")):
        return None
    return (Range(1, 64).scaled(TRAVERSAL) if name == "kubernetes.NamedFormat" else ONE), None


def _allocated(factor: float, size: Range) -> Estimated:
    return size.scaled(factor).plus(fixed(_LIST_CALL)), size


def _literal(known: Known, default: int) -> int:
    value = known.node.value if isinstance(known.node, Literal) else default
    return value if isinstance(value, int) and value >= 0 else default


def _slice(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    if target is None:
        return None
    return _allocated(1, fixed((_literal(args[1], target.size.most) - _literal(args[0], 0)) % 2**64))


def _range(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return _allocated(1, fixed(_literal(args[0], UNBOUNDED)))


def _reverse(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return None if target is None else _allocated(1, target.size)


def _flatten(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    return None if target is None else _allocated(float(_literal(args[0], UNBOUNDED)) if args else 1, target.size)


def _self_compared(kind: str, keys: bool = False) -> CallEstimate:
    """Every element with every other: sort, sortBy, distinct."""
    factor = 2 + TRAVERSAL if kind in ("string", "bytes") else 2.0

    def estimated(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
        compared = args[0] if keys else target
        return None if compared is None else _allocated(factor, compared.size.times(compared.size))
    return estimated


def _quote(estimator: Estimator, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    size = args[0].size
    return size.scaled(TRAVERSAL), Range(min(size.least + 2, UNBOUNDED), min(size.most * 2 + 2, UNBOUNDED))


def _product(passes: int) -> CallEstimate:
    return lambda estimator, overload, target, args: (args[0].size.times(args[1].size).times(fixed(passes)).plus(ONE), None)


BY_FUNCTION: dict[str, CallEstimate] = {
    "check": _nominal(AUTHORIZATION), "url": _argument(TRAVERSAL), "replace": _replace, "split": _split, "join": _join,
    "find": _find, "findAll": _find, "cidr": _only_methods(TRAVERSAL), "isIP": _only_methods(TRAVERSAL), "isCIDR": _only_methods(TRAVERSAL),
    "ip": _ip, "ip.isCanonical": _only_methods(2 * TRAVERSAL), "containsIP": _contains_ip, "containsCIDR": _contains_cidr,
    "quantity": _only_methods(TRAVERSAL), "isQuantity": _only_methods(TRAVERSAL), "semver": _only_methods(TRAVERSAL),
    "isSemver": _only_methods(TRAVERSAL), "validate": _validate}
BY_FUNCTION |= {"_==_": _library_equality, "fieldSelector": _selector, "labelSelector": _selector, "jsonpatch.escapeKey": _escaped}
BY_FUNCTION |= dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversal)
BY_FUNCTION |= dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _target)

BY_OVERLOAD: dict[str, CallEstimate] = {
    "in_list": _membership, "matches_string": _matches, "contains_string": _contained, "starts_with_string": _argument(TRAVERSAL),
    "ends_with_string": _argument(TRAVERSAL), "equals": _comparison, "not_equals": _comparison, "string_to_bytes": _to_bytes,
    "bytes_to_string": _to_text, "string_format": _format, "list_sets_contains_list": _product(1),
    "list_sets_intersects_list": _product(1), "list_sets_equivalent_list": _product(2)}
BY_OVERLOAD |= {f"{word}_{kind}": _comparison for word in ("less", "less_equals", "greater", "greater_equals") for kind in ("string", "bytes")}
BY_OVERLOAD |= {"list_slice": _slice, "list_flatten": _flatten, "list_flatten_int": _flatten, "lists_range": _range, "list_reverse": _reverse,
                "list_distinct": _self_compared(""), "strings_quote": _quote}
for _kind in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
    BY_OVERLOAD |= {f"list_{_kind}_sort": _self_compared(_kind), f"list_{_kind}_sortByAssociatedKeys": _self_compared(_kind, keys=True)}
