"""Named formats: format.dns1123Label().validate(text), format.named(name).

`validate` gives none for text that fits, else what is wrong with it, as Kubernetes words it. Source: Kubernetes' format library.
"""
from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date

from tiffin.machinery import names
from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.library.urls import parse_url
from tiffin.machinery.cel.times import parse_timestamp
from tiffin.machinery.cel.types import Type, struct
from tiffin.machinery.cel.values import NONE, Optional

FORMAT_TYPE = struct("kubernetes.NamedFormat", {})
FORMATS = Library([FORMAT_TYPE])

Validate = Callable[[str], list[str]]
_uuid = re.compile(r"[a-f0-9]{8}-?[a-f0-9]{4}-?[a-f0-9]{4}-?[a-f0-9]{4}-?[a-f0-9]{12}", re.ASCII | re.IGNORECASE).fullmatch


class FormatValue:
    """A format; `pattern_size` is how long its regular expression counts as."""

    __slots__ = ("cel_type", "name", "pattern_size", "validate")

    def __init__(self, name: str, validate: Validate, pattern_size: int) -> None:
        self.cel_type: Type = FORMAT_TYPE
        self.name, self.validate, self.pattern_size = name, validate, pattern_size


def _prefix(validate: Validate) -> Validate:
    return lambda text: validate(names.masked_prefix(text))


def _uri(text: str) -> list[str]:
    try:
        parse_url(text)
    except ValueError as error:
        return [str(error)]
    return []


def _byte(text: str) -> list[str]:
    try:
        return [] if base64.b64decode(text, validate=True) or not text else ["invalid base64"]
    except (binascii.Error, ValueError):
        return ["invalid base64"]


def _date(text: str) -> list[str]:
    try:
        return [] if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) and date.fromisoformat(text) else ["invalid date"]
    except ValueError:
        return ["invalid date"]


def _datetime(text: str) -> list[str]:
    try:
        parse_timestamp(text)
    except EvaluationError:
        return ["invalid datetime"]
    return []


_FORMATS = {
    name: FormatValue(shown, validate, size) for name, shown, validate, size in (
        ("dns1123Label", "DNS1123Label", names.is_dns1123_label, 30),
        ("dns1123Subdomain", "DNS1123Subdomain", names.is_dns1123_subdomain, 60),
        ("dns1035Label", "DNS1035Label", names.is_dns1035_label, 30),
        ("qualifiedName", "QualifiedName", names.is_qualified_name, 60),
        ("dns1123LabelPrefix", "DNS1123LabelPrefix", _prefix(names.is_dns1123_label), 30),
        ("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", _prefix(names.is_dns1123_subdomain), 60),
        ("dns1035LabelPrefix", "DNS1035LabelPrefix", _prefix(names.is_dns1035_label), 30),
        ("labelValue", "LabelValue", names.is_label_value, 40),
        ("uri", "URI", _uri, 700),
        ("uuid", "uuid", lambda text: [] if _uuid(text) else ["does not match the UUID format"], 83),
        ("byte", "byte", _byte, 88),
        ("date", "date", _date, 110),
        ("datetime", "datetime", _datetime, 110))}


def _validate(format_: FormatValue, text: str) -> Optional:
    wrong = format_.validate(text)
    return Optional(True, wrong) if wrong else NONE


def _named(name: str) -> Optional:
    return Optional(True, _FORMATS[name]) if name in _FORMATS else NONE


FORMATS.add("validate", "format-validate", "kubernetes.NamedFormat.(string) -> optional(list(string))", _validate)
FORMATS.add("format.named", "format-named", "(string) -> optional(kubernetes.NamedFormat)", _named)
for _name, _format in _FORMATS.items():
    FORMATS.add(f"format.{_name}", f"format.{_name}", "() -> kubernetes.NamedFormat", lambda value=_format: value)
