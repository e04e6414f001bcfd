"""Types from schemas, and how values look through them."""
from __future__ import annotations

from typing import Any

import pytest

from tests.machinery.cel.support import run
from tiffin.machinery.cel import CompilationError, Environment, EvaluationError, json_of, schema_type
from tiffin.machinery.cel.schematypes import escape, max_cardinality
from tiffin.machinery.cel.types import DYN, Field, Fields, Type
from tiffin.machinery.cel.values import Lazy

TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
SCHEMA: dict[str, Any] = {"type": "object", "required": ["n"], "properties": {
    "n": INTEGER, "d": {"type": "number"}, "time": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
    "span": {"type": "string", "format": "duration"}, "raw": {"type": "string", "format": "byte"}, "q": {"x-kubernetes-int-or-string": True},
    "a-b": TEXT, "a.b": TEXT, "a/b": TEXT, "a__b": TEXT, "if": TEXT, "!": TEXT, "nothing": {"type": "string", "nullable": True},
    "set": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"}, "unknown": {"x-kubernetes-preserve-unknown-fields": True},
    "map": {"type": "array", "items": {"type": "object", "properties": {"k": TEXT, "v": INTEGER}}, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
    "times": {"type": "array", "items": {"type": "string", "format": "date-time"}}, "spans": {"type": "object", "additionalProperties": {"type": "string", "format": "duration"}},
    "embedded": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    "nested": {"type": "object", "properties": {"time": {"type": "string", "format": "date-time"}}}}}
OBJECT: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x", "labels": {"a": "b"}}, "n": 1, "d": 2, "time": "2020-01-01T00:00:00Z", "day": "2020-02-03",
    "span": "1h", "raw": "aGk=", "q": "5%", "a-b": "1", "a.b": "2", "a/b": "3", "a__b": "4", "if": "5", "nothing": None, "set": ["a", "b"],
    "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "times": ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000Z"], "spans": {"x": "60s"},
    "embedded": {"kind": "Pod", "metadata": {"name": "p"}, "spec": {}}, "nested": {"time": "2021-01-01T00:00:00Z"}}
TYPE = schema_type(SCHEMA, root=True)
assert TYPE is not None
ENVIRONMENT = Environment({"self": TYPE, "oldSelf": TYPE})

TRUE = r"""
self.n == 1 && self.d == 2.0 && self.d / 4.0 == 0.5
self.time < timestamp('2020-01-01T00:00:01Z') && self.day.getDate() == 3 && self.span == duration('60m') && self.raw == b'hi'
type(self.q) == string && self.q == '5%' && self.q != 5
self.a__dash__b + self.a__dot__b + self.a__slash__b + self.a__underscores__b + self.__if__ == '12345'
self.metadata.name == 'x' && self.kind == 'Thing' && self.apiVersion == 'v1' && !has(self.metadata.generateName)
!has(self.nothing) && has(self.n) && has(self.a__dash__b) 
self.set == ['b', 'a'] && ['b', 'a'] == self.set && self.set != ['a'] && self.set + ['b', 'c'] == ['c', 'a', 'b']
dyn(self.map) == [{'k': dyn('b'), 'v': dyn(2)}, {'k': dyn('a'), 'v': dyn(1)}]
(self.map + self.map.filter(e, e.k == 'a')).size() == 2
self.times[0] == self.times[1] && self.times.all(t, t.getFullYear() == 2020)
self.spans['x'] == duration('1m') && self.spans.x.getSeconds() == 60 && self.spans.all(k, v, v > duration('1s'))
self.embedded.kind == 'Pod' && self.embedded.metadata.name == 'p'
dyn(self).a__dash__b == '1' && dyn(self).time == self.time && dyn(self.nested).time.getFullYear() == 2021
self == oldSelf && self.nested == oldSelf.nested && self.embedded == oldSelf.embedded
self.?nothing.orValue('none') == 'none' && self.?n.orValue(0) == 1 && self.?nested.?time.hasValue()
type(self) == type(oldSelf)
"""


@pytest.mark.parametrize("rule", TRUE.strip().splitlines())
def test_values(rule: str) -> None:
    assert run(rule, {"self": OBJECT, "oldSelf": dict(OBJECT, nested=dict(OBJECT["nested"]))}, ENVIRONMENT) is True


@pytest.mark.parametrize("field", ["unknown", "spec", "metadata.labels", "embedded.spec", "nested.other"])
def test_what_the_schema_does_not_describe_cannot_be_seen(field: str) -> None:
    with pytest.raises(CompilationError, match=f"undefined field '{field.rpartition('.')[2]}'"):
        ENVIRONMENT.compile(f"has(self.{field})")


def test_differences_deep_inside_are_seen() -> None:
    other = OBJECT | {"embedded": {"kind": "Pod", "metadata": {"name": "p"}, "spec": {"more": 1}}}
    assert run("self != oldSelf && self.embedded != oldSelf.embedded", {"self": OBJECT, "oldSelf": other}, ENVIRONMENT) is True


@pytest.mark.parametrize(("rule", "message"), [
    ("self.nothing == 'a'", "no such key: nothing"), ("self.metadata.generateName == ''", "no such key: generateName"), ("self.times[2] == self.time", "index out of bounds: 2")])
def test_absent(rule: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        run(rule, {"self": OBJECT}, ENVIRONMENT)


@pytest.mark.parametrize(("schema_", "expected"), [
    ({"type": "object"}, None), ({"type": "array"}, None), ({"type": "array", "items": {}}, None), ({}, None), ({"type": "null"}, None),
    ({"type": "object", "additionalProperties": {}}, None)])
def test_schemas_without_a_type(schema_: dict[str, Any], expected: None) -> None:
    found = schema_type(schema_)
    assert (found is None) if schema_ != {"type": "object"} else str(found) == "selfType"


@pytest.mark.parametrize(("name", "escaped"), [("ok", "ok"), ("a-b.c/d", "a__dash__b__dot__c__slash__d"), ("__", "__underscores__"), ("in", "__in__"),
                                               ("namespace", "__namespace__"), ("1a", None), ("a b", None), ("", None), ("ä", None)])
def test_escape(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped


def test_cardinality() -> None:
    assert TYPE is not None and max_cardinality(TYPE) == 3 * 1024 * 1024 // (2 + len("n") + 1 + 4 + 1)


def test_null_is_absent_in_objects_and_a_value_in_maps() -> None:
    type_ = schema_type({"type": "object", "properties": {"a": TEXT, "m": {"type": "object", "additionalProperties": TEXT}}})
    assert type_ is not None and type_.adapt is None
    environment = Environment({"self": type_})
    rule = "!has(self.a) && !self.?a.hasValue() && has(self.m.k) && 'k' in self.m && type(self.m.k) == null_type"
    assert run(rule, {"self": {"a": None, "m": {"k": None}}}, environment) is True


def test_lazy_fields_are_computed_once_and_only_when_asked_for() -> None:
    asked: list[str] = []

    def compute(name: str) -> Any:
        asked.append(name)
        if name == "bad":
            raise EvaluationError("no such key: q")
        return 5

    type_ = Type("struct", "kubernetes.variables", fields=Fields({name: Field(DYN, name) for name in ("a", "b", "bad")}))
    lazy = Lazy(type_, {name: lambda name=name: compute(name) for name in ("a", "b", "bad")})
    environment = Environment({"variables": type_})
    assert run("variables.a + variables.a == 10 && has(variables.b) && (variables.bad || true)", {"variables": lazy}, environment) is True
    with pytest.raises(EvaluationError, match="no such key: q"):
        run("variables.bad", {"variables": lazy}, environment)
    assert asked == ["a", "bad"]


def test_json_of() -> None:
    values = {"self": OBJECT}
    made = run("[dyn(self.time), dyn(self.span), dyn(self.raw), dyn(1u), dyn(self.nested), dyn(optional.none()), dyn({1: true})]", values, ENVIRONMENT)
    assert json_of(made) == ["2020-01-01T00:00:00Z", "3600s", "aGk=", 1, {"time": "2021-01-01T00:00:00Z"}, None, {"1": True}]
    with pytest.raises(EvaluationError):
        json_of(run("type(1)", values, ENVIRONMENT))
