"""Selectors: text in, matching and text out, exact errors."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.selectors import (
    NOTHING,
    SelectorError,
    from_label_map,
    from_label_selector,
    parse_field_selector,
    parse_label_selector,
    validate_label_selector,
)


@pytest.mark.parametrize("text, labels, matches", [
    ("app=x", {"app": "x"}, True), ("app==x", {"app": "y"}, False), ("app!=x", {}, True), ("app!=x", {"app": "x"}, False),
    ("app", {"app": ""}, True), ("!app", {"app": ""}, False), ("app in (x, y)", {"app": "y"}, True), ("app notin (x)", {}, True),
    ("tier>1", {"tier": "2"}, True), ("tier>1", {"tier": "x"}, False), ("tier<10", {"tier": "9"}, True), ("", {"a": "b"}, True),
    ("a in ()", {"a": ""}, True), ("a in (1,2,)", {"a": ""}, True), (" a = b , c = d ", {"a": "b", "c": "d"}, True), ("a=,b=y", {"a": "", "b": "y"}, True),
])
def test_label_selectors(text, labels, matches):
    assert parse_label_selector(text).matches(labels) is matches


@pytest.mark.parametrize("text, message", [
    ("=x", "found '=', expected: !, identifier, or 'end of string'"),
    (",", "found ',', expected: !, identifier, or 'end of string'"),
    ("a===b", "unable to parse requirement: found '=', expected: identifier"),
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("a=b,", "found '', expected: identifier after ','"),
    ("a in b", "unable to parse requirement: found 'b' expected: '('"),
    ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
    ("!a=b", "found '=', expected: ',' or 'end of string'"),
    ("a>b", "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"),
])
def test_label_selectors_that_cannot_be_parsed(text, message):
    with pytest.raises(SelectorError) as error:
        parse_label_selector(text)
    assert str(error.value) == message


def test_the_key_and_the_values_are_checked():
    with pytest.raises(SelectorError, match=r"unable to parse requirement: <nil>: Invalid value: \"\$\": name part must consist of"):
        parse_label_selector("$=a")
    with pytest.raises(SelectorError, match=r"unable to parse requirement: values\[0\]\[a\]: Invalid value: \"-b-\": a valid label must be"):
        parse_label_selector("a notin (-b-)")


@pytest.mark.parametrize("text", ["a=b", "a==b", "a!=b", "a", "!a", "a in (b,c)", "a notin (b,c)", "a>1", "a<1", "a=b,c in (d)"])
def test_text_of_a_selector(text):
    assert str(parse_label_selector(text)) == text


def test_objects():
    selector = from_label_selector({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["e", "d"]}]})
    assert str(selector) == "a=b,c in (d,e)"
    assert selector.matches({"a": "b", "c": "d"}) and not selector.matches({"a": "b"})
    assert from_label_selector(None) == NOTHING and not NOTHING.matches({})
    assert from_label_selector({}).is_everything
    assert str(from_label_map({"x": "y", "a": "b"})) == "a=b,x=y"
    with pytest.raises(SelectorError, match='"Like" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Like"}]})


def test_validation_of_objects():
    found = validate_label_selector({
        "matchLabels": {"a b": "c"}, "matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]},
                                                          {"key": "a", "operator": "Like"}]}, "s")
    assert [e.field for e in found] == ["s.matchLabels", "s.matchExpressions[0].values", "s.matchExpressions[1].values", "s.matchExpressions[2].operator"]


def test_field_selectors():
    assert parse_field_selector("metadata.name=a,b!=c,d==e\\,f") == [("b", "!=", "c"), ("d", "=", "e,f"), ("metadata.name", "=", "a")]
    assert parse_field_selector("") == []
    with pytest.raises(SelectorError, match="invalid selector: 'a,b=c'; can't understand 'a'"):
        parse_field_selector("a,b=c")
    with pytest.raises(SelectorError, match="invalid escape sequence"):
        parse_field_selector("a=\\x")
    with pytest.raises(SelectorError, match="unescaped character in value: 61"):
        parse_field_selector("a=b=c")


@given(st.text(alphabet="ab=!(),<> in\\", max_size=20))
def test_any_text_is_a_selector_or_refused(text):
    for parse in (parse_label_selector, parse_field_selector):
        try:
            parse(text)
        except SelectorError as error:
            assert str(error)
