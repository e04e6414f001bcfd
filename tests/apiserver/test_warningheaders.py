"""Warning headers."""
from __future__ import annotations

from tiffin.apiserver.warningheaders import MOST, MOST_OF_ONE, bounded, quoted, warning_headers


def test_each_is_said_once_in_order() -> None:
    assert warning_headers(["b", "a", "", "b"]) == (("Warning", '299 - "b"'), ("Warning", '299 - "a"'))


def test_control_characters_are_left_out_and_quotes_escaped() -> None:
    assert quoted('a"b\\c\r\nd') == '"a\\"b\\\\cd"'


def test_long_ones_are_cut_only_where_all_are_too_long() -> None:
    assert bounded(["x" * MOST]) == ["x" * MOST]
    told = bounded(["x" * 5000] * 40)
    assert {len(text) for text in told} == {MOST_OF_ONE} and sum(map(len, told)) == MOST
