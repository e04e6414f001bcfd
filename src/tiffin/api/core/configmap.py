"""ConfigMap: text and bytes under keys that can be file names, 1 MiB together.

One that is `immutable` stays so, and its data with it.
"""
from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiffin.api.checks import named
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, forbidden, invalid, too_long
from tiffin.machinery.object import Object, name_of
from tiffin.machinery.table import age

MAX_SIZE = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"


def validate(obj: Object, context: Context) -> list[FieldError]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    errors = _key_errors(data, binary, "data", "binaryData") + _key_errors(binary, data, "binaryData", "data")
    size = sum(len(value.encode()) for value in data.values()) + decoded_size(binary)
    if size > MAX_SIZE:
        errors.append(too_long("", MAX_SIZE))
    return errors


def _key_errors(data: Mapping[str, Any], other: Mapping[str, Any], field: str, other_field: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in sorted(data):
        path = f"{field}[{key}]"
        errors += named(key, path, names.is_config_map_key)
        if key in other:
            errors.append(invalid(path, key, f"duplicate of key present in {other_field}"))
    return errors


def decoded_size(binary: Mapping[str, str]) -> int:
    """Bytes of base64 values once decoded."""
    return sum(len(base64.b64decode(value)) for value in binary.values())


def frozen_errors(new: Object, old: Object, *fields: str) -> list[FieldError]:
    """What an update of an immutable object may not change; shared with Secret."""
    if not old.get("immutable"):
        return []
    errors = [] if new.get("immutable") else [forbidden("immutable", FROZEN)]
    return errors + [forbidden(field, FROZEN) for field in fields if (new.get(field) or {}) != (old.get(field) or {})]


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return frozen_errors(new, old, "data", "binaryData") + validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    schema="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    metadata_checks="um",
    short_names=("cm",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Data"), AGE),
    row=row,
)
