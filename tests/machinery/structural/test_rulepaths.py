"""Field paths inside schemas."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.structural.rulepaths import FieldPathError, child_path, follow

TEXT: dict[str, Any] = {"type": "string"}
SCHEMA = {"type": "object", "properties": {
    "a": TEXT, "a-b": {"type": "object", "properties": {"x.y": TEXT, "it's": TEXT}}, "m": {"type": "object", "additionalProperties": {"properties": {"z": TEXT}}}}}


@pytest.mark.parametrize(("path", "shown"), [
    (".a", "a"), ("['a']", "a"), (".a-b['x.y']", "a-b.x.y"), (".a-b['it\\'s']", "a-b.it's"), (".m['k.l'].z", "m[k.l].z"), (".m.k.z", "m[k].z"), ("", ""),
])
def test_paths_that_lead_somewhere(path: str, shown: str) -> None:
    assert follow(SCHEMA, path).path == shown and child_path(SCHEMA, path) == (f".{shown}" if shown else "")


@pytest.mark.parametrize(("path", "words"), [
    ("a", "expected [ or . but got: a"), (".", "unexpected end of JSON path"), (".b", "does not refer to a valid field"),
    (".a.b", "does not refer to a valid field"), ("[a]", "expected single quoted string but got a"), ("['a", "expected single quoted string but got 'a"),
    ("['a'", "unexpected end of JSON path"), ("['a'.", "expected ] but got ."), ("['a\\q']", "invalid string literal: invalid escape char \\q"),
    ("[", "unexpected end of JSON path"), ("..a", "does not refer to a valid field"), (".b[", "does not refer to a valid field"),
])
def test_paths_that_do_not(path: str, words: str) -> None:
    with pytest.raises(FieldPathError) as raised:
        follow(SCHEMA, path)
    assert str(raised.value) == words and child_path(SCHEMA, path) == ""
