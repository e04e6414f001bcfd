"""The syntax tree. Macros are already expanded: what loops is a `Comprehension`.

`offset` is the code point an error about the node is shown at: the operator of a call, the dot of a selection. The checker writes
`type` (of the value) and, for calls, `overloads` (the signatures that may apply) into the nodes; nothing else ever changes them.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.machinery.cel.types import DYN, Type


class Node:
    """An expression."""

    __slots__ = ("offset", "type")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.type: Type = DYN

    def children(self) -> Iterator[Node]:
        """Direct subexpressions, in source order."""
        yield from ()


class Literal(Node):
    """A constant; `value` is the run-time value."""

    __slots__ = ("value",)

    def __init__(self, offset: int, value: Any) -> None:
        super().__init__(offset)
        self.value = value


class Ident(Node):
    """A name; after checking the full name of a variable or type."""

    __slots__ = ("name",)

    def __init__(self, offset: int, name: str) -> None:
        super().__init__(offset)
        self.name = name


class Select(Node):
    """`operand.field`, `has(operand.field)` when `test`. `resolved` is the full variable name where the path turned out to be one."""

    __slots__ = ("field", "operand", "resolved", "test")

    def __init__(self, offset: int, operand: Node, field: str, test: bool = False) -> None:
        super().__init__(offset)
        self.operand, self.field, self.test, self.resolved = operand, field, test, ""

    def children(self) -> Iterator[Node]:
        if not self.resolved:
            yield self.operand


class Call(Node):
    """A function, a method (`target`), or an operator under its name (`_+_`, `_[_]`, `_?_:_`)."""

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, offset: int, function: str, args: list[Node], target: Node | None = None) -> None:
        super().__init__(offset)
        self.function, self.args, self.target = function, args, target
        self.overloads: list[Any] = []

    def children(self) -> Iterator[Node]:
        if self.target is not None:
            yield self.target
        yield from self.args


class ListExpr(Node):
    """`[a, ?b]`; `optional` holds the indexes of elements with a question mark."""

    __slots__ = ("elements", "optional")

    def __init__(self, offset: int, elements: list[Node], optional: frozenset[int] = frozenset()) -> None:
        super().__init__(offset)
        self.elements, self.optional = elements, optional

    def children(self) -> Iterator[Node]:
        yield from self.elements


class Entry:
    """`key: value` of a map, `?key: value` when `optional`; the key of a struct's field is its name."""

    __slots__ = ("key", "offset", "optional", "value")

    def __init__(self, offset: int, key: Any, value: Node, optional: bool) -> None:
        self.offset, self.key, self.value, self.optional = offset, key, value, optional


class MapExpr(Node):
    """`{k: v}`; keys of entries are nodes."""

    __slots__ = ("entries",)

    def __init__(self, offset: int, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.entries = entries

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            yield entry.key
            yield entry.value


class StructExpr(Node):
    """`Name{field: v}`; keys of entries are field names."""

    __slots__ = ("entries", "name")

    def __init__(self, offset: int, name: str, entries: list[Entry]) -> None:
        super().__init__(offset)
        self.name, self.entries = name, entries

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            yield entry.value


class Comprehension(Node):
    """A loop: for each of `range` while `condition`, `accumulator = step`; then `result`.

    `second` is the second variable or "". `shape` names the macro, so that a loop can be made for it; "bind" is a loop that never
    runs, where the accumulator is a local variable. `inner` are the expressions the user wrote inside the macro.
    """

    __slots__ = ("accumulator", "condition", "initial", "inner", "range", "result", "second", "shape", "step", "variable")

    def __init__(self, offset: int, shape: str, range_: Node, variable: str, second: str, accumulator: str, initial: Node,
                 condition: Node, step: Node, result: Node, inner: tuple[Node, ...]) -> None:
        super().__init__(offset)
        self.shape, self.range, self.variable, self.second, self.accumulator = shape, range_, variable, second, accumulator
        self.initial, self.condition, self.step, self.result, self.inner = initial, condition, step, result, inner

    def children(self) -> Iterator[Node]:
        yield from (self.range, self.initial, self.condition, self.step, self.result)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children():
        yield from walk(child)


def qualified_name(node: Node) -> str | None:
    """`a.b.c` where the node is a plain path of names, else None."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        prefix = qualified_name(node.operand)
        return None if prefix is None else f"{prefix}.{node.field}"
    return None
