"""Sets of fields in their stored form."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.fieldset import LEAF, FieldSet, checked, difference, has, intersection, leaf_set, paths, union, without

_nodes = st.recursive(st.just({}), lambda inner: st.dictionaries(st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}', 'v:"y"']), inner, min_size=1, max_size=3).flatmap(
    lambda node: st.sampled_from([node, {".": {}} | node])), max_leaves=8)
_sets = st.dictionaries(st.sampled_from(["f:a", "f:b", "f:c"]), _nodes, max_size=3)


def members(a: FieldSet) -> set[str]:
    return set(paths(a))


@given(_sets, _sets)
def test_they_are_sets(a: FieldSet, b: FieldSet) -> None:
    assert members(union(a, b)) == members(a) | members(b)
    assert members(difference(a, b)) == members(a) - members(b)
    assert members(intersection(a, b)) == members(a) & members(b)


@given(_sets, _sets)
def test_no_branch_ends_in_nothing(a: FieldSet, b: FieldSet) -> None:
    for result in (difference(a, b), intersection(a, b), union(a, b)):
        assert result == union(result, {})
        assert all(node == {} or members({"f:x": node}) for node in result.values())


@given(_sets)
def test_nothing_taken_is_the_same_object(a: FieldSet) -> None:
    assert difference(a, {}) is a
    assert difference(a, a) == {}
    assert checked(a) == a
    assert LEAF == {}


def test_paths_name_members_before_what_is_below() -> None:
    fields = {"f:spec": {"f:free": {"f:a": {"f:b": {}}}, "f:keyed": {'k:{"id":"x","n":1}': {".": {}, "f:v": {}}}, "f:plain": {}, "f:set": {'v:"a"': {}}}}
    assert list(paths(fields)) == [".spec.plain", ".spec.free.a.b", '.spec.keyed[id="x",n=1]', '.spec.keyed[id="x",n=1].v', '.spec.set[="a"]']


def test_subtrees_can_be_left_out() -> None:
    fields = {"f:spec": {"f:a": {}, "f:b": {".": {}, "f:c": {}}}, "f:status": {"f:x": {}}}
    assert without(fields, ("status",)) == {"f:spec": fields["f:spec"]}
    assert without(fields, ("spec", "b")) == {"f:spec": {"f:a": {}}, "f:status": {"f:x": {}}}
    assert without(leaf_set(("spec", "b")), ("spec", "b")) == {}
    assert without(fields, ("none", "b")) is fields
    assert has(fields, ("spec", "b")) and not has(fields, ("spec",)) and not has(fields, ("spec", "z"))


@pytest.mark.parametrize("sent", [[], {"f:a": []}, {"a": {}}, {"k:x": {}}, {"k:5": {}}, {"z:a": {}}, {"i:x": {}}, {"f:a": {"..": {}}}])
def test_what_is_no_set(sent: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked(sent)


def test_keys_become_canonical() -> None:
    assert checked({'k:{"protocol":"TCP", "port":80}': {}}) == {'k:{"port":80,"protocol":"TCP"}': {}}
