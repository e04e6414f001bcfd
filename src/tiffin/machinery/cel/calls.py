"""Closures for calls: Python's own operators where types are known to be plain, the function's implementation elsewhere."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.machinery.cel import operators
from tiffin.machinery.cel.ast import Call, Node
from tiffin.machinery.cel.closures import Code
from tiffin.machinery.cel.errors import CostExceeded
from tiffin.machinery.cel.functions import Implementation, Overload, choose
from tiffin.machinery.cel.loops import Frame
from tiffin.machinery.cel.runtimecost import RESULT_COSTS, Cost
from tiffin.machinery.cel.values import INT_MAX, INT_MIN, Duration, Timestamp, Uint

_CLASSES: dict[str, type] = {"string": str, "int": int, "bool": bool, "double": float, "uint": Uint, "bytes": bytes, "timestamp": Timestamp, "duration": Duration}
_TOTAL = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "-_", "@in", "_[_]", "_[?_]", "dyn", "type"))
"""Functions whose implementation looks at the types of its arguments itself."""


def specialised(node: Call, codes: list[Code], parts: list[Node]) -> Code | None:
    """Code for an operator on types that are known to be plain; None where there is none."""
    kinds = {part.type.kind for part in parts}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if node.function == "!_":
        operand = codes[0]
        return lambda frame: operators.negation(operand(frame))
    if len(codes) != 2:
        return None
    left, right = codes
    if node.function in _COMPARED and kind in ("int", "string"):
        return _COMPARED[node.function](left, right)
    if node.function in ("_==_", "_!=_") and kind in ("string", "int"):
        return (lambda frame: left(frame) == right(frame)) if node.function == "_==_" else (lambda frame: left(frame) != right(frame))
    if node.function in ("_+_", "_-_") and kind == "int":
        return _sum(left, right) if node.function == "_+_" else _difference(left, right)
    return None


def among(wanted: Code, choices: frozenset[str]) -> Code:
    """`x in ['a', 'b']`, where only text is among the choices."""
    def test(frame: Frame) -> bool:
        value = wanted(frame)
        return type(value) is str and value in choices
    return test


def _less(left: Code, right: Code) -> Code:
    def compare(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        try:
            return bool(one < other)
        except TypeError:
            return operators.less(one, other)
    return compare


def _less_or_equal(left: Code, right: Code) -> Code:
    def compare(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        try:
            return bool(one <= other)
        except TypeError:
            return operators.less_or_equal(one, other)
    return compare


def _greater(left: Code, right: Code) -> Code:
    def compare(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        try:
            return bool(one > other)
        except TypeError:
            return operators.greater(one, other)
    return compare


def _greater_or_equal(left: Code, right: Code) -> Code:
    def compare(frame: Frame) -> bool:
        one, other = left(frame), right(frame)
        try:
            return bool(one >= other)
        except TypeError:
            return operators.greater_or_equal(one, other)
    return compare


_COMPARED: dict[str, Callable[[Code, Code], Code]] = {"_<_": _less, "_<=_": _less_or_equal, "_>_": _greater, "_>=_": _greater_or_equal}


def _sum(left: Code, right: Code) -> Code:
    def add(frame: Frame) -> int:
        one, other = left(frame), right(frame)
        if type(one) is int and type(other) is int and INT_MIN <= (total := one + other) <= INT_MAX:
            return total
        made: int = operators.add(one, other)
        return made
    return add


def _difference(left: Code, right: Code) -> Code:
    def subtract(frame: Frame) -> int:
        one, other = left(frame), right(frame)
        if type(one) is int and type(other) is int and INT_MIN <= (total := one - other) <= INT_MAX:
            return total
        made: int = operators.subtract(one, other)
        return made
    return subtract


def invocation(node: Call, codes: list[Code]) -> Code:
    """Call a function: directly when only one overload is possible and no argument can be of another type."""
    name, overloads = node.function, tuple(node.overloads)
    call = overloads[0].call
    if len({overload.call for overload in overloads}) == 1 and name in _TOTAL:
        if len(codes) == 2:
            left, right = codes
            return lambda frame: call(left(frame), right(frame))
        operand = codes[0]
        return lambda frame: call(operand(frame))
    if len(codes) == 0:
        return lambda frame: call()
    pick = _chooser(name, overloads)

    def invoke(frame: Frame) -> Any:
        values = tuple([code(frame) for code in codes])
        return pick(values)(*values)
    return invoke


def _chooser(name: str, overloads: tuple[Overload, ...]) -> Callable[[tuple[Any, ...]], Implementation]:
    """How to find the implementation for values: quickly when they are as the only overload says, by looking at all of them otherwise."""
    expected = tuple(_CLASSES.get(type_.kind) for type_ in overloads[0].params)
    if len(overloads) > 1 or None in expected:
        return lambda values: choose(name, overloads, values)
    first = overloads[0].call
    return lambda values: first if tuple(map(type, values)) == expected else choose(name, overloads, values)


def charged_invocation(node: Call, codes: list[Code], cost: Cost) -> Code:
    """Call a function after its arguments have told what it costs: what costs too much is not even begun."""
    name, overloads = node.function, tuple(node.overloads)
    total = name in _TOTAL and len({overload.call for overload in overloads}) == 1
    call, pick = overloads[0].call, _chooser(name, overloads)
    afterwards = RESULT_COSTS.get(name)

    def invoke(frame: Frame) -> Any:
        values = tuple([code(frame) for code in codes])
        chosen = call if total else pick(values)
        frame[0] -= cost(values)
        if frame[0] < 0:
            raise CostExceeded
        return chosen(*values)

    def invoke_and_look(frame: Frame) -> Any:
        result = invoke(frame)
        frame[0] -= afterwards(result)  # type: ignore[misc]
        if frame[0] < 0:
            raise CostExceeded
        return result
    return invoke_and_look if afterwards else invoke
