"""Values as errors show them."""
from __future__ import annotations

import pytest

from tiffin.machinery import field as f


@pytest.mark.parametrize("value, text", [
    ("a", '"a"'), ('a"b\\c', r'"a\"b\\c"'), ("\x01\n\x7f", r'"\x01\n\x7f"'), ("é ☃", '"é ☃"'), ("\u200b", r'"\u200b"'), ("<&>", '"<&>"'),
    (True, "true"), (5, "5"), (None, "null"), ({"a": ["<"]}, r'{"a":["\u003c"]}'), ([], "[]"),
])
def test_shown(value, text):
    assert f.shown(value) == text


@pytest.mark.parametrize("error, reason, message", [
    (f.required("x"), "FieldValueRequired", "Required value"),
    (f.invalid("x", "v", "must be odd"), "FieldValueInvalid", 'Invalid value: "v": must be odd'),
    (f.not_supported("x", "v", ("a", "b")), "FieldValueNotSupported", 'Unsupported value: "v": supported values: "a", "b"'),
    (f.too_many("x", 3, 1), "FieldValueTooMany", "Too many: 3: must have at most 1 item"),
    (f.too_long("x", 4), "FieldValueTooLong", "Too long: may not be more than 4 bytes"),
    (f.not_found("x", "v"), "FieldValueNotFound", 'Not found: "v"'),
])
def test_errors(error, reason, message):
    assert (error.reason, error.message, str(error)) == (reason, message, f"x: {message}")
