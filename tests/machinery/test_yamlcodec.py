"""YAML: Go's reading of plain words, and bounds."""
from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.jsoncodec import DecodeError
from tiffin.machinery.yamlcodec import dump_yaml, parse_yaml, repeated_keys, resolve


@pytest.mark.parametrize(("text", "value"), [
    ("y", True), ("on", True), ("No", False), ("OFF", False), ("~", None), ("", None), ("Null", None), ("yEs", "yEs"),
    ("0777", 511), ("0o17", 15), ("0x1F", 31), ("0b101", 5), ("-12", -12), ("+7", 7), ("1_000", 1000), ("08", 8),
    ("1.5", 1.5), ("1e3", 1000), (".5", 0.5), ("1.", 1), ("2001-01-01", "2001-01-01"), ("1:30", "1:30"), ("1.2.3", "1.2.3"), (".inf", ".inf"),
])
def test_plain_words(text: str, value: Any) -> None:
    assert resolve(text) == value and type(resolve(text)) is type(value)


def test_keys_are_text() -> None:
    assert parse_yaml(b"{y: 1, 2: b, ~: c, 'y': d}")[0] == {"true": 1, "2": "b", "null": "c", "y": "d"}


def test_anchors_and_merges() -> None:
    obj, problems = parse_yaml(b"a: &x {k: v, l: w}\nb: *x\nc: {<<: *x, l: own}\nd: {<<: [*x, {m: o}]}\n")
    assert problems == []
    assert obj == {"a": {"k": "v", "l": "w"}, "b": {"k": "v", "l": "w"}, "c": {"k": "v", "l": "own"}, "d": {"k": "v", "l": "w", "m": "o"}}
    assert obj["a"] is not obj["b"]


def test_repeated_keys_are_one_problem_and_the_last_counts() -> None:
    obj, problems = parse_yaml(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  k: v\n  k: w\n")
    assert obj["data"] == {"k": "w"}
    assert repeated_keys(problems[0]) == ['line 6: key "k" already set in map']
    assert list(map(str, problems)) == ['error converting YAML to JSON: yaml: unmarshal errors:\n  line 6: key "k" already set in map']


def test_only_the_first_document() -> None:
    assert parse_yaml(b"---\na: 1\n---\nb: 2\n")[0] == {"a": 1}
    assert parse_yaml(b"# nothing\n")[0] == {}


def _bomb() -> bytes:
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [b"%c: &%c [%s]" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(98, 110)]
    return b"\n".join(lines)


@pytest.mark.parametrize(("body", "words"), [
    (_bomb(), "document contains excessive aliasing"),
    (b"[" * 100_000, "exceeded max depth"),
    (b"a: [" + b"1," * 400_000 + b"1]", "too many nodes"),
    (b"a: &a [*a]", "anchor 'a' value contains itself"),
    (b"a: *b", "unknown anchor 'b' referenced"),
    (b"a: b: c", "mapping values are not allowed in this context"),
    (b"a: 1\n\tb: 2", "line 2: found a tab character"),
    (b"a: \x01", "control characters are not allowed"),
    (b"a: \xff", "control characters are not allowed"),
    (b"- a", "cannot unmarshal array into Go value of type map[string]interface {}"),
    (b"? {a: b}\n: c", "invalid map key"),
    (b"{<<: 5}", "map merge requires map"),
])
def test_refusals(body: bytes, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_yaml(body)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["y", "0E0", "1_0", "0o7", "~", "", "<<", "null", "1.", "2001-01-01", "a: b", "- a", "#", "é", "on"])
def test_text_stays_text(text: str) -> None:
    assert parse_yaml(dump_yaml({"k": text, text or "e": "v"}))[0] == {"k": text, text or "e": "v"}


@given(st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(max_size=3)), max_size=4))
def test_what_is_written_is_read(obj: dict[str, Any]) -> None:
    try:
        text = dump_yaml(obj)
    except yaml.YAMLError:
        return
    if not any(c < " " or c > "~" for c in str(obj)):
        assert parse_yaml(text)[0] == obj
