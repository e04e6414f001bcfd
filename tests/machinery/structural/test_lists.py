"""Lists that are sets or maps: what stands twice in them."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.field import FieldError
from tiffin.machinery.structural.lists import list_check

SET = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
MAP = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"]}


@pytest.mark.parametrize(("schema", "value", "found"), [
    (SET, ["a", "b"], []), (SET, ["a", "a", "a", "b", "b"], ['l[1]: Duplicate value: "a"', 'l[4]: Duplicate value: "b"']), (SET, [1, 1.0, True], []),
    (SET, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['l[1]: Duplicate value: {"a":1,"b":2}']),
    (MAP, [{"k": "a"}, {"k": "a", "p": 1}], []), (MAP, [{"k": "a", "v": 1}, {"k": "a"}], ['l[1]: Duplicate value: {"k":"a"}']),
    (MAP, [None, {"v": 1}], ["l[1]: Duplicate value: {}"]),
    (MAP, [{"k": "a"}, 3, "x", {"k": "a"}], ["l[1]: Invalid value: 3: must be an object for an array of list-type map"]),
])
def test_what_stands_twice(schema: dict[str, Any], value: list[Any], found: list[str]) -> None:
    check = list_check({"type": "object", "properties": {"l": schema}})
    errors: list[FieldError] = []
    assert check is not None
    check({"l": value}, "", errors)
    assert [str(error) for error in errors] == found
