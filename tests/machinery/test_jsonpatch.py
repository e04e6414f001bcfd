"""JSON patch, with the habits of the library Kubernetes uses, and its bounds."""
from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.jsonpatch import apply_json_patch
from tiffin.machinery.patch import Fault, PatchError


def op(kind: str, path: str, value: Any = ..., source: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"op": kind, "path": path}
    if value is not ...:
        made["value"] = value
    if source is not None:
        made["from"] = source
    return made


@pytest.mark.parametrize(("obj", "patch", "result"), [
    ({"a": 1}, [op("add", "/b", 2)], {"a": 1, "b": 2}),
    ({"a": 1}, [op("replace", "/none", 2)], {"a": 1, "none": 2}),
    ({"a": 1}, [op("remove", "/a")], {}),
    ({"a": [1, 2]}, [op("add", "/a/1", 5), op("add", "/a/-", 6), op("remove", "/a/0")], {"a": [5, 2, 6]}),
    ({"a": [1, 2]}, [op("replace", "/a/-1", 5)], {"a": [1, 5]}),
    ({"a": {"x": 1}}, [op("copy", "/b", source="/a"), op("add", "/b/y", 2)], {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
    ({"a": {}}, [op("copy", "/b", source="/a/none")], {"a": {}, "b": None}),
    ({"a": 1}, [op("move", "/b", source="/a")], {"b": 1}),
    ({"a": {"x/y": 1, "m~n": 2}}, [op("replace", "/a/x~1y", 3), op("replace", "/a/m~0n", 4)], {"a": {"x/y": 3, "m~n": 4}}),
    ({"a": {"b": [1]}}, [op("test", "/a", {"b": [1]}), op("test", "/none", None)], {"a": {"b": [1]}}),
    ({"a": 1}, [], {"a": 1}),
    ({"a": 1}, [op("add", "/b")], {"a": 1, "b": None}),
])
def test_operations(obj: dict[str, Any], patch: list[Any], result: dict[str, Any]) -> None:
    before, patch_before = copy.deepcopy(obj), copy.deepcopy(patch)
    assert apply_json_patch(obj, patch) == result
    assert (obj, patch) == (before, patch_before)


@pytest.mark.parametrize("operation", [
    op("test", "/a/x", 2), op("test", "/a/x", True), op("test", "/none", 1), op("remove", "/none"), op("add", "/none/x", 1),
    op("move", "/b", source="/none"), op("add", "/l/7", 1), op("remove", "/l/7"), op("add", "/l/x", 1), op("replace", "/l/1", 1),
    op("add", "", {}), op("add", "/a/x/y", 1), op("frob", "/a"), {"op": "add"}, {"op": "add", "path": 5}, op("copy", "/b"),
    op("remove", "/l/-2"), op("remove", "/l/9999999999999999999999"),
])
def test_what_does_not_fit(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as caught:
        apply_json_patch({"a": {"x": 1}, "l": ["only"]}, [operation])
    assert caught.value.fault is Fault.INAPPLICABLE


@pytest.mark.parametrize("patch", [{}, "x", [5]])
def test_what_is_no_patch(patch: Any) -> None:
    with pytest.raises(PatchError) as caught:
        apply_json_patch({}, patch)
    assert caught.value.fault is Fault.MALFORMED


def test_too_many_operations() -> None:
    with pytest.raises(PatchError) as caught:
        apply_json_patch({}, [op("add", "/a", 1)] * 10_001)
    assert (caught.value.fault, str(caught.value)) == (Fault.TOO_LARGE, "The allowed maximum operations in a JSON patch is 10000, got 10001")


def test_a_patch_that_doubles_itself_is_refused() -> None:
    """CVE-2019-1002100: thirty copies of everything into itself would make a gigabyte."""
    with pytest.raises(PatchError, match="accumulated size"):
        apply_json_patch({"a": ["x" * 1000]}, [op("copy", "/a/-", source="/a")] * 30)


def test_a_patch_that_digs_for_ever_is_refused() -> None:
    with pytest.raises(PatchError, match="depth"):
        apply_json_patch({"a": {}}, [op("add", "/a" * n, {}) for n in range(1, 300)])


def test_copies_are_apart() -> None:
    patch = [op("add", "/a", {"x": []}), op("copy", "/b", source="/a"), op("add", "/a/x/-", 1), op("add", "/b/x/-", 2)]
    assert apply_json_patch({}, patch) == {"a": {"x": [1]}, "b": {"x": [2]}}
    assert patch[0]["value"] == {"x": []}


_steps = st.sampled_from(["a", "b", "0", "1", "-"])
_paths = st.lists(_steps, min_size=1, max_size=3).map(lambda steps: "/" + "/".join(steps))
_values = st.recursive(st.integers(0, 2), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2), max_leaves=4)
_operations = st.builds(lambda kind, path, value, source: op(kind, path, value, source),
                        st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), _paths, _values, _paths)


@given(st.dictionaries(st.sampled_from("ab"), _values, max_size=2), st.lists(_operations, max_size=4))
def test_inputs_are_never_changed(obj: dict[str, Any], patch: list[Any]) -> None:
    before = copy.deepcopy((obj, patch))
    try:
        apply_json_patch(obj, patch)
    except PatchError:
        pass
    assert (obj, patch) == before
