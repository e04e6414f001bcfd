"""Documents that are no objects: what they count as, and Go's words for them."""
from __future__ import annotations

import pytest

from tiffin.machinery.jsoncodec import TYPE_META, DecodeError, parse_json


def test_null_is_an_object_without_fields() -> None:
    assert parse_json(b" null\n") == ({}, [])


@pytest.mark.parametrize(("body", "kind"), [(b"[]", "array"), (b'"x"', "string"), (b"true", "bool"), (b"5", "number"), (b'"\xff"', "string")])
def test_another_value_is_none_of_the_type(body: bytes, kind: str) -> None:
    with pytest.raises(DecodeError) as told:
        parse_json(body)
    assert str(told.value) == f"json: cannot unmarshal {kind} into Go value of type {TYPE_META}"


def test_the_type_is_the_readers() -> None:
    with pytest.raises(DecodeError, match="array into Go value of type map"):
        parse_json(b"[]", into="map[string]interface {}")
