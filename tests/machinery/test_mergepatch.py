"""JSON merge patch."""
from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.mergepatch import apply_merge_patch, create_merge_patch
from tiffin.machinery.patch import Fault, PatchError


@pytest.mark.parametrize(("obj", "patch", "result"), [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": {"b": "c", "d": "e"}}, {"a": {"b": None, "x": {"y": None, "z": 1}}}, {"a": {"d": "e", "x": {"z": 1}}}),
    ({"a": [1]}, {"a": [{"x": None}, None]}, {"a": [{}, None]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"none": None}, {}),
])
def test_rfc_7396(obj: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    assert apply_merge_patch(obj, patch) == result
    assert obj == before


@pytest.mark.parametrize("patch", [[], None, "text", 5, True])
def test_only_objects_are_patches(patch: Any) -> None:
    with pytest.raises(PatchError) as caught:
        apply_merge_patch({}, patch)
    assert caught.value.fault is Fault.MALFORMED


def test_what_is_unchanged_is_shared() -> None:
    obj = {"a": {"b": 1}, "c": {"d": 2}}
    assert apply_merge_patch(obj, {"a": {"b": 3}})["c"] is obj["c"]


_values = st.recursive(st.booleans() | st.integers(-2, 2) | st.text("ab", max_size=2),
                       lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
_objects = st.dictionaries(st.sampled_from("abcd"), _values, max_size=4)


@given(_objects, _objects)
def test_a_created_patch_leads_there(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert apply_merge_patch(before, create_merge_patch(before, after)) == after


@given(_objects, _objects)
def test_applying_twice_changes_nothing_more(obj: dict[str, Any], patch: dict[str, Any]) -> None:
    once = apply_merge_patch(obj, patch)
    assert apply_merge_patch(once, patch) == once
