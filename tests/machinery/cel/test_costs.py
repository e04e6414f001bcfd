"""Costs, estimated and counted. The numbers are Kubernetes': for these schemas and values its own engine gives the same."""
from __future__ import annotations

from typing import Any

import pytest

from tests.machinery.cel.support import cost
from tiffin.machinery.cel import Budget, CostExceeded, Environment, schema_type
from tiffin.machinery.cel.estimate import PER_EXPRESSION, UNBOUNDED
from tiffin.machinery.cel.types import DYN, INT, STRING, list_of

Schema = dict[str, Any]
NUMBER, TEXT, INTEGER, BOOLEAN = ({"type": kind} for kind in ("number", "string", "integer", "boolean"))
DURATION, DATE, TIME = ({"type": "string", "format": form} for form in ("duration", "date", "date-time"))


def array(items: Schema, **limits: Any) -> Schema:
    return {"type": "array", "items": items, **limits}


def mapping(values: Schema, **limits: Any) -> Schema:
    return {"type": "object", "additionalProperties": values, **limits}


def obj(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def text(limit: int) -> Schema:
    return {"type": "string", "maxLength": limit}


INT_OR_TEXT = {"x-kubernetes-int-or-string": True}
ESTIMATES = [
    (INT_OR_TEXT, "type(self) == int", 314576), (obj(port=INT_OR_TEXT), "type(self.port) == int ? self.port > 0 : self.port.endsWith('%')", 7),
    (array(NUMBER), "self.all(x, true)", 4718591), (array(NUMBER, maxItems=10), "self.all(x, true)", 32),
    (array(TEXT), "self.all(x, true)", 3145727), (array(BOOLEAN), "self.all(x, true)", 1887437), (array(array(NUMBER)), "self.all(x, true)", 3145727),
    (mapping(NUMBER), "self.all(x, true)", 1348169), (mapping(TEXT, maxProperties=3), "self.all(x, true)", 11),
    (array(DURATION), "self.all(x, true)", 2359295), (array(DATE), "self.all(x, true)", 725936), (mapping(TIME), "self.all(x, true)", 349526),
    (TEXT, "self.contains('test')", 314574), (text(10), "self.contains('test')", 5), (TEXT, "self.startsWith('test')", 2),
    (TEXT, 'size(self + "hello") > size("hello")', 314578), (TEXT, 'self.matches("x")', 314574), (text(50), 'self.matches("x")', 22),
    (array(TEXT), "self[1] == self[1]", 314577), (array(NUMBER, maxItems=10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
    (text(0), 'self == "x"', 1), (array(array(NUMBER)), "self[0][0] == -1.0", 3), (array(mapping(NUMBER)), "self.all(x, x.y == 25.2)", 6291452),
    (mapping(TEXT), "self.all(x, x.contains(self[x]))", 2752507), (TEXT, "self.find('[0-9]+') == ''", 629147),
    (array(TEXT), "self.join(' ') == 'aa bb'", 329853068905), (array(text(10), maxItems=10), "self.join(' ') == 'aa bb'", 43),
    (array(text(10), maxItems=10), "self.isSorted() == true", 52), (TEXT | {"enum": ["A", "LongValue"]}, "self.contains('A')", 2),
    (obj(str=TEXT, before=text(2), after=text(4)), "self.str.replace(self.before, self.after) == 'does not matter'", 629154),
    (obj(str=text(10), separator=text(10)), "self.str.split(self.separator) == []", 22), (TEXT, "self.lowerAscii() == 'lower!'", 314575),
    (mapping(TIME), 'self["a"] == self["b"]', 8), (mapping(INTEGER), "oldSelf.size() == self.size()", 5),
]


@pytest.mark.parametrize(("schema", "rule", "expected"), ESTIMATES)
def test_estimates(schema: Schema, rule: str, expected: int) -> None:
    type_ = schema_type(schema)
    assert type_ is not None
    environment = Environment({"self": type_, "oldSelf": type_})
    assert environment.estimate(environment.compile(rule)).most == expected


def test_what_nothing_bounds() -> None:
    environment = Environment({"x": DYN, "words": list_of(STRING)})
    assert environment.estimate(environment.compile("x.all(a, words.all(b, b.contains(x)))")).most == UNBOUNDED > PER_EXPRESSION


ITEMS = {"items": [{"k": "a1", "v": "b1"}, {"k": "a2", "v": "b2"}, {"k": "a3", "v": "b3", "w": "z"}], "ns": [1, 1, 2, 2, 3, 3, 4, 5], "m": {"b": 1, "d": 2},
         "s": "Rook takes 👑", "q": "25%", "o": {"f": "a"}}
ITEMS_TYPE = schema_type(obj(items=array(obj(k=TEXT, v=TEXT, w=TEXT)), ns=array(INTEGER), m=mapping(INTEGER), s=TEXT, q={"x-kubernetes-int-or-string": True},
                             o=obj(f=TEXT, g=TEXT)))

COUNTED = [
    ("self.items.all(m, m.k.startsWith('a'))", 21), ("self.items.exists(m, m.k.endsWith('1'))", 13), ("self.items.exists_one(m, m.k == 'a3')", 15),
    ("!self.items.all(m, m.k.endsWith('1'))", 18), ("!self.items.exists(m, m.v == 'x')", 25), ("size(self.items.filter(m, m.k == 'a1')) == 1", 27),
    ("self.items.map(m, m.v).exists(v, v == 'b1')", 55), ("self.items.exists(m, has(m.w) && m.w == 'z')", 21),
    ("!self.items.all(m, has(m.w) && m.w != 'z')", 10), ("self.items.exists(m, m.w == 'z')", 24), ("!self.items.all(m, m.w != 'z')", 22),
    ("self.items.map(m, has(m.w) && m.w == 'z', m.w).size() == 1", 25), ("2 in self.ns", 10), ("self.ns.all(e, e > 0)", 43),
    ("self.ns.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 194), ("self.m.all(k, self.m[k] > 0)", 17), ("'b' in self.m", 3),
    ("self.s.matches('^[^0-9]*$')", 8), ("self.s.replace(' ', 'x') == 'Rookxtakesx👑'", 7), ("self.s.split(' ') == ['Rook', 'takes', '👑']", 6),
    ("self.s.substring(4, 10).trim() == 'takes'", 6), ("type(self.q) == string && self.q == '25%'", 7), ("self.q in ['25%', '50%'] || true", 2),
    ("type(self.q) == int ? self.q == 1 : self.q == '25%'", 7), ("double(5) < 10.0", 1), ("timestamp('2011-08-18T00:00:00Z') < timestamp(0) || true", 1),
    ("optional.of('a').or(optional.of('a')).hasValue()", 2), ("optional.none().or(optional.of('a')).hasValue()", 3),
    ("optional.of('a').optMap(v, v == 'value').hasValue()", 8), ("self.o.?f == optional.of('a')", 5), ("self.o.?g == optional.none()", 4),
    ("self.o.?f.orValue('v') == 'a'", 4), ("has(self.o.f) && self.o.f == 'a'", 6),
]


@pytest.mark.parametrize(("rule", "expected"), COUNTED)
def test_counted(rule: str, expected: int) -> None:
    assert ITEMS_TYPE is not None
    assert cost(rule, {"self": ITEMS}, Environment({"self": ITEMS_TYPE})) == expected


def test_one_call_may_cost_a_million() -> None:
    environment = Environment({"l": list_of(INT)})
    budget = Budget()
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        environment.compile("l.all(a, l.all(b, l.all(c, true)))").evaluate({"l": list(range(100))}, budget)
    assert 8_990_000 <= budget.remaining <= 9_000_000


def test_a_budget_can_be_overdrawn_by_its_last_call() -> None:
    environment, budget = Environment({"l": list_of(INT)}), Budget(10)
    assert environment.compile("l.all(a, true)").evaluate({"l": list(range(100))}, budget) is True
    assert budget.exhausted
