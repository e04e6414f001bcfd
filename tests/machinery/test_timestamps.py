"""Times, ages and durations."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery import table
from tiffin.machinery.timestamps import (
    format_duration,
    format_micro,
    format_time,
    human_duration,
    parse_duration,
    parse_nanoseconds,
    parse_time,
)


@pytest.mark.parametrize("seconds, text", [
    (0, "0s"), (119, "119s"), (120, "2m"), (184, "3m4s"), (600, "10m"), (179 * 60, "179m"), (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"),
    (8 * 3600, "8h"), (47 * 3600, "47h"), (53 * 3600, "2d5h"), (48 * 3600, "2d"), (9 * 86400, "9d"), (800 * 86400, "2y70d"),
    (3000 * 86400, "8y"), (-0.5, "0s"), (-1, "0s"), (-5, "<invalid>"),
])
def test_ages(seconds, text):
    assert human_duration(seconds) == text


def test_times():
    moment = parse_time("2024-01-31T10:09:10.0001234+02:00")
    assert format_time(moment) == "2024-01-31T08:09:10Z"
    assert format_micro(moment) == "2024-01-31T08:09:10.000123Z"
    with pytest.raises(ValueError, match='parsing time "yesterday"'):
        parse_time("yesterday")


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 1, 1)))
def test_times_come_back(moment):
    aware = moment.replace(tzinfo=UTC)
    assert parse_time(format_micro(aware)) == aware


@pytest.mark.parametrize("text, duration", [("1h30m", timedelta(minutes=90)), ("-1.5s", timedelta(seconds=-1.5)), ("0", timedelta()), ("100ms", timedelta(milliseconds=100))])
def test_durations(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text, message", [
    ("", 'time: invalid duration ""'), ("5", 'time: missing unit in duration "5"'), ("5x", 'time: unknown unit "x" in duration "5x"'), ("s", "invalid"),
])
def test_bad_durations(text, message):
    with pytest.raises(ValueError, match=message):
        parse_duration(text)


@given(st.integers(-(2**53), 2**53))
def test_durations_come_back(nanoseconds):
    assert parse_nanoseconds(format_duration(nanoseconds)) == nanoseconds


def test_cells():
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert table.since("2023-12-31T23:56:56Z", now) == "3m4s"
    assert (table.since(None, now), table.until("2024-01-01T00:01:00Z", now)) == ("<unknown>", "60s")
    assert (table.labels({"b": "2", "a": "1"}), table.labels({}), table.joined(["a", 1])) == ("a=1,b=2", "<none>", "a,1")
    assert (table.cut(["a", "b", "c"], 2), table.cut(["a"], 2)) == ("a,b + 1 more...", "a")
    assert table.age({"metadata": {"name": "x"}}, now) == "<unknown>" and table.name({"metadata": {"name": "x"}}) == "x"
