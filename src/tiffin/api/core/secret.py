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
from tiffin.machinery.jsonerror import complaint
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
    return [invalid(f"data[{key}]", _REDACTED, words) for words in _map_complaints(base64.b64decode(data[key]))]


def _map_complaints(plain: bytes) -> list[str]:
    """Why these bytes are no JSON object (null counts as one), in the words of Go."""
    text = plain.decode("utf-8", "replace")
    wrong = complaint(text)
    if wrong:
        return [wrong]
    value = json.loads(text)
    if value is None or isinstance(value, dict):
        return []
    kind = "string" if isinstance(value, str) else "array" if isinstance(value, list) else "bool" if isinstance(value, bool) else "number"
    return [f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"]


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = immutable(new.get("type"), old.get("type"), "type")
    return errors + frozen_errors(new, old, "data") + validate(new, context)


def warnings(new: Object, old: Object | None) -> list[str]:
    """A TLS secret whose pair does not load is accepted with a warning."""
    if new.get("type") != TLS:
        return []
    from tiffin.api.core.keypairs import pair_complaint

    data = new.get("data") or {}
    wrong = pair_complaint(*(base64.b64decode(data.get(key) or "") for key in _NEEDED_KEYS[TLS]))
    return [wrong] if wrong else []


def row(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or {}), age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    schema="io.k8s.api.core.v1.Secret",
    singular="secret",
    metadata_checks="um",
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Type"), Column("Data"), AGE),
    row=row,
    field_selectors={"type": lambda obj: obj.get("type", "")},
)
