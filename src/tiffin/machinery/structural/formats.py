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

_NUMBERS = frozenset({"int32", "int64", "float", "double"})
_uuid = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_label = r"[0-9A-Za-z\u00a0-\uffff](?:[0-9A-Za-z\u00a0-\uffff-]{0,61}[0-9A-Za-z\u00a0-\uffff])?"
_email = re.compile(r"[^\s@<>\"(),:;\[\]\\]+@(?:\[[0-9A-Fa-f:.]+\]|[^\s@<>\"(),:;\[\]\\]+)").fullmatch
_mac = re.compile(r"(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}(?:(?:[0-9A-Fa-f]{2}\1){2})?[0-9A-Fa-f]{2}"
                  r"|(?:[0-9A-Fa-f]{4}\.){2}(?:[0-9A-Fa-f]{4}\.)?[0-9A-Fa-f]{4})").fullmatch
_go_duration = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)").fullmatch
_word_duration = re.compile(
    r"(?:\d+\s*(?:ns|nano|us|µs|micro|ms|milli|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|wk|weeks?)s?\s*)+", re.IGNORECASE).fullmatch
_date_time = re.compile(r"\d{4}-\d{2}-\d{2}([Tt]| )\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})?").fullmatch


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    match = re.compile(pattern, flags).fullmatch
    return lambda text: match(text) is not None


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
    if _date_time(text) is None or not _date(text[:10]):
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
    digits = [int(c) for c in text if c.isdecimal()]
    if not 13 <= len(digits) <= 19 or re.fullmatch(r"[\d -]+", text) is None:
        return False
    doubled = (sum(divmod(d * 2, 10)) for d in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _isbn10(text: str) -> bool:
    plain = text.replace("-", "").replace(" ", "")
    if re.fullmatch(r"\d{9}[\dX]", plain) is None:
        return False
    return sum((10 if c == "X" else int(c)) * (i + 1) for i, c in enumerate(plain)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = text.replace("-", "").replace(" ", "")
    if re.fullmatch(r"97[89]\d{10}", plain) is None:
        return False
    return sum(int(c) * (1, 3)[i % 2] for i, c in enumerate(plain)) % 10 == 0


def _hostname(text: str) -> bool:
    plain = text.removesuffix(".")
    return 0 < len(plain) <= 255 and all(re.fullmatch(_label, part) for part in plain.split("."))


_FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": lambda text: _email(text) is not None,
    "hostname": _hostname,
    "ipv4": _version_4,
    "ipv6": _version_6,
    "cidr": _cidr,
    "mac": lambda text: _mac(text) is not None,
    "uuid": _matches(_uuid % ("[0-9a-f]", "[0-9a-f]"), re.IGNORECASE),
    "uuid3": _matches(_uuid % ("3", "[0-9a-f]"), re.IGNORECASE),
    "uuid4": _matches(_uuid % ("4", "[89ab]"), re.IGNORECASE),
    "uuid5": _matches(_uuid % ("5", "[89ab]"), re.IGNORECASE),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _luhn,
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)"),
    "byte": _byte,
    "password": lambda text: True,
    "date": _date,
    "duration": lambda text: _go_duration(text) is not None or _word_duration(text.strip()) is not None,
    "datetime": _moment,
    "k8sshortname": _matches(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
    "k8slongname": lambda text: len(text) <= 253 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", text) is not None,
}


def text_format(name: str) -> Callable[[str], bool] | None:
    """The check of a format by its name in a schema, None for a format that is not checked."""
    return _FORMATS.get(name.replace("-", ""))


def recognized(name: str) -> bool:
    """Whether a definition may use the format without being warned."""
    plain = name.replace("-", "")
    return plain in _FORMATS or plain in _NUMBERS
