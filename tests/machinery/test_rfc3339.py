"""Times as the API keeps them, and Go's words for those it refuses."""
from __future__ import annotations

import pytest

from tiffin.machinery.rfc3339 import LAYOUT, MICRO_LAYOUT, canonical

KEPT = [
    ("2024-01-31T08:09:10Z", False, "2024-01-31T08:09:10Z"),
    ("2024-01-31T08:09:10.5+01:00", False, "2024-01-31T07:09:10Z"),
    ("2024-01-31T8:09:10Z", False, "2024-01-31T08:09:10Z"),
    ("2024-01-31T08:09:10,123456-24:00", True, "2024-02-01T08:09:10.123456Z"),
    ("0001-01-01T00:00:01Z", False, "0001-01-01T00:00:01Z"),
]
REFUSED = [
    ("", LAYOUT, 'cannot parse "" as "2006"'),
    ("2024-01-01", LAYOUT, 'cannot parse "" as "T"'),
    ("2024-1-01T00:00:00Z", LAYOUT, 'cannot parse "1-01T00:00:00Z" as "01"'),
    ("2024-01-01T00:00:00", LAYOUT, 'cannot parse "" as "Z07:00"'),
    ("2024-01-01T00:00:00.1Z", MICRO_LAYOUT, 'cannot parse ".1Z" as ".000000"'),
    ("2024-01-01T00:00:00.123456789Z", MICRO_LAYOUT, 'cannot parse "789Z" as "Z07:00"'),
    ("\x01é", LAYOUT, r'cannot parse "\x01\xc3\xa9" as "2006"'),
]
OUT_OF_RANGE = [
    ("2024-13-01", ": month out of range"),
    ("2024-02-30T00:00:00Z", ": day out of range"),
    ("2024-01-32T24:00:00Z", ": hour out of range"),
    ("2024-01-01T00:60:00Z", ": minute out of range"),
    ("2024-01-01T00:00:60Z", ": second out of range"),
    ("2024-01-01T00:00:00+25:00", ": time zone offset hour out of range"),
    ("2024-01-01T00:00:00+01:61", ": time zone offset minute out of range"),
    ("2024-01-01T00:00:00Z x", ': extra text: " x"'),
]


@pytest.mark.parametrize(("text", "micro", "expected"), KEPT)
def test_a_time_is_kept_in_utc(text: str, micro: bool, expected: str) -> None:
    assert canonical(text, micro) == expected


@pytest.mark.parametrize(("text", "layout", "expected"), REFUSED)
def test_the_first_missing_piece_is_named(text: str, layout: str, expected: str) -> None:
    with pytest.raises(ValueError) as told:
        canonical(text, layout == MICRO_LAYOUT)
    assert str(told.value).endswith(f' as "{layout}": {expected}')


@pytest.mark.parametrize(("text", "expected"), OUT_OF_RANGE)
def test_what_is_out_of_range_is_named(text: str, expected: str) -> None:
    with pytest.raises(ValueError) as told:
        canonical(text)
    assert str(told.value) == f'parsing time "{text}"{expected}'
