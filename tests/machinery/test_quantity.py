"""Quantities: canonical forms, arithmetic, refusals."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery import quantity as q


@pytest.mark.parametrize("text, canonical", [
    ("0", "0"), ("00", "0"), ("0.0", "0"), ("-", "0"), ("1", "1"), ("100m", "100m"), ("0.5", "500m"), ("1000m", "1"), ("1500m", "1500m"),
    ("1000", "1k"), ("1e6", "1e6"), ("1e-1", "100e-3"), ("+5M", "+5M"), ("01Gi", "01Gi"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"),
    ("1024Mi", "1Gi"), ("1000Mi", "1000Mi"), ("0.5Ki", "512"), ("1.1n", "2n"), ("1000E", "1e21"), ("9Ei", "9223372036854775807"),
    (" 7 ", "7"), ("1e1000000000", "10e999999999"), ("-1.5", "-1500m"), (3, "3"), (0.25, "250m"),
])
def test_canonical(text, canonical):
    assert q.canonical(text) == canonical


@pytest.mark.parametrize("text, message", [
    ("", q.FORMAT_WRONG), ("abc", q.FORMAT_WRONG), ("1.2.3", q.FORMAT_WRONG), ("1 Gi", q.FORMAT_WRONG), ("1x", q.FORMAT_WRONG),
    ("1ii", q.SUFFIX_WRONG), ("1e", q.SUFFIX_WRONG), ("1e99999999999", q.SUFFIX_WRONG), (True, q.FORMAT_WRONG),
])
def test_refused(text, message):
    with pytest.raises(q.QuantityError) as error:
        q.canonical(text)
    assert str(error.value) == message


@pytest.mark.parametrize("text, whole, milli", [
    ("1", 1, 1000), ("100m", 1, 100), ("1Ki", 1024, 1024000), ("-1500m", -2, -1500), ("1e1000000000", q.INT64_MAX, q.INT64_MAX), ("1n", 1, 1),
])
def test_numbers_round_away_from_zero_and_saturate(text, whole, milli):
    assert (q.to_int(text), q.to_milli(text)) == (whole, milli)


def test_arithmetic_keeps_the_family_of_the_first():
    assert q.add("1Gi", "512Mi") == "1536Mi"
    assert q.add("0", "1Gi") == "1Gi"
    assert q.sub("1", "250m") == "750m"
    assert q.sub("1Gi", "1Gi") == "0"
    assert q.compare("1Gi", "1024Mi") == 0
    assert (q.compare("1", "1100m"), q.compare("1e1000000000", "5"), q.sign("-1n")) == (-1, 1, -1)
    assert q.rounded_to_milli("0.0001") == "1m"


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-6"]))
def test_canonical_text_is_the_same_number_and_stays(mantissa, suffix):
    text = f"{mantissa}{suffix}"
    once = q.canonical(text)
    assert q.canonical(once) == once or q.of(once).text == ""
    if abs(q.as_decimal(text)) < q.INT64_MAX:
        assert q.compare(once, text) == 0


@given(st.text(alphabet="0123456789.+-eEinumkKMGTPx ", max_size=12))
def test_any_text_is_a_quantity_or_refused(text):
    try:
        assert q.canonical(q.canonical(text))
    except q.QuantityError as error:
        assert str(error) in (q.FORMAT_WRONG, q.SUFFIX_WRONG)
