"""Values through their types: owned fields, differences, merges, removals, violations."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.fieldset import paths
from tiffin.machinery.schema import Field, List, Map, Raw, Scalar, Struct, definition
from tiffin.machinery.typed import TypedError, compare, field_set, merge, remove, validate

TEXT, NUMBER = Scalar("string"), Scalar("int64")
ITEM = Struct("x.Item", {"id": Field(TEXT), "v": Field(NUMBER)})
THING = Struct("x.Thing", {
    "plain": Field(List(TEXT)), "set": Field(List(TEXT, "set")), "keyed": Field(List(ITEM, "map", ("id",))), "map": Field(Map(TEXT)),
    "atomic": Field(Map(TEXT, atomic=True)), "free": Field(Raw()), "n": Field(NUMBER), "deep": Field(Struct("x.Deep", {"a": Field(TEXT), "b": Field(TEXT)})),
})
SERVICE = definition("io.k8s.api.core.v1.Service")


def test_field_set_of_every_kind() -> None:
    value = {"plain": ["a"], "set": ["a", "b"], "keyed": [{"id": "x", "v": 1}], "map": {"a": "b"}, "atomic": {"a": "b"}, "free": {"a": {"b": [1]}}, "n": None,
             "deep": {"a": "x"}}
    assert field_set(THING, value) == {
        "f:plain": {}, "f:set": {'v:"a"': {}, 'v:"b"': {}}, "f:keyed": {'k:{"id":"x"}': {".": {}, "f:id": {}, "f:v": {}}}, "f:map": {"f:a": {}},
        "f:atomic": {}, "f:free": {"f:a": {".": {}, "f:b": {}}}, "f:n": {}, "f:deep": {"f:a": {}}}


def test_field_set_of_nothing() -> None:
    assert field_set(THING, {"set": [], "keyed": None, "map": {}, "deep": None, "plain": []}) == {
        "f:keyed": {}, "f:map": {}, "f:deep": {}, "f:plain": {}}


def test_keys_have_defaults() -> None:
    assert field_set(SERVICE, {"spec": {"ports": [{"port": 80}]}}) == {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}}


@pytest.mark.parametrize(("old", "new", "changed", "removed"), [
    ({}, {"map": {"a": "b"}}, {"f:map": {".": {}, "f:a": {}}}, None),
    ({"map": {"a": "b"}}, {"map": {"a": "c"}}, {"f:map": {"f:a": {}}}, None),
    ({"map": {"a": "b"}}, {}, None, {"f:map": {".": {}, "f:a": {}}}),
    ({"keyed": None}, {"keyed": [{"id": "x"}]}, {"f:keyed": {'k:{"id":"x"}': {".": {}, "f:id": {}}}}, None),
    ({"keyed": [{"id": "x", "v": 1}]}, {"keyed": [{"id": "x"}, {"id": "y"}]},
     {"f:keyed": {'k:{"id":"y"}': {".": {}, "f:id": {}}}}, {"f:keyed": {'k:{"id":"x"}': {"f:v": {}}}}),
    ({"set": ["a", "b"]}, {"set": ["b", "c"]}, {"f:set": {'v:"c"': {}}}, {"f:set": {'v:"a"': {}}}),
    ({"set": ["a"]}, {"set": ["a", "a"]}, {"f:set": {'v:"a"': {}}}, None),
    ({"plain": ["a"]}, {"plain": ["b"]}, {"f:plain": {}}, None),
    ({"atomic": {"a": "b"}}, {"atomic": {}}, {"f:atomic": {}}, None),
    ({"map": None}, {"map": {}}, {"f:map": {}}, None),
    ({"free": {"a": 1}}, {"free": [1]}, {"f:free": {}}, None),
    ({"deep": {"a": "x"}}, {"deep": {"a": "x"}}, None, None),
])
def test_compare(old: Any, new: Any, changed: Any, removed: Any) -> None:
    assert compare(THING, old, new) == (changed, removed)


@pytest.mark.parametrize(("old", "new", "result"), [
    ([], ["x"], ["x"]), (["a", "b", "c"], ["c", "a"], ["b", "c", "a"]), (["a", "b"], ["b", "x"], ["a", "b", "x"]),
    (["a", "b", "c"], ["x", "b"], ["a", "x", "b", "c"]), (["a"], [], ["a"]), (["c", "d", "b"], ["c", "b"], ["c", "d", "b"]),
])
def test_order_of_merged_lists(old: list[str], new: list[str], result: list[str]) -> None:
    assert merge(THING, {"set": old}, {"set": new})["set"] == result
    merged = merge(THING, {"keyed": [{"id": i, "v": 1} for i in old]}, {"keyed": [{"id": i} for i in new]})["keyed"]
    assert [item["id"] for item in merged] == result
    assert all(item["v"] == 1 for item in merged if item["id"] in old)


def test_merge_of_the_rest() -> None:
    old = {"map": {"a": "1"}, "atomic": {"a": "1"}, "plain": ["a"], "n": 1, "free": {"x": {"y": 1}}}
    new = {"map": {"b": "2"}, "atomic": {"b": "2"}, "plain": ["b"], "n": None, "free": {"x": {"z": 2}}, "deep": {}}
    assert merge(THING, old, new) == {"map": {"a": "1", "b": "2"}, "atomic": {"b": "2"}, "plain": ["b"], "n": None, "free": {"x": {"y": 1, "z": 2}}, "deep": {}}
    assert merge(THING, old, {"map": None})["map"] == {"a": "1"}


def test_remove() -> None:
    value = {"map": {"a": "1", "b": "2"}, "keyed": [{"id": "x", "v": 1}, {"id": "y"}], "atomic": {"a": "b"}, "n": 1}
    assert remove(THING, value, {"f:map": {"f:a": {}}, "f:keyed": {'k:{"id":"x"}': {"f:v": {}}, 'k:{"id":"y"}': {".": {}, "f:id": {}}}, "f:n": {}}) == {
        "map": {"b": "2"}, "keyed": [{"id": "x"}], "atomic": {"a": "b"}}
    assert remove(THING, {"map": {"a": "1"}}, {"f:map": {"f:a": {}}}) == {"map": None}
    assert remove(THING, {"n": 1}, {"f:n": {}}) is None


@pytest.mark.parametrize(("value", "words"), [
    ({"foo": 1}, ".foo: field not declared in schema"),
    ({"deep": {"c": 1}}, ".deep.c: field not declared in schema"),
    ({"keyed": [{"v": 1}]}, '.keyed: element 0: associative list with keys has an element that omits all key fields ["id"] '
                            "(and doesn't have default values for any key fields)"),
    ({"keyed": [{"id": "x"}, {"id": "x"}]}, '.keyed: duplicate entries for key [id="x"]'),
    ({"keyed": [{"id": "x", "z": 1}]}, '.keyed[id="x"].z: field not declared in schema'),
    ({"map": {"a": 5}}, ".map.a: expected string, got &value.valueUnstructured{Value:5}"),
    ({"n": "x"}, ".n: expected numeric (int or float), got string"),
    ({"map": ["x"]}, '.map: expected map, got ["x"]'),
    ({"plain": {}}, ".plain: expected list, got {}"),
    ({"foo": 1, "bar": 2}, "errors:\n  .foo: field not declared in schema\n  .bar: field not declared in schema"),
])
def test_violations(value: Any, words: str) -> None:
    with pytest.raises(TypedError) as caught:
        validate(THING, value)
    assert str(caught.value) == words


_texts = st.sampled_from(["a", "b", "c"])
_things = st.fixed_dictionaries({}, optional={
    "set": st.lists(_texts, unique=True, max_size=3), "keyed": st.lists(_texts, unique=True, max_size=3).map(lambda ids: [{"id": i, "v": len(ids)} for i in ids]),
    "map": st.dictionaries(_texts, _texts, max_size=2), "plain": st.lists(_texts, max_size=2), "n": st.integers(0, 2), "deep": st.dictionaries(_texts, _texts, max_size=2),
    "free": st.dictionaries(_texts, st.integers() | st.dictionaries(_texts, _texts, max_size=2), max_size=2)})


@given(_things, _things)
def test_merging_again_changes_nothing(old: Any, new: Any) -> None:
    merged = merge(THING, old, new)
    assert merge(THING, merged, new) == merged


@given(_things, _things)
def test_what_is_applied_is_owned_by_the_result(old: Any, new: Any) -> None:
    changed, removed = compare(THING, old, merge(THING, old, new))
    assert removed is None
    owned = set(paths(field_set(THING, new)))
    assert all(path in owned or any(other.startswith(path) for other in owned) or new[path.split(".")[1].split("[")[0]] in ([], {}) for path in paths(changed or {}))


@given(_things)
def test_equal_values_do_not_differ(value: Any) -> None:
    assert compare(THING, value, dict(value)) == (None, None)
