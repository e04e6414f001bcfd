"""The most an expression can cost, from what its types promise.

`estimate(program)` walks the tree as cel-go does and multiplies what loops do by how large their range may be. Sizes come from literals,
from operations whose result's size follows from their arguments, and from the declared types of variables: a path such as
`self.items.@items.name` is looked up in the type of `self`. What nothing bounds may be 2**64-1.

Kubernetes accepts rules by these numbers, so each step is theirs. Source: cel-go checker/cost.go, with has() free of charge.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tiffin.machinery.cel.ast import Call, Comprehension, Ident, ListExpr, Literal, MapExpr, Node, Select, StructExpr
from tiffin.machinery.cel.types import Type, is_optional

UNBOUNDED = 2**64 - 1
PER_EXPRESSION = 10_000_000
PER_DEFINITION = 100_000_000
TRAVERSAL, PATTERN = 0.1, 0.25
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40

Path = tuple[str, ...]


class Range(NamedTuple):
    """From least to most, of a size or a cost; arithmetic stops at 2**64-1."""

    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, UNBOUNDED), min(self.most + other.most, UNBOUNDED))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, UNBOUNDED), min(self.most * other.most, UNBOUNDED))

    def scaled(self, factor: float) -> Range:
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def fixed(value: int) -> Range:
    """Exactly this."""
    return Range(value, value)


def _scaled(value: int, factor: float) -> int:
    product = float(value) * factor
    return UNBOUNDED if product >= 2.0**64 else min(math.ceil(product), UNBOUNDED)


UNKNOWN = Range(0, UNBOUNDED)
NOTHING, ONE = fixed(0), fixed(1)


class Entry(NamedTuple):
    """Sizes of keys (or indexes) and values within a list or map."""

    kind: str
    key: Range
    value: Range


class Local(NamedTuple):
    """A variable of a macro."""

    path: Path
    size: Range | None
    entry: Entry | None


class Known(NamedTuple):
    """A node as functions' estimators see it."""

    node: Node | None
    type: Type
    path: Path
    size: Range


Estimated = tuple[Range, Range | None]
"""The cost of a call, and the size of its result where that is known."""


def estimate(root: Node, variables: Mapping[str, Type]) -> Range:
    """What evaluating a checked tree costs, in the units of `budget`."""
    return Estimator(variables).cost(root)


class Estimator:
    """Estimates one tree. Nodes are told apart by identity."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._variables = variables
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Entry] = {}
        self._locals: dict[str, list[Local]] = {}

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                local = self._local(node.name)
                self._paths[id(node)] = local.path if local else (node.name,)
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListExpr():
                return self._list(node)
            case MapExpr():
                return self._map(node)
            case StructExpr():
                return self._all(entry.value for entry in node.entries).plus(fixed(_STRUCT_COST))
            case Comprehension():
                return self._bind(node) if node.shape == "bind" else self._loop(node)
        return NOTHING

    def _all(self, nodes: Iterable[Node]) -> Range:
        total = NOTHING
        for node in nodes:
            total = total.plus(self.cost(node))
        return total

    def _local(self, name: str) -> Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    def _push(self, name: str, local: Local) -> None:
        self._locals.setdefault(name, []).append(local)

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident) and (local := self._local(node.name)):
            return local.path
        return self._paths.get(id(node), ())

    def _select(self, node: Select) -> Range:
        if node.resolved:
            self._paths[id(node)] = (node.resolved,)
            return ONE
        total = self.cost(node.operand)
        if node.test:
            return total
        if node.operand.type.kind in ("map", "struct", "param"):
            total = total.plus(ONE)
        self._paths[id(node)] = (*self._path(node.operand), node.field)
        return total

    def size(self, node: Node) -> Range | None:
        """The size of a node's value, None if nothing is known."""
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        found = _literal_size(node)
        if found is not None:
            return found
        found = self.path_size(self._path(node))
        if found is not None:
            self._sizes[id(node)] = found
            return found
        if _is_scalar(node.type):
            return ONE
        local = self._local(node.name) if isinstance(node, Ident) else None
        return local.size if local else None

    def size_or_unknown(self, node: Node) -> Range:
        return self.size(node) or UNKNOWN

    def path_size(self, path: Path) -> Range | None:
        """The size of what a path leads to, by declared types. In rules of schemas every path begins at `self`, whatever it is called:
        `int` in `type(self.port) == int` too."""
        if not path or path[0].startswith("@"):
            return None
        current: Type | None = self._variables.get("self") or self._variables.get(path[0])
        if current is None:
            return None
        for step in path[1:]:
            current = _stepped(current, step) if current is not None else None
        return None if current is None or current.limits is None or current.limits.size is None else Range(0, current.limits.size)

    def _entry(self, node: Node) -> Entry | None:
        if id(node) in self._entries:
            return self._entries[id(node)]
        local = self._local(node.name) if isinstance(node, Ident) else None
        return local.entry if local else None

    def _known(self, node: Node) -> Known:
        path = self._path(node)
        return Known(node, node.type, () if path and path[0].startswith("@result") else path, self.size_or_unknown(node))

    def _call(self, node: Call) -> Range:
        if node.function == "dyn":
            argument = node.args[0]
            total = ONE.plus(self.cost(argument))
            self._copy(node, argument)
            return total
        costs = [self.cost(arg) for arg in node.args]
        args = [self._known(arg) for arg in node.args]
        total, target = NOTHING, None
        if node.target is not None:
            total = self.cost(node.target)
            target = self._known(node.target)
        call_cost, size = Range(UNBOUNDED, 0), None
        for overload in node.overloads:
            cost, result = self._overload(node, overload.id, target, args, costs)
            call_cost = call_cost.union(cost)
            if result is not None:
                size = result if size is None else size.union(result)
            if overload.id in ("index_list", "index_map"):
                size = self._indexed(node, overload.id)
            if size is None:
                size = self.size(node)
        if size is not None:
            self._sizes[id(node)] = size
        return total.plus(call_cost) if node.overloads else NOTHING

    def _indexed(self, node: Call, overload: str) -> Range | None:
        entry = self._entry(node.args[0])
        self._paths[id(node)] = (*self._path(node.args[0]), "@items" if overload == "index_list" else "@values")
        return entry.value if entry else None

    def _copy(self, into: Node, source: Node) -> None:
        size, entry = self.size(source), self._entry(source)
        if size is not None:
            self._sizes[id(into)] = size
        if entry is not None:
            self._entries[id(into)] = entry

    def _overload(self, node: Call, overload: str, target: Known | None, args: list[Known], costs: list[Range]) -> Estimated:
        own = estimated_call(self, node.function, overload, target, args)
        if own is None:
            own = self._special(node, overload, costs)
            if own is not None:
                return own
            own = ONE, None
        total = own[0]
        for cost in costs:
            total = total.plus(cost)
        return total, own[1]

    def _special(self, node: Call, overload: str, costs: list[Range]) -> Estimated | None:
        """Calls that do not evaluate all arguments."""
        if overload in ("logical_or", "logical_and"):
            return Range(costs[0].least, costs[0].plus(costs[1]).most), None
        if overload == "conditional":
            chosen, other = node.args[1:]
            entry = _united(self._entry(chosen), self._entry(other))
            if entry:
                self._entries[id(node)] = entry
            return costs[0].plus(costs[1].union(costs[2])), self.size_or_unknown(chosen).union(self.size_or_unknown(other))
        if overload in ("add_string", "add_bytes", "add_list"):
            entry = _united(self._entry(node.args[0]), self._entry(node.args[1]))
            if entry:
                self._entries[id(node)] = entry
            size = self.size_or_unknown(node.args[0]).plus(self.size_or_unknown(node.args[1]))
            cost = ONE if overload == "add_list" else size.scaled(TRAVERSAL)
            return cost.plus(costs[0]).plus(costs[1]), size
        return None

    def _list(self, node: ListExpr) -> Range:
        size = Range(UNBOUNDED if node.elements else 0, 0)
        total = fixed(_LIST_COST)
        for element in node.elements:
            total = total.plus(self.cost(element))
            size = size.union(self.size_or_unknown(element))
        self._entries[id(node)] = Entry("list", ONE, size)
        return total

    def _map(self, node: MapExpr) -> Range:
        keys = values = Range(UNBOUNDED if node.entries else 0, 0)
        total = fixed(_MAP_COST)
        for entry in node.entries:
            total = total.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            keys, values = keys.union(self.size_or_unknown(entry.key)), values.union(self.size_or_unknown(entry.value))
        self._entries[id(node)] = Entry("map", keys, values)
        return total

    def _iterated(self, node: Comprehension) -> list[str]:
        """Make the variables of a loop known; their names."""
        entry, path = self._entry(node.range), self._path(node.range)
        listed = (entry.kind if entry else node.range.type.kind) == "list"
        keys = Local((*path, "@indices" if listed else "@keys"), entry.key if entry else None, None)
        values = Local((*path, "@items" if listed else "@values"), entry.value if entry else None, None)
        if node.second:
            self._push(node.variable, keys)
            self._push(node.second, values)
            return [node.variable, node.second]
        self._push(node.variable, values if listed else keys)
        return [node.variable]

    def _loop(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.initial))
        self._push(node.accumulator, Local(self._path(node.initial), self.size(node.initial), self._entry(node.initial)))
        names = self._iterated(node)
        each = self.cost(node.condition).plus(self.cost(node.step))
        for name in names:
            self._locals[name].pop()
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        count = self.size_or_unknown(node.range)
        self._result_size(node, count)
        return total.plus(count.times(each))

    def _result_size(self, node: Comprehension, count: Range) -> None:
        if isinstance(node.initial, Literal):
            size = self.size(node.initial)
            if size is not None:
                self._sizes[id(node)] = size
        elif isinstance(node.initial, ListExpr | MapExpr):
            self._sizes[id(node)] = count
            entry = self._entry(node.step)
            if entry:
                self._entries[id(node)] = entry

    def _bind(self, node: Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.initial))
        self._push(node.accumulator, Local(self._path(node.initial), self.size(node.initial), self._entry(node.initial)))
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        self._copy(node, node.result)
        return total


def _united(one: Entry | None, other: Entry | None) -> Entry | None:
    return Entry(one.kind, one.key.union(other.key), one.value.union(other.value)) if one and other else None


def _literal_size(node: Node) -> Range | None:
    if isinstance(node, Literal):
        return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
    if isinstance(node, ListExpr):
        return fixed(len(node.elements))
    return fixed(len(node.entries)) if isinstance(node, MapExpr) else None


def _is_scalar(type_: Type) -> bool:
    if is_optional(type_):
        return _is_scalar(type_.params[0])
    return type_.kind in ("bool", "double", "duration", "int", "timestamp", "uint")


def _stepped(type_: Type, step: str) -> Type | None:
    if step in ("@items", "@values"):
        return type_.params[-1] if type_.kind in ("list", "map") else None
    if step == "@keys":
        return type_.params[0] if type_.kind == "map" else None
    field = type_.fields.get(step) if type_.kind == "struct" and type_.fields else None
    return field.type if field else None


CallEstimate = Callable[[Estimator, str, "Known | None", list[Known]], "Estimated | None"]


def estimated_call(estimator: Estimator, function: str, overload: str, target: Known | None, args: list[Known]) -> Estimated | None:
    """The estimate of a call whose cost depends on sizes; None for the others."""
    from tiffin.machinery.cel.callestimates import BY_FUNCTION, BY_OVERLOAD

    known = BY_FUNCTION.get(function)
    found = known(estimator, overload, target, args) if known else None
    if found is None and (known := BY_OVERLOAD.get(overload)):
        found = known(estimator, overload, target, args)
    return found
