"""Macros: calls that become other expressions before anything is checked.

`has`, `all`, `exists`, `exists_one`, `map`, `filter`, the ones with two variables, `optMap`, `optFlatMap` and `sortBy`. A call that has
another number of arguments, or no target, is an ordinary call. Source: cel-spec "Macros"; cel-go's parser, ext/comprehensions,
ext/lists and cel/library (the exact expansions decide estimated costs).
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tiffin.machinery.cel.ast import Call, Comprehension, Ident, ListExpr, Literal, MapExpr, Node, Select

RESULT = "@result"
"""The accumulator of a macro; no identifier can be spelled like it."""

Expansion = Callable[[int, Node, list[Node]], Node]


class MacroError(ValueError):
    """A macro with arguments it cannot take."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def expand(offset: int, name: str, target: Node | None, args: list[Node], bindings: bool = False) -> Node | None:
    """What the call stands for; None when it is no macro. `bindings` adds `cel.bind(name, value, expression)`. Raises MacroError."""
    if target is None:
        return _has(offset, args[0]) if name == "has" and len(args) == 1 else None
    if bindings and name == "bind" and len(args) == 3 and isinstance(target, Ident) and target.name == "cel":
        return _bind(offset, _variable(args[0], "cel.bind() variable names must be simple identifiers"), args[1], args[2])
    expansion = _MACROS.get((name, len(args)))
    return expansion(offset, target, args) if expansion else None


def _has(offset: int, arg: Node) -> Node:
    if isinstance(arg, Select) and not arg.test:
        return Select(offset, arg.operand, arg.field, test=True)
    raise MacroError(offset, "invalid argument to has() macro")


def _variable(arg: Node, message: str = "argument must be a simple name") -> str:
    if not isinstance(arg, Ident) or arg.name.startswith("."):
        raise MacroError(arg.offset, message)
    if arg.name in (RESULT, "__result__"):
        raise MacroError(arg.offset, "iteration variable overwrites accumulator variable")
    return arg.name


def _variables(args: list[Node], count: int) -> tuple[str, str]:
    first = _variable(args[0])
    if count == 1:
        return first, ""
    second = _variable(args[1])
    if first == second:
        raise MacroError(args[1].offset, f"duplicate variable name: {first}")
    return first, second


def _loop(offset: int, shape: str, target: Node, names: tuple[str, str], initial: Node, condition: Node, step: Node, result: Node,
          inner: tuple[Node, ...]) -> Node:
    return Comprehension(offset, shape, target, names[0], names[1], RESULT, initial, condition, step, result, inner)


def _all(count: int, offset: int, target: Node, args: list[Node]) -> Node:
    accumulator = Ident(offset, RESULT)
    return _loop(offset, "all", target, _variables(args, count), Literal(offset, True),
                 Call(offset, "@not_strictly_false", [accumulator]), Call(offset, "_&&_", [Ident(offset, RESULT), args[count]]),
                 Ident(offset, RESULT), (args[count],))


def _exists(count: int, offset: int, target: Node, args: list[Node]) -> Node:
    unsettled = Call(offset, "@not_strictly_false", [Call(offset, "!_", [Ident(offset, RESULT)])])
    return _loop(offset, "exists", target, _variables(args, count), Literal(offset, False), unsettled,
                 Call(offset, "_||_", [Ident(offset, RESULT), args[count]]), Ident(offset, RESULT), (args[count],))


def _exists_one(count: int, offset: int, target: Node, args: list[Node]) -> Node:
    more = Call(offset, "_+_", [Ident(offset, RESULT), Literal(offset, 1)])
    return _loop(offset, "exists_one", target, _variables(args, count), Literal(offset, 0), Literal(offset, True),
                 Call(offset, "_?_:_", [args[count], more, Ident(offset, RESULT)]),
                 Call(offset, "_==_", [Ident(offset, RESULT), Literal(offset, 1)]), (args[count],))


def _collect(count: int, offset: int, target: Node, args: list[Node]) -> Node:
    """map, transformList: variables, perhaps a predicate, what to keep."""
    names, predicate, kept = _variables(args, count), args[count:-1], args[-1]
    step: Node = Call(offset, "_+_", [Ident(offset, RESULT), ListExpr(offset, [kept])])
    if predicate:
        step = Call(offset, "_?_:_", [predicate[0], step, Ident(offset, RESULT)])
    return _loop(offset, "map", target, names, ListExpr(offset, []), Literal(offset, True), step, Ident(offset, RESULT), (*predicate, kept))


def _filter(offset: int, target: Node, args: list[Node]) -> Node:
    return _collect(1, offset, target, [args[0], args[1], Ident(offset, _variable(args[0]))])


def _transform_map(offset: int, target: Node, args: list[Node]) -> Node:
    names, predicate, kept = _variables(args, 2), args[2:-1], args[-1]
    step: Node = Call(offset, "cel.@mapInsert", [Ident(offset, RESULT), Ident(offset, names[0]), kept])
    if predicate:
        step = Call(offset, "_?_:_", [predicate[0], step, Ident(offset, RESULT)])
    return _loop(offset, "transform_map", target, names, MapExpr(offset, []), Literal(offset, True), step, Ident(offset, RESULT), (*predicate, kept))


def _transform_entry(offset: int, target: Node, args: list[Node]) -> Node:
    names, predicate, kept = _variables(args, 2), args[2:-1], args[-1]
    step: Node = Call(offset, "cel.@mapInsert", [Ident(offset, RESULT), kept])
    if predicate:
        step = Call(offset, "_?_:_", [predicate[0], step, Ident(offset, RESULT)])
    return _loop(offset, "transform_entry", target, names, MapExpr(offset, []), Literal(offset, True), step, Ident(offset, RESULT), (*predicate, kept))


def _bind(offset: int, name: str, value: Node, body: Node) -> Node:
    return Comprehension(offset, "bind", ListExpr(offset, []), "#unused", "", name, value, Literal(offset, False), Ident(offset, name), body, (body,))


def _opt_map(wrap: bool, offset: int, target: Node, args: list[Node]) -> Node:
    macro = "optMap()" if wrap else "optFlatMap()"
    name = _variable(args[0], f"{macro} variable name must be a simple identifier")
    body = _bind(offset, name, Call(offset, "value", [], target), args[1])
    return Call(offset, "_?_:_", [
        Call(offset, "hasValue", [], target), Call(offset, "optional.of", [body]) if wrap else body, Call(offset, "optional.none", [])])


def _sort_by(offset: int, target: Node, args: list[Node]) -> Node:
    variable = "@__sortBy_input__"
    keys = _collect(1, offset, Ident(offset, variable), args)
    return _bind(offset, variable, target, Call(offset, "@sortByAssociatedKeys", [keys], Ident(offset, variable)))


_MACROS: dict[tuple[str, int], Expansion] = {
    ("all", 2): partial(_all, 1), ("exists", 2): partial(_exists, 1), ("exists_one", 2): partial(_exists_one, 1),
    ("existsOne", 2): partial(_exists_one, 1), ("map", 2): partial(_collect, 1), ("map", 3): partial(_collect, 1), ("filter", 2): _filter,
    ("all", 3): partial(_all, 2), ("exists", 3): partial(_exists, 2), ("existsOne", 3): partial(_exists_one, 2),
    ("exists_one", 3): partial(_exists_one, 2), ("transformList", 3): partial(_collect, 2), ("transformList", 4): partial(_collect, 2),
    ("transformMap", 3): _transform_map, ("transformMap", 4): _transform_map, ("transformMapEntry", 3): _transform_entry,
    ("transformMapEntry", 4): _transform_entry, ("optMap", 2): partial(_opt_map, True), ("optFlatMap", 2): partial(_opt_map, False),
    ("sortBy", 2): _sort_by}
