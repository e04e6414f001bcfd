"""Secret: bytes under keys, of a type that says which keys there must be.

`stringData` exists only in requests and is merged into `data`. The type never changes; an `immutable` one keeps its data.
Contents never appear in messages.
"""
from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.core.configmap import MAX_SIZE, decoded_size, frozen_errors
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required, too_long
from tiffin.machinery.object import Object, annotations_of, name_of
from tiffin.machinery.table import age

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
BASIC_AUTH = "kubernetes.io/basic-auth"
TLS = "kubernetes.io/tls"

_DOCKER_KEYS = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}
_NEEDED_KEYS = {"kubernetes.io/ssh-auth": ("ssh-privatekey",), TLS: ("tls.crt", "tls.key")}
_REDACTED = "<secret contents redacted>"


def default(obj: Object) -> None:
    text = obj.pop("stringData", None)
    if text:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        obj["data"] = (obj.get("data") or {}) | encoded
    if not obj.get("type"):
        obj["type"] = OPAQUE


def validate(obj: Object, context: Context) -> list[FieldError]:
    data = obj.get("data") or {}
    errors: list[FieldError] = []
    for key in sorted(data):
        errors += named(key, f"data[{key}]", names.is_config_map_key)
    if decoded_size(data) > MAX_SIZE:
        errors.append(too_long("data", MAX_SIZE))
    return errors + _type_errors(obj, data)


def _type_errors(obj: Object, data: dict[str, str]) -> list[FieldError]:
    kind = obj.get("type", "")
    if kind == SERVICE_ACCOUNT_TOKEN:
        missing = not annotations_of(obj).get(SERVICE_ACCOUNT_NAME)
        return [required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")] if missing else []
    if kind in _DOCKER_KEYS:
        return _docker_errors(data, _DOCKER_KEYS[kind])
    if kind == BASIC_AUTH:
        return [] if "username" in data or "password" in data else [required("data[username]"), required("data[password]")]
    keys = _NEEDED_KEYS.get(kind, ())
    return [required(f"data[{key}]") for key in keys if key not in data or (key == "ssh-privatekey" and not data[key])]


def _docker_errors(data: dict[str, str], key: str) -> list[FieldError]:
    if key not in data:
        return [required(f"data[{key}]")]
    try:
        value = json.loads(base64.b64decode(data[key]))
    except ValueError:
        return [invalid(f"data[{key}]", _REDACTED, _go_complaint(base64.b64decode(data[key]).decode("utf-8", "replace")))]
    return [] if isinstance(value, dict) or value is None else [invalid(f"data[{key}]", _REDACTED, "json: cannot unmarshal into a map")]


_LITERALS = {"n": "null", "t": "true", "f": "false"}


def _go_complaint(text: str) -> str:
    """Why text is not JSON, for its commonest faults in the words of Go's scanner."""
    text = text.lstrip(" \t\r\n")
    if not text:
        return "unexpected end of JSON input"
    if literal := _LITERALS.get(text[0]):
        for found, expected in zip(text, literal):
            if found != expected:
                return f"invalid character '{found}' in literal {literal} (expecting '{expected}')"
        return "unexpected end of JSON input" if len(text) < len(literal) else f"invalid character '{text[len(literal)]}' after top-level value"
    if text[0] in '{["-0123456789':
        return "unexpected end of JSON input"
    return f"invalid character '{text[0]}' looking for beginning of value"


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = immutable(new.get("type"), old.get("type"), "type")
    return errors + frozen_errors(new, old, "data") + validate(new, context)


def warnings(new: Object, old: Object | None) -> list[str]:
    """A TLS secret whose pair does not load is accepted with a warning."""
    if new.get("type") != TLS or (old is not None and new.get("data") == old.get("data")):
        return []
    data = new.get("data") or {}
    if not data.get("tls.crt") and not data.get("tls.key"):
        return []
    if b"-----BEGIN" not in base64.b64decode(data.get("tls.crt", "")):
        return ["tls: failed to find any PEM data in certificate input"]
    if b"-----BEGIN" not in base64.b64decode(data.get("tls.key", "")):
        return ["tls: failed to find any PEM data in key input"]
    return []


def row(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    schema="io.k8s.api.core.v1.Secret",
    singular="secret",
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Type"), Column("Data"), AGE),
    row=row,
    field_selectors={"type": lambda obj: obj.get("type", "")},
)
