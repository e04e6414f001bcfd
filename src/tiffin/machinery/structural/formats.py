"""The formats of text that Kubernetes checks, by their names in a schema.

A name is looked up without its dashes. What is not known is not checked; a definition that uses it is answered with a warning.
Source: OpenAPI 3 format registry; API extension docs, "Validation".
"""
from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date

from tiffin.machinery.cel.regex import compile_regex

_NUMBERS = frozenset({"int32", "int64", "float", "double"})
_uuid = r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_hex = r"[0-9A-Fa-f]"


def _matches(pattern: str) -> Callable[[str], bool]:
    """Whether a text is all of a pattern. It is RE2 that looks: anybody may write these texts, as long as a request may be."""
    return lambda text: compile_regex(pattern).fullmatch(text) is not None


_go_duration = _matches(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_word_duration = _matches(
    r"(?i)(?:[0-9]+\s*(?:ns|nano|us|µs|micro|ms|milli|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|wk|weeks?)s?\s*)+")
_date_time = _matches(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt]| )[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?")
_name = _matches(r"(?:[0-9A-Za-z\x{a0}-\x{ffff}](?:[0-9A-Za-z\x{a0}-\x{ffff}-]{0,61}[0-9A-Za-z\x{a0}-\x{ffff}])?\.)*"
                 r"[0-9A-Za-z\x{a0}-\x{ffff}](?:[0-9A-Za-z\x{a0}-\x{ffff}-]{0,61}[0-9A-Za-z\x{a0}-\x{ffff}])?")
_long_name = _matches(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_card = _matches(r"[0-9 -]+")
_ten, _thirteen = _matches(r"[0-9]{9}[0-9X]"), _matches(r"97[89][0-9]{10}")


def _version_4(text: str) -> bool:
    if ":" in text:
        return False
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _version_6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    if not slash or not bits.isascii() or not bits.isdecimal() or len(bits) > 3:
        return False
    return int(bits) <= (32 if _version_4(address) else 128 if _version_6(address) else -1)


def _uri(text: str) -> bool:
    """An absolute URI or an absolute path without control characters or blanks in its host."""
    if not text or any(ord(c) < 0x20 or ord(c) == 0x7F for c in text) or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return False
    if text.startswith("/") or text == "*":
        return True
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text)
    if scheme is None:
        return False
    rest = text[scheme.end():]
    return " " not in rest.partition("//")[2].partition("/")[0] if rest.startswith("//") else bool(rest)


def _date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def _moment(text: str) -> bool:
    if not _date_time(text) or not _date(text[:10]):
        return False
    hour, minute, second = text[11:13], text[14:16], text[17:19]
    return int(hour) < 24 and int(minute) < 60 and int(second) < 60


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _luhn(text: str) -> bool:
    if not _card(text):
        return False
    digits = [int(c) for c in text if c.isdecimal()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = (sum(divmod(d * 2, 10)) for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _isbn10(text: str) -> bool:
    plain = text.replace("-", "").replace(" ", "")
    if not _ten(plain):
        return False
    return sum((10 if c == "X" else int(c)) * (i + 1) for i, c in enumerate(plain)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = text.replace("-", "").replace(" ", "")
    if not _thirteen(plain):
        return False
    return sum(int(c) * (1, 3)[i % 2] for i, c in enumerate(plain)) % 10 == 0


def _hostname(text: str) -> bool:
    plain = text.removesuffix(".")
    return 0 < len(plain) <= 255 and _name(plain)


_FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _matches(r'[^\s@<>"(),:;\[\]\\]+@(?:\[[0-9A-Fa-f:.]+\]|[^\s@<>"(),:;\[\]\\]+)'),
    "hostname": _hostname,
    "ipv4": _version_4,
    "ipv6": _version_6,
    "cidr": _cidr,
    "mac": _matches(rf"{_hex}{{2}}(?:(?::{_hex}{{2}}){{5}}|(?::{_hex}{{2}}){{7}}|(?:-{_hex}{{2}}){{5}}|(?:-{_hex}{{2}}){{7}})"
                    rf"|{_hex}{{4}}(?:\.{_hex}{{4}}){{2,3}}"),
    "uuid": _matches(_uuid % ("[0-9a-f]", "[0-9a-f]")),
    "uuid3": _matches(_uuid % ("3", "[0-9a-f]")),
    "uuid4": _matches(_uuid % ("4", "[89ab]")),
    "uuid5": _matches(_uuid % ("5", "[89ab]")),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _luhn,
    "ssn": _matches(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*(?:%s)\s*,\s*(?:%s)\s*,\s*(?:%s)\s*\)" % ((r"0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]",) * 3)),
    "byte": _byte,
    "password": lambda text: True,
    "date": _date,
    "duration": lambda text: _go_duration(text) or _word_duration(text.strip()),
    "datetime": _moment,
    "k8sshortname": _matches(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
    "k8slongname": lambda text: len(text) <= 253 and _long_name(text),
}


def text_format(name: str) -> Callable[[str], bool] | None:
    """The check of a format by its name in a schema, None for a format that is not checked."""
    return _FORMATS.get(name.replace("-", ""))


def recognized(name: str) -> bool:
    """Whether a definition may use the format without being warned."""
    plain = name.replace("-", "")
    return plain in _FORMATS or plain in _NUMBERS
