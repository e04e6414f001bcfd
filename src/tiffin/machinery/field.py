"""Field errors: what validation finds, in Kubernetes' words.

Validators return lists of `FieldError`, all violations at once and in the order Kubernetes reports them; nothing is raised.
A path is text in the form Kubernetes prints: `spec.containers[0].image`, `metadata.labels[app]`. Children are made with
f-strings: `f"{path}.name"`, `f"{path}[{index}]"`, `f"{path}[{key}]"`.

Source: apimachinery `field.Error` as visible in the `details.causes` of a Status.
"""
from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple


class FieldError(NamedTuple):
    """One violation: `reason` as in `details.causes`, the field's path, and the text that follows the path."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


_GO_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\", '"': r"\""}
_HTML_ESCAPES = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"})


def quoted(text: str) -> str:
    """A text as Go's `%q` prints it."""
    return '"' + "".join(_GO_ESCAPES.get(c) or (c if c.isprintable() else _escaped(ord(c))) for c in text) + '"'


def _escaped(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_number(value: float) -> str:
    """A number as Go's `%v` prints it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def shown(value: Any) -> str:
    """A value as Go prints it in an error: text quoted, null as null, containers as JSON (which escapes what HTML would)."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return go_number(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_HTML_ESCAPES)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}" if detail else f"Invalid value: {shown(value)}")


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` is printed in the order given; Kubernetes sorts where its own list comes from a set."""
    text = f"Unsupported value: {shown(value)}"
    choices = ", ".join(shown(s) for s in supported)
    return FieldError("FieldValueNotSupported", field, f"{text}: supported values: {choices}" if choices else text)


def not_found(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {shown(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}" if detail else "Forbidden")


def too_long(field: str, limit: int) -> FieldError:
    """The value is left out, as in Kubernetes since 1.32."""
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} item{'' if limit == 1 else 's'}")


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def internal(field: str, detail: str) -> FieldError:
    return FieldError("InternalError", field, f"Internal error: {detail}")
