"""From checked tree to closures.

Every node becomes a function of one argument, the frame: a list whose first element is what the call may still cost, followed by the
variables, then by one place for each variable of a macro. What a node costs whenever it is evaluated is added up beforehand, so the
frame is only touched where evaluation may take another way (`&&`, `||`, `?:`, loops) and by calls whose cost depends on their arguments.
Costs are those of cel-go's run-time tracker. Types the checker knows choose the closure: `a <= b` of two ints is one Python comparison.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tiffin.machinery.cel import loops, operators
from tiffin.machinery.cel.ast import Call, Comprehension, Entry, Ident, ListExpr, Literal, MapExpr, Node, Select, StructExpr
from tiffin.machinery.cel.errors import CostExceeded, EvaluationError
from tiffin.machinery.cel.functions import choose, no_overload
from tiffin.machinery.cel.loops import Frame
from tiffin.machinery.cel.runtimecost import Cost, call_cost
from tiffin.machinery.cel.types import Type
from tiffin.machinery.cel.values import INT_MAX, INT_MIN, Optional, type_name

LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
_CONVERSIONS = frozenset(("bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"))
Code = Callable[[Frame], Any]


class Compiled(NamedTuple):
    """Code, and what it costs each time beyond what it charges itself. `value` is what it always is, UNSET when that depends."""

    code: Code
    cost: int
    value: Any = loops.UNSET




class Compiler:
    """Compiles one expression; `slots` are the places of its free variables."""

    def __init__(self, types: dict[str, Type]) -> None:
        self.slots: dict[str, int] = {}
        self._types, self._local, self._places = types, dict[str, int](), 0

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
                return self._ident(node.name)
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

    def _ident(self, name: str) -> Compiled:
        slot = self._local.get(name) or self.slots.get(name)
        if slot is None:
            return _constant(self._types[name])
        return Compiled(_variable(slot), 1)

    def _select(self, node: Select) -> Compiled:
        if node.resolved:
            return self._ident(node.resolved)
        operand = self.node(node.operand)
        if node.test:
            return Compiled(_presence(operand.code, node.operand.type, node.field), operand.cost)
        return Compiled(_selection(operand.code, node.operand.type, node.field), operand.cost + _step_cost(node.operand))

    def _call(self, node: Call) -> Compiled:
        match node.function:
            case "_&&_" | "_||_":
                return self._logical(node)
            case "_?_:_":
                condition, chosen, other = map(self.node, node.args)
                return Compiled(_conditional(condition.code, _within(node.args[1], chosen), _within(node.args[2], other)), condition.cost)
            case "_?._":
                operand, name = self.node(node.args[0]), node.args[1]
                assert isinstance(name, Literal)
                return Compiled(_optional_selection(operand.code, name.value), operand.cost + _step_cost(node.args[0]) - 1)
            case "or" | "orValue" if node.target is not None and len(node.args) == 1:
                optional, other = self.node(node.target), self.node(node.args[0])
                return Compiled(_otherwise(optional.code, other, node.function == "orValue"), optional.cost)
        parts = ([node.target] if node.target is not None else []) + node.args
        made = [self.node(part) for part in parts]
        if node.function in ("_[_]", "_[?_]"):
            made[1] = _within(parts[1], made[1])
        cost = sum(part.cost for part in made)
        if node.function in _CONVERSIONS and made[0].value is not loops.UNSET and (known := _converted(node, made[0].value)):
            return known
        if node.function == "@in" and (choices := _choices(parts, made)) is not None:
            return Compiled(_among(made[0].code, choices), made[0].cost)
        if node.function == "_[?_]":
            return Compiled(_optional_index(made[0].code, made[1].code), cost + _step_cost(parts[0]) - 1)
        code = _specialised(node, [part.code for part in made], parts)
        dynamic = _step_cost(parts[0]) if node.function == "_[_]" else call_cost(node, parts)
        if isinstance(dynamic, int):
            return Compiled(code or _invocation(node, [part.code for part in made]), cost + dynamic)
        return Compiled(_charged_invocation(node, [part.code for part in made], dynamic), cost)

    def _logical(self, node: Call) -> Compiled:
        left, right = map(self.node, node.args)
        return Compiled((_and if node.function == "_&&_" else _or)(left.code, right.code, right.cost), left.cost)

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
        fields = [(_key(entry, node.type), part.code, entry.optional) for entry, part in zip(node.entries, made)]

        def build(frame: Frame) -> dict[str, Any]:
            built: dict[str, Any] = {}
            for name, code, optional in fields:
                loops.put(built, name, code(frame), optional)
            return built
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


def _variable(slot: int) -> Code:
    def variable(frame: Frame) -> Any:
        value = frame[slot]
        if value is loops.UNSET:
            raise EvaluationError("no such attribute")
        return value
    return variable


def _key(entry: Entry, struct: Type) -> str:
    field = struct.fields.get(entry.key) if struct.fields else None
    return field.key if field else str(entry.key)


def _selection(operand: Code, type_: Type, name: str) -> Code:
    """`operand.name`. In objects with a type a field that is null is absent; in maps null is a value."""
    field = type_.fields.get(name) if type_.kind == "struct" and type_.fields else None
    if field is not None and type_.adapt is None and field.type.adapt is None:
        key = field.key
    elif type_.kind in ("map", "dyn"):
        key = name
    else:
        return lambda frame: operators.field(operand(frame), name)

    nullable = field is None

    def select(frame: Frame) -> Any:
        value = operand(frame)
        if type(value) is dict:
            found = value.get(key, loops.UNSET)
            if found is loops.UNSET or (found is None and not nullable):
                raise EvaluationError(f"no such key: {name}")
            return found
        return operators.field(value, name)
    return select


def _presence(operand: Code, type_: Type, name: str) -> Code:
    field = type_.fields.get(name) if type_.kind == "struct" and type_.fields else None
    key = field.key if field else name

    def has(frame: Frame) -> bool:
        value = operand(frame)
        if type(value) is not dict:
            return operators.has_field(value, name)
        return key in value if field is None else value.get(key) is not None
    return has


def _optional_selection(operand: Code, name: str) -> Code:
    """`operand.?name`: a field that is not there costs nothing."""
    def select(frame: Frame) -> Optional:
        found = operators.optional_field(operand(frame), name)
        frame[0] -= found.present
        return found
    return select


def _optional_index(operand: Code, key: Code) -> Code:
    """`operand[?key]`, with the same costs."""
    def index(frame: Frame) -> Optional:
        found = operators.optional_index(operand(frame), key(frame))
        frame[0] -= found.present
        return found
    return index


def _otherwise(optional: Code, other: Compiled, unwrap: bool) -> Code:
    """`a.or(b)`, `a.orValue(b)`: b is only evaluated when a has no value."""
    fallback, cost = other.code, other.cost

    def choose_one(frame: Frame) -> Any:
        first = optional(frame)
        if type(first) is not Optional:
            raise no_overload("orValue" if unwrap else "or", (first,))
        if first.present:
            return first.value if unwrap else first
        frame[0] -= cost
        return fallback(frame)
    return choose_one


def _unwrapped(value: Any) -> Optional:
    if type(value) is not Optional:
        raise EvaluationError(f"cannot initialize optional list element from non-optional value {type_name(value)}")
    return value


def _conditional(condition: Code, chosen: Compiled, other: Compiled) -> Code:
    first, first_cost, second, second_cost = chosen.code, chosen.cost, other.code, other.cost

    def choose(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            frame[0] -= first_cost
            return first(frame)
        if value is False:
            frame[0] -= second_cost
            return second(frame)
        raise EvaluationError(operators.NO_OVERLOAD)
    return choose


def _and(left: Code, right: Code, cost: int) -> Code:
    def both(frame: Frame) -> bool:
        failure = None
        try:
            first = left(frame)
        except EvaluationError as error:
            first, failure = None, error
        if first is False:
            return False
        frame[0] -= cost
        try:
            second = right(frame)
        except EvaluationError as error:
            raise failure or error from None
        if second is False:
            return False
        if first is True and second is True:
            return True
        raise failure or EvaluationError(operators.NO_OVERLOAD)
    return both


def _or(left: Code, right: Code, cost: int) -> Code:
    def either(frame: Frame) -> bool:
        failure = None
        try:
            first = left(frame)
        except EvaluationError as error:
            first, failure = None, error
        if first is True:
            return True
        frame[0] -= cost
        try:
            second = right(frame)
        except EvaluationError as error:
            raise failure or error from None
        if second is True:
            return True
        if first is False and second is False:
            return False
        raise failure or EvaluationError(operators.NO_OVERLOAD)
    return either


def _specialised(node: Call, codes: list[Code], parts: list[Node]) -> Code | None:
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


def _choices(parts: list[Node], made: list[Compiled]) -> frozenset[str] | None:
    """The right side of `x in ['a', 'b']`, when x and all choices are text."""
    choices = made[1].value
    if parts[0].type.kind != "string" or not isinstance(choices, list) or not all(isinstance(value, str) for value in choices):
        return None
    return frozenset(choices)


def _among(wanted: Code, choices: frozenset[str]) -> Code:
    return lambda frame: wanted(frame) in choices


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


def _invocation(node: Call, codes: list[Code]) -> Code:
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

    def invoke(frame: Frame) -> Any:
        values = tuple([code(frame) for code in codes])
        return choose(name, overloads, values)(*values)
    return invoke


_TOTAL = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "-_", "@in", "_[_]", "_[?_]", "dyn", "type"))
"""Functions whose implementation looks at the types of its arguments itself."""


def _charged_invocation(node: Call, codes: list[Code], cost: Cost) -> Code:
    """Call a function after its arguments have told what it costs: what costs too much is not even begun."""
    name, overloads = node.function, tuple(node.overloads)
    total = name in _TOTAL and len({overload.call for overload in overloads}) == 1
    call = overloads[0].call

    def invoke(frame: Frame) -> Any:
        values = tuple([code(frame) for code in codes])
        chosen = call if total else choose(name, overloads, values)
        frame[0] -= cost(values)
        if frame[0] < 0:
            raise CostExceeded
        return chosen(*values)
    return invoke
