"""No expression hangs, exhausts memory or ends in anything but the engine's own errors."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.machinery.cel.support import ENVIRONMENT, VALUES
from tests.machinery.cel.unparse import shape, text
from tiffin.machinery.cel import Budget, CelError, CompilationError, CostExceeded, Environment, EvaluationError, json_of
from tiffin.machinery.cel.ast import Call, Entry, Ident, ListExpr, Literal, MapExpr, Node, Select
from tiffin.machinery.cel.errors import Source
from tiffin.machinery.cel.parser import parse
from tiffin.machinery.cel.types import DYN, INT, STRING, list_of
from tiffin.machinery.cel.values import Uint

BIG = Environment({"l": list_of(INT), "s": STRING, "deep": DYN})
BIG_VALUES: dict[str, Any] = {"l": list(range(60)), "s": "a" * 100_000 + "!"}


def doubling(levels: int, body: str) -> str:
    """An expression that makes a list of 2**levels elements out of `levels` lists, and then does something with it."""
    for level in reversed(range(levels)):
        items = f"dyn(v{level - 1}), dyn(v{level - 1})" if level else "dyn(1), dyn(1)"
        body = f"optional.of([{items}]).optFlatMap(v{level}, {body})"
    return body


@pytest.mark.parametrize("expression", [
    "l.all(a, l.all(b, l.all(c, l.all(d, a + b + c + d >= 0))))", "lists.range(9000000).size()", "lists.range(900000).sort()",
    "lists.range(900000).map(a, lists.range(1000)).size()", "s" + ".replace('', 'xxxxxxxxxx')" * 60, "lists.range(900000).distinct()",
    "lists.range(300).map(i, lists.range(300)).map(i, i.map(j, string(j)).join('xxxxxxxx')).join('')", "[[1]].flatten(9223372036854775807)",
    doubling(40, "optional.of(v39 == [v38, v38])"), doubling(40, "optional.of(v39.flatten(100).size())"), doubling(40, "optional.of('%s'.format([v39]))"),
    doubling(30, "optional.of([v29].indexOf([1]))"), doubling(30, "optional.of([v29, v29].distinct())"), doubling(30, "optional.of(sets.contains([v29], [v29]))"),
    doubling(30, "optional.of(v29 in [[v28, v28]])"), "".join(f"l.all(v{n}, " for n in range(60)) + "true" + ")" * 60])
def test_what_costs_too_much_is_ended(expression: str) -> None:
    with pytest.raises(CostExceeded):
        BIG.compile(expression).evaluate(BIG_VALUES, Budget())


@pytest.mark.parametrize("text", ["aaaaaaaaaa", "a" * 10_000])
def test_every_match_costs(text: str) -> None:
    """Ten thousand matches take a thousand times as long as none: a rule that looks for them again and again held the server for half a minute."""
    program = Environment({"l": list_of(INT), "s": STRING}).compile("l.all(a, s.findAll('a').size() > 0)")
    budget = Budget()
    assert program.evaluate({"l": [1], "s": text}, budget) is True
    spent = Budget().remaining - budget.remaining
    assert 4 * len(text) < spent < 5 * len(text) + 20


def test_what_is_too_large_for_json() -> None:
    made = BIG.compile(doubling(40, "optional.of(v39)")).evaluate(BIG_VALUES, Budget())
    with pytest.raises(CostExceeded):
        json_of(made)


@pytest.mark.parametrize("expression", [
    "(" * 300 + "1" + ")" * 300, "[" * 400 + "]" * 400, "x" + ".a" * 1000, "+".join(["1"] * 1000), "true ? 1 : " * 500 + "1", "l" + ".map(a, a)" * 400,
    '"' + "a" * 100_001 + '"', "9" * 90_000, "0x" + "f" * 90_000, "1e" + "9" * 1000, '"""' + '\\"' * 40_000, "s.matches('(((a{100}){100}){100})')"])
def test_what_is_too_large_does_not_compile(expression: str) -> None:
    with pytest.raises(CompilationError):
        BIG.compile(expression)


@pytest.mark.parametrize("expression", ["(" * 100 + "1" + ")" * 100, "!" * 5000 + "true", " && ".join(["true"] * 3000), "//" * 40_000 + "\n1", "s.matches('(a+)+$') || true"])
def test_what_is_only_long_is_fine(expression: str) -> None:
    assert BIG.compile(expression).evaluate(BIG_VALUES, Budget()) in (1, True)


def test_data_nested_deeper_than_the_stack() -> None:
    one: Any = 1
    other: Any = 1
    for _ in range(5000):
        one, other = [one], [other]
    with pytest.raises(EvaluationError, match="nested too deeply"):
        BIG.compile("deep[0] == deep[1]").evaluate({"deep": [one, other]}, Budget())


TOKENS = st.sampled_from(
    ["x", "y", "n", "s", "ns", "words", "m", "a", "b", "0", "1", "2u", "1.5", "'a'", "b'a'", "true", "false", "null", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "+", "-", "*", "/", "%", "!", "&&", "||", "<", "<=", "==", "!=", "in", "has", "all", "exists", "map", "filter", "size", "optional.of", "type", "string", "int", "startsWith", "matches", "orValue", "sort", "sum", "format", "timestamp", "duration", "lists.range", "transformMap", "@", "#", "'", '"'])


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=14).map(" ".join) | st.text(max_size=20))
def test_any_text_ends_in_a_value_or_in_an_error_of_ours(expression: str) -> None:
    try:
        program = ENVIRONMENT.compile(expression)
        ENVIRONMENT.estimate(program)
        program.evaluate(VALUES, Budget())
    except CelError:
        pass


ARGUMENTS = st.sampled_from(["x", "y", "n", "s", "ns", "words", "m", "dyn(1)", "dyn('a')", "dyn([])", "dyn(null)", "dyn(2u)", "dyn(1.5)", "dyn(timestamp(0))",
                             "dyn(duration('1s'))", "dyn(b'a')", "dyn(optional.none())", "dyn(quantity('1'))", "dyn(ip('::1'))", "dyn(int)", "dyn({1: 2})", "dyn(true)"])
FUNCTIONS = sorted((name, overload.member, len(overload.params) - overload.member)
                   for name, function in ENVIRONMENT._functions.items() if name[0] not in "_@-!" and "@" not in name for overload in function.overloads)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(FUNCTIONS), st.lists(ARGUMENTS, min_size=5, max_size=5))
def test_functions_survive_any_argument(function: tuple[str, bool, int], arguments: list[str]) -> None:
    name, member, count = function
    target = f"dyn({arguments[4]})." if member else ""
    try:
        program = ENVIRONMENT.compile(f"{target}{name}({', '.join(f'dyn({argument})' for argument in arguments[:count])})")
        ENVIRONMENT.estimate(program)
        program.evaluate(VALUES, Budget())
    except CelError:
        pass


OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!=", "in", "&&", "||"])


@settings(max_examples=300, deadline=None)
@given(OPERATORS, ARGUMENTS, ARGUMENTS)
def test_operators_survive_any_argument(operator: str, left: str, right: str) -> None:
    try:
        ENVIRONMENT.compile(f"dyn({left}) {operator} dyn({right})").evaluate(VALUES, Budget())
    except CelError:
        pass


LITERALS = st.one_of(
    st.none(), st.booleans(), st.integers(0, 2**63 - 1), st.integers(0, 2**64 - 1).map(Uint), st.floats(0, allow_nan=False, allow_infinity=False),
    st.text(), st.binary()).map(lambda value: Literal(0, value))
NAMES = st.sampled_from(["a", "b2", "_c"])


def _deeper(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    binary = st.sampled_from(["_+_", "_-_", "_*_", "_==_", "_<_", "@in", "_[_]"])
    return st.one_of(
        st.builds(lambda operand, name: Select(0, operand, name), inner, NAMES),
        st.builds(lambda function, left, right: Call(0, function, [left, right]), binary, inner, inner),
        st.builds(lambda one, two, three: Call(0, "_?_:_", [one, two, three]), inner, inner, inner),
        st.builds(lambda operand: Call(0, "!_", [operand]), inner.filter(lambda node: not (isinstance(node, Call) and node.function == "!_"))),
        st.builds(lambda name, args, target: Call(0, name, args, target), NAMES, st.lists(inner, max_size=3), st.none() | inner),
        st.builds(lambda elements: ListExpr(0, elements), st.lists(inner, max_size=3)),
        st.builds(lambda pairs: MapExpr(0, [Entry(0, key, value, False) for key, value in pairs]), st.lists(st.tuples(inner, inner), max_size=2)))


TREES = st.recursive(LITERALS | NAMES.map(lambda name: Ident(0, name)), _deeper, max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_what_was_written_is_read_back(tree: Node) -> None:
    assert shape(parse(Source(text(tree)))) == shape(tree)
