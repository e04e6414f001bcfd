"""What does not compile, and the exact words and places."""
from __future__ import annotations

import pytest

from tests.machinery.cel.support import ENVIRONMENT
from tiffin.machinery.cel import CompilationError, Environment
from tiffin.machinery.cel.types import BOOL, DYN, INT, STRING, list_of, map_of, struct

OBJECT = struct("Thing", {"n": INT, "s": STRING, "tags": list_of(STRING), "labels": map_of(STRING, STRING), "any": DYN})
TYPED = ENVIRONMENT.extended({"self": OBJECT, "flag": BOOL})

MESSAGES = [
    ("foo", [(1, 1, "undeclared reference to 'foo' (in container '')")]),
    ("foo.bar == 1", [(1, 1, "undeclared reference to 'foo' (in container '')")]),
    ("foo(1)", [(1, 4, "undeclared reference to 'foo' (in container '')")]),
    ("s.foo()", [(1, 6, "undeclared reference to 'foo' (in container '')")]),
    ("a.b(c)", [(1, 1, "undeclared reference to 'a' (in container '')"), (1, 4, "undeclared reference to 'b' (in container '')"),
                (1, 5, "undeclared reference to 'c' (in container '')")]),
    ("self.nope == 1", [(1, 5, "undefined field 'nope'")]),
    ("has(self.nope)", [(1, 4, "undefined field 'nope'")]),
    ("self.?nope.hasValue()", [(1, 5, "undefined field 'nope'")]),
    ("self.n.x", [(1, 7, "type 'int' does not support field selection")]),
    ("self.n + self.s", [(1, 8, "found no matching overload for '_+_' applied to '(int, string)'")]),
    ("self.n == self.s", [(1, 8, "found no matching overload for '_==_' applied to '(int, string)'")]),
    ("self.n && flag", [(1, 8, "found no matching overload for '_&&_' applied to '(int, bool)'")]),
    ("!self.n", [(1, 1, "found no matching overload for '!_' applied to '(int)'")]),
    ("-self.s", [(1, 1, "found no matching overload for '-_' applied to '(string)'")]),
    ("self.n ? 1 : 2", [(1, 8, "found no matching overload for '_?_:_' applied to '(int, int, int)'")]),
    ("flag ? 1 : 'a'", [(1, 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'")]),
    ("self.s[0]", [(1, 7, "found no matching overload for '_[_]' applied to '(string, int)'")]),
    ("self.labels[1]", [(1, 12, "found no matching overload for '_[_]' applied to '(map(string, string), int)'")]),
    ("self.tags.startsWith('a')", [(1, 21, "found no matching overload for 'startsWith' applied to 'list(string).(string)'")]),
    ("size(self.n)", [(1, 5, "found no matching overload for 'size' applied to '(int)'")]),
    ("self.s == null", [(1, 8, "found no matching overload for '_==_' applied to '(string, null)'")]),
    ("1 in self.tags", [(1, 3, "found no matching overload for '@in' applied to '(int, list(string))'")]),
    ("[1, 'a']", [(1, 5, "expected type 'int' but found 'string'")]),
    ("['a', dyn(1)]", [(1, 10, "expected type 'string' but found 'dyn'")]),
    ("{'a': 1, 'b': 'c'}", [(1, 15, "expected type 'int' but found 'string'")]),
    ("{'a': 1, 2: 3}", [(1, 10, "expected type 'string' but found 'int'")]),
    ("self.n.all(i, true)", [(1, 5, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)")]),
    ("self.tags.all(t, t)", [(1, 14, "found no matching overload for '_&&_' applied to '(bool, string)'")]),
    ("self.tags.filter(t, 1)", [(1, 17, "found no matching overload for '_?_:_' applied to '(int, list(string), list(string))'")]),
    ("duration('1 hour')", [(1, 10, "invalid duration argument")]),
    ("timestamp('now')", [(1, 11, "invalid timestamp argument")]),
    ("s.matches('(')", [(1, 11, "invalid matches argument")]),
    ("'%d'.format(['a'])", [(1, 14, "error during formatting: decimal clause can only be used on integers, was given string")]),
    ("'%s'.format([])", [(1, 12, "index 0 out of range")]),
    ("'%s'.format([1, 2])", [(1, 12, "too many arguments supplied to string.format (expected 1, got 2)")]),
    ("'%q'.format([1])", [(1, 12, 'could not parse formatting clause: unrecognized formatting clause "q"')]),
    ("'%'.format([1])", [(1, 11, "could not parse formatting clause: unexpected end of string")]),
    ("Nope{a: 1}", [(1, 5, "undeclared reference to 'Nope' (in container '')")]),
    ("true &&\n  self.n", [(1, 6, "found no matching overload for '_&&_' applied to '(bool, int)'")]),
    ("true &&\n  nope", [(2, 3, "undeclared reference to 'nope' (in container '')")]),
    ("ns.all(1, true)", [(1, 8, "argument must be a simple name")]),
    ("ns.all(i, i, true)", [(1, 11, "duplicate variable name: i")]),
    ("has(1)", [(1, 4, "invalid argument to has() macro")]),
    ("package", [(1, 1, "reserved identifier: package")]),
    ("99999999999999999999", [(1, 1, "invalid int literal")]),
    ("1 +", [(1, 4, "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, "
                       "NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}")]),
    ("'abc", [(1, 1, "Syntax error: token recognition error at: ''abc'")]),
    ("1 # 2", [(1, 3, "Syntax error: token recognition error at: '#'")]),
]


@pytest.mark.parametrize(("expression", "reports"), MESSAGES)
def test_messages(expression: str, reports: list[tuple[int, int, str]]) -> None:
    with pytest.raises(CompilationError) as caught:
        TYPED.compile(expression)
    lines = expression.split("\n")
    assert str(caught.value) == "\n".join(
        f"ERROR: <input>:{line}:{column}: {message}\n | {lines[line - 1]}\n | {'.' * (column - 1)}^" for line, column, message in reports)


def test_wide_characters_are_marked_with_wide_dots() -> None:
    with pytest.raises(CompilationError) as caught:
        ENVIRONMENT.compile("'é' == 1")
    assert str(caught.value).endswith(" | 'é' == 1\n | .．..^")


@pytest.mark.parametrize(("expression", "type_"), [
    ("1", "int"), ("[]", "list(dyn)"), ("[1]", "list(int)"), ("{'a': [1]}", "map(string, list(int))"), ("self.any", "dyn"),
    ("self.any ? 1 : 2", "int"), ("flag ? dyn(1) : 2", "dyn"), ("[self.any]", "list(dyn)"), ("optional.of(1)", "optional_type(int)"),
    ("self.?s", "optional_type(string)"), ("ns.map(i, string(i))", "list(string)"), ("m.transformMap(k, v, [v])", "map(string, list(int))"),
    ("type(1)", "type(int)"), ("null", "null_type"), ("duration('1s')", "google.protobuf.Duration"), ("words.first().orValue('')", "string"),
    ("self", "Thing"), ("[[1], []]", "list(list(int))"), ("x.y.z[0]", "dyn"), ("ns.sortBy(i, -i)", "list(int)")])
def test_types(expression: str, type_: str) -> None:
    assert str(TYPED.compile(expression).type) == type_


def test_a_variable_may_have_a_dotted_name() -> None:
    environment = Environment({"a": STRING, "a.b": INT})
    assert str(environment.compile("a.b").type) == "int"
    assert environment.compile("a.b").variables == ("a.b",)


def test_at_most_a_hundred_reports() -> None:
    with pytest.raises(CompilationError) as caught:
        ENVIRONMENT.compile("[" + ", ".join(["nope"] * 120) + "]")
    assert str(caught.value).endswith("\n20 more errors were truncated")
