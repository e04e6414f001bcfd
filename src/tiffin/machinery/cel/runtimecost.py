"""What calls cost at run time, where it depends on their arguments.

Source: the call costs of cel-go's interpreter and of Kubernetes' CEL libraries: a tenth per character looked at, a quarter per
character of a pattern.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel.ast import Call, Literal, Node
from tiffin.machinery.cel.values import TypedObject, entries, size_of, tree_size

TRAVERSAL, PATTERN = 0.1, 0.25
_AUTHORIZATION = 350_000
_LIST_CALL = 11
_FREE = 1_000
_SCALARS = frozenset(("bool", "int", "uint", "double", "timestamp", "duration", "null"))

Cost = Callable[[tuple[Any, ...]], int]


def _traversed(size: float) -> int:
    return math.ceil(size * TRAVERSAL)


def _first(factor: float) -> Cost:
    return lambda values: math.ceil(size_of(values[0]) * factor)


def _pattern(values: tuple[Any, ...]) -> int:
    return _traversed(1.0 + size_of(values[0])) * max(1, math.ceil(size_of(values[1]) * PATTERN))


def _weight(*values: Any) -> int:
    """What walking through large values costs beyond Kubernetes' count, which looks at the outermost level only. Nothing for small ones."""
    containers = [value for value in values if isinstance(value, list | dict | TypedObject)]
    return sum(max(0, tree_size(value) - _FREE) // 10 for value in containers) if containers else 0


def _smaller(values: tuple[Any, ...]) -> int:
    return _traversed(min(size_of(values[0]), size_of(values[1]))) + _weight(values[0])


def _joined(values: tuple[Any, ...]) -> int:
    separators = size_of(values[1]) * max(0, len(values[0]) - 1) if len(values) > 1 else 0
    return math.ceil((sum(map(size_of, values[0])) + separators) * 2 * TRAVERSAL)


def _formatted(values: tuple[Any, ...]) -> int:
    return _traversed(size_of(values[0])) + tree_cost(values[1])


def _format(values: tuple[Any, ...]) -> int:
    return _traversed(1.0 + size_of(values[1])) * math.ceil(values[0].pattern_size * PATTERN)


def _selector(values: tuple[Any, ...]) -> int:
    return 10 + _traversed(size_of(values[1])) + math.ceil(size_of(values[1]) * 0.5) * 50


def _self_compared(at: int) -> Cost:
    """Sorting and the like: every element with every other."""
    def cost(values: tuple[Any, ...]) -> int:
        items = values[at]
        factor = 2 + TRAVERSAL if items and isinstance(items[0], str | bytes) else 2.0
        return int(len(items) ** 2 * factor) + _LIST_CALL + _weight(items)
    return cost


def _sliced(values: tuple[Any, ...]) -> int:
    return max(0, values[2] - values[1]) + _LIST_CALL


def _flattened(values: tuple[Any, ...]) -> int:
    return (max(0, values[1]) if len(values) > 1 else 1) * len(values[0]) + _LIST_CALL


def _sum(values: tuple[Any, ...]) -> int:
    if isinstance(values[0], list):  # free for Kubernetes, which chains lists; a copy here
        return 1 + max(0, len(values[0]) + size_of(values[1]) - _FREE) // 10
    if not isinstance(values[0], str | bytes):
        return 1
    return _traversed(size_of(values[0]) + size_of(values[1]))


def _contained(values: tuple[Any, ...]) -> int:
    return _traversed(size_of(values[0])) * _traversed(size_of(values[1]))


def tree_cost(value: Any) -> int:
    """A walk through all of a value."""
    tree_size(value)
    return _tree_cost(value)


def _tree_cost(value: Any) -> int:
    if isinstance(value, str):
        return int(len(value.encode(errors="surrogatepass")) * TRAVERSAL)
    if isinstance(value, bytes):
        return int(len(value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(_tree_cost, value))
    if isinstance(value, dict | TypedObject):
        return sum(_tree_cost(key) + _tree_cost(item) for key, item in entries(value).items())
    return 1


def _membership(values: tuple[Any, ...]) -> int:
    if not isinstance(values[1], list):
        return 1
    return len(values[1]) * (1 + _weight(values[0]))


def _product(values: tuple[Any, ...]) -> int:
    return 1 + size_of(values[0]) * size_of(values[1]) + _weight(*values)


def _either_way(values: tuple[Any, ...]) -> int:
    return 1 + 2 * size_of(values[0]) * size_of(values[1]) + _weight(*values)


_BY_FUNCTION: dict[str, int | Cost] = {
    "check": _AUTHORIZATION, "_==_": _smaller, "_!=_": _smaller, "_<_": _smaller, "_<=_": _smaller, "_>_": _smaller, "_>=_": _smaller,
    "_+_": _sum, "@in": _membership, "matches": _pattern, "contains": _contained, "find": _pattern, "findAll": _pattern,
    "startsWith": _first(TRAVERSAL), "endsWith": _first(TRAVERSAL), "url": _first(TRAVERSAL), "isURL": 1,
    "lowerAscii": _first(TRAVERSAL), "upperAscii": _first(TRAVERSAL), "substring": _first(TRAVERSAL), "trim": _first(TRAVERSAL),
    "replace": _first(2 * TRAVERSAL), "split": _first(2 * TRAVERSAL), "join": _joined,
    "cidr": _first(TRAVERSAL), "isIP": _first(TRAVERSAL), "isCIDR": _first(TRAVERSAL), "ip": _first(TRAVERSAL),
    "ip.isCanonical": _first(2 * TRAVERSAL), "quantity": _first(TRAVERSAL), "isQuantity": _first(TRAVERSAL),
    "semver": _first(TRAVERSAL), "isSemver": _first(TRAVERSAL), "validate": _format,
    "sets.contains": _product, "sets.intersects": _product, "sets.equivalent": _either_way,
    "fieldSelector": _selector, "labelSelector": _selector, "jsonpatch.escapeKey": _first(TRAVERSAL),
    "slice": _sliced, "flatten": _flattened, "lists.range": lambda values: values[0] + _LIST_CALL,
    "reverse": lambda values: len(values[0]) + _LIST_CALL, "distinct": _self_compared(0), "sort": _self_compared(0),
    "@sortByAssociatedKeys": _self_compared(1),
    "format": _formatted, "strings.quote": _first(TRAVERSAL)}
_BY_FUNCTION |= dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), lambda values: tree_cost(values[0]))
_BY_OVERLOAD: dict[str, int | Cost] = {"string_to_bytes": _first(TRAVERSAL), "bytes_to_string": _first(TRAVERSAL), "cidr_ip": 1}
RESULT_COSTS: dict[str, Callable[[Any], int]] = {"findAll": lambda found: 4 * len(found)}
"""What a result adds. For Kubernetes ten thousand matches cost as much as none; here each takes the time of four ordinary steps."""
_COMPARISONS = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"))


def call_cost(node: Call, parts: list[Node]) -> int | Cost:
    """The fixed cost of a call, or how to find it from arguments and result."""
    if node.function in _COMPARISONS and any(_is_small(part) for part in parts):
        return 1
    if node.function == "_+_" and parts[0].type.kind in _SCALARS:
        return 1
    for overload in node.overloads:
        if overload.id in _BY_OVERLOAD:
            return _BY_OVERLOAD[overload.id]
    return _BY_FUNCTION.get(node.function, 1)


def _is_small(part: Node) -> bool:
    """Whether a comparison with it costs 1 whatever the other side is."""
    if part.type.kind in _SCALARS:
        return True
    return isinstance(part, Literal) and isinstance(part.value, str | bytes) and len(part.value) <= 1 / TRAVERSAL
