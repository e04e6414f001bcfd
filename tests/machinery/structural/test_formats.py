from __future__ import annotations

import pytest

from tiffin.machinery.structural.formats import recognized, text_format

GOOD = {
    "date-time": "2020-01-01T00:00:00Z", "datetime": "2020-01-01T00:00:00.5+01:00", "date": "2020-02-29", "email": "a@b.example", "ipv4": "10.0.0.1",
    "ipv6": "::1", "cidr": "10.0.0.0/8", "hostname": "a.example", "mac": "00:11:22:33:44:55", "uri": "https://x.example/y", "byte": "YQ==",
    "uuid": "8a96cf80-91cd-4000-8000-000000000058", "uuid4": "8a96cf80-91cd-4000-8000-000000000058", "duration": "1h5m", "password": "x",
    "bsonobjectid": "507f1f77bcf86cd799439011", "isbn10": "0-306-40615-2", "isbn13": "978-0-306-40615-7", "creditcard": "4111 1111 1111 1111",
    "ssn": "111-22-3333", "hexcolor": "#fff", "rgbcolor": "rgb(1, 2, 255)", "k8s-short-name": "a-b", "k8s-long-name": "a.b"}
BAD = {
    "date-time": "yesterday", "datetime": "2020-01-01T25:00:00Z", "date": "2021-02-29", "email": "nobody", "ipv4": "1.2.3", "ipv6": "10.0.0.1",
    "cidr": "10.0.0.0", "hostname": "-x", "mac": "00:11", "uri": "not a uri", "byte": "?", "uuid": "1234", "uuid4": "8a96cf80-91cd-1000-8000-000000000058",
    "duration": "5 parsecs", "bsonobjectid": "x", "isbn10": "0-306-40615-3", "isbn13": "978-0-306-40615-8", "creditcard": "4111 1111 1111 1112",
    "ssn": "1", "hexcolor": "#ff", "rgbcolor": "rgb(1,2,256)", "k8s-short-name": "a.b", "k8s-long-name": "A"}


@pytest.mark.parametrize("name", GOOD)
def test_formats(name: str) -> None:
    check = text_format(name)
    assert check is not None
    assert check(GOOD[name])
    assert name not in BAD or not check(BAD[name])


def test_what_is_not_known_is_not_checked() -> None:
    assert text_format("of-my-own") is None
    assert not recognized("of-my-own")
    assert recognized("int32") and text_format("int32") is None


@pytest.mark.parametrize(("name", "text"), [
    ("duration", "1ms" * 300_000 + "x"), ("duration", "1" * 1_000_000), ("email", "a" * 1_000_000), ("hostname", "a" * 1_000_000), ("uri", "a:" + "%" * 1_000_000),
    ("k8s-long-name", "a" * 1_000_000), ("creditcard", "1" * 1_000_000), ("date-time", "2020-01-01T00:00:00." + "0" * 1_000_000 + "x"), ("byte", "=" * 1_000_000)])
def test_long_texts_are_no_attack(name: str, text: str) -> None:
    """Each is answered in time that grows with its length alone; a test that hangs is one that fails."""
    check = text_format(name)
    assert check is not None and not check(text)
