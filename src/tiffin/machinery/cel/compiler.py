"""From checked tree to closures.

Every node becomes a function of one argument, the frame: a list whose first element is what the call may still cost, followed by the
variables, then by one place for each variable of a macro. What a node costs whenever it is evaluated is added up beforehand, so the
frame is only touched where evaluation may take another way (`&&`, `||`, `?:`, loops) and by calls whose cost depends on their arguments.
Costs are those of cel-go's run-time tracker. Types the checker knows choose the closure: `a <= b` of two ints is one Python comparison.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.cel import loops
from tiffin.machinery.cel.ast import Call, Comprehension, Entry, Ident, ListExpr, Literal, MapExpr, Node, Select, StructExpr
from tiffin.machinery.cel.calls import among, charged_invocation, invocation, specialised
from tiffin.machinery.cel.closures import (
    Code,
    Compiled,
    conditional,
    index,
    logical,
    optional_index,
    optional_selection,
    otherwise,
    presence,
    selection,
    variable,
)
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import choose
from tiffin.machinery.cel.loops import Frame
from tiffin.machinery.cel.runtimecost import call_cost
from tiffin.machinery.cel.types import Type
from tiffin.machinery.cel.values import Made, Optional, contains, type_name

LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
_CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"))


class Compiler:
    """Compiles one expression; `slots` are the places of its free variables."""

    def __init__(self) -> None:
        self.slots: dict[str, int] = {}
        self._local: dict[str, int] = {}
        self._places = 0

    def compile(self, root: Node, variables: tuple[str, ...]) -> tuple[Code, int, int]:
        """(code, its fixed cost, how many places the frame needs)."""
        self.slots = {name: number for number, name in enumerate(variables, 1)}
        self._places = len(variables) + 1
        made = self.node(root)
        return made.code, made.cost, self._places

    def node(self, node: Node) -> Compiled:
        match node:
            case Literal():
                return _constant(node.value)
            case Ident():
                return self._ident(node.name, node.type)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListExpr():
                return self._list(node)
            case MapExpr():
                return self._map(node)
            case StructExpr():
                return self._struct(node)
            case Comprehension():
                return self._comprehension(node)
        raise TypeError(node)

    def _ident(self, name: str, type_: Type) -> Compiled:
        slot = self._local.get(name) or self.slots.get(name)
        if slot is None:
            return _constant(type_.params[0])  # the name of a type
        return Compiled(variable(slot), 1)

    def _select(self, node: Select) -> Compiled:
        if node.resolved:
            return self._ident(node.resolved, node.type)
        operand = self.node(node.operand)
        if node.test:
            return Compiled(presence(operand.code, node.operand.type, node.field), operand.cost)
        return Compiled(selection(operand.code, node.operand.type, node.field), operand.cost + _step_cost(node.operand))

    def _call(self, node: Call) -> Compiled:
        match node.function:
            case "_&&_" | "_||_":
                return self._logical(node)
            case "_?_:_":
                condition, chosen, other = map(self.node, node.args)
                return Compiled(conditional(condition.code, _within(node.args[1], chosen), _within(node.args[2], other)), condition.cost)
            case "_?._":
                operand, name = self.node(node.args[0]), node.args[1]
                assert isinstance(name, Literal)
                return Compiled(optional_selection(operand.code, node.args[0].type, name.value), operand.cost + _step_cost(node.args[0]) - 1)
            case "or" | "orValue" if node.target is not None and len(node.args) == 1:
                optional, other = self.node(node.target), self.node(node.args[0])
                return Compiled(otherwise(optional.code, other, node.function == "orValue"), optional.cost)
        parts = ([node.target] if node.target is not None else []) + node.args
        made = [self.node(part) for part in parts]
        if node.function in ("_[_]", "_[?_]"):
            made[1] = _within(parts[1], made[1])
        cost = sum(part.cost for part in made)
        if node.function in _CONVERSIONS and made[0].value is not loops.UNSET and (known := _converted(node, made[0].value)):
            return known
        if node.function == "@in" and isinstance(made[1].value, list):
            return Compiled(_membership(parts[0], made[0].code, made[1].value), made[0].cost)
        if node.function == "_[_]":
            return Compiled(index(made[0].code, made[1].code), cost + _step_cost(parts[0]))
        if node.function == "_[?_]":
            return Compiled(optional_index(made[0].code, made[1].code), cost + _step_cost(parts[0]) - 1)
        code = specialised(node, [part.code for part in made], parts)
        dynamic = call_cost(node, parts)
        if isinstance(dynamic, int):
            return Compiled(code or invocation(node, [part.code for part in made]), cost + dynamic)
        return Compiled(charged_invocation(node, [part.code for part in made], dynamic), cost)

    def _logical(self, node: Call) -> Compiled:
        left, right = map(self.node, node.args)
        return Compiled(logical(left.code, right.code, right.cost, node.function == "_||_"), left.cost)

    def _list(self, node: ListExpr) -> Compiled:
        optional = node.optional
        made = [self.node(element) for element in node.elements]
        if not optional and all(part.value is not loops.UNSET for part in made):
            return _constant([part.value for part in made])
        cost, codes = sum(part.cost for part in made) + LIST_COST, [part.code for part in made]
        if not optional:
            return Compiled(lambda frame: [code(frame) for code in codes], cost)

        def build(frame: Frame) -> list[Any]:
            items = []
            for number, code in enumerate(codes):
                value = code(frame)
                if number not in optional:
                    items.append(value)
                elif _unwrapped(value).present:
                    items.append(value.value)
            return items
        return Compiled(build, cost)

    def _map(self, node: MapExpr) -> Compiled:
        keys, values = [self.node(entry.key) for entry in node.entries], [self.node(entry.value) for entry in node.entries]
        pairs = [(key.code, value.code, entry.optional) for key, value, entry in zip(keys, values, node.entries)]

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key_code, value_code, optional in pairs:
                loops.insert(made, key_code(frame), value_code(frame), optional)
            return made
        if all(part.value is not loops.UNSET for part in keys + values):
            try:
                return _constant(build([]))
            except EvaluationError:  # a key twice: for the evaluation to say
                return Compiled(build, 0)
        return Compiled(build, sum(part.cost for part in keys + values) + MAP_COST)

    def _struct(self, node: StructExpr) -> Compiled:
        made = [self.node(entry.value) for entry in node.entries]
        fields = [(entry.key, part.code, entry.optional, _is_text(entry, node.type)) for entry, part in zip(node.entries, made)]
        type_ = node.type

        def build(frame: Frame) -> Made:
            built: dict[str, Any] = {}
            for name, code, optional, text in fields:
                loops.put(built, name, code(frame), optional)
                if text and name in built and not isinstance(built[name], str):
                    raise EvaluationError(f"unexpected type {type_name(built[name])} for {type_.name}Type '{name}' field")
            return Made(built, type_)
        return Compiled(build, sum(part.cost for part in made) + STRUCT_COST)

    def _place(self, name: str) -> int:
        place = self._local[name] = self._places
        self._places += 1
        return place

    def _comprehension(self, node: Comprehension) -> Compiled:
        outer = dict(self._local)
        if node.shape == "bind":
            initial = self.node(node.initial)
            slot = self._place(node.accumulator)
            body = self.node(node.result)
            self._local = outer
            return Compiled(loops.bind(slot, initial.code, body.code), initial.cost + body.cost)
        range_ = self.node(node.range)
        first = self._place(node.variable)
        second = self._place(node.second) if node.second else 0
        inner = [self.node(part) for part in node.inner]
        self._local = outer
        loop, fixed = loops.loop(node.shape, range_.code, first, second, [(part.code, part.cost) for part in inner])
        return Compiled(loop, range_.cost + fixed)


def _constant(value: Any) -> Compiled:
    return Compiled(lambda frame: value, 0, value)


def _is_attribute(node: Node) -> bool:
    """Whether the node is a path from a variable, where each step costs 1. A path that starts elsewhere costs 1 for its start, too."""
    if isinstance(node, Call):
        return node.function in ("_[_]", "_?._", "_[?_]", "_?_:_")
    return isinstance(node, Ident) or (isinstance(node, Select) and not node.test)


def _step_cost(operand: Node) -> int:
    return 1 if _is_attribute(operand) else 2


def _within(node: Node, made: Compiled) -> Compiled:
    """A branch of `?:`, or a key in brackets: the start of a path is free there."""
    return made._replace(cost=made.cost - 1) if _is_attribute(node) and made.cost else made


def _converted(node: Call, value: Any) -> Compiled | None:
    """The constant that a conversion of a constant is; None when it fails, which is for the evaluation to say."""
    try:
        return _constant(choose(node.function, node.overloads, (value,))(value))
    except EvaluationError:
        return None


def _is_text(entry: Entry, struct: Type) -> bool:
    field = struct.fields.get(entry.key) if struct.fields else None
    return field is not None and field.type.kind == "string"


def _membership(wanted: Node, code: Code, choices: list[Any]) -> Code:
    """`x in ['a', 'b']`: a list of constants costs nothing."""
    if wanted.type.kind == "string" and all(isinstance(value, str) for value in choices):
        return among(code, frozenset(choices))
    return lambda frame: contains(choices, code(frame))


def _unwrapped(value: Any) -> Optional:
    if type(value) is not Optional:
        raise EvaluationError(f"cannot initialize optional list element from non-optional value {type_name(value)}")
    return value
