"""StorageClass: how volumes are made. All but expansion and mount options is fixed."""
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named, needed, one_of
from tiffin.api.core.podspec.nodelabels import DEPRECATED
from tiffin.api.defaultclass import STORAGE, is_default
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required, too_long
from tiffin.machinery.object import Object
from tiffin.machinery.table import age, name

_FIXED = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
MAX_PARAMETERS, MAX_PARAMETER_BYTES = 512, 256 * 1024


def default(obj: Object) -> None:
    for field, usual in (("reclaimPolicy", "Delete"), ("volumeBindingMode", "Immediate")):
        if obj.get(field) is None:
            obj[field] = usual


def validate(obj: Object, context: Context) -> list[FieldError]:
    provisioner = obj.get("provisioner")
    errors = named(provisioner.lower(), "provisioner", names.is_qualified_name) if provisioner else [required("provisioner")]
    errors += parameter_errors(obj.get("parameters"), "parameters", needed_=False)
    errors += one_of(obj["reclaimPolicy"], "reclaimPolicy", ("Delete", "Retain")) if obj.get("reclaimPolicy") else []
    errors += one_of(obj.get("volumeBindingMode"), "volumeBindingMode", ("Immediate", "WaitForFirstConsumer"))
    return errors + _topologies_errors(obj.get("allowedTopologies") or [])


def _topologies_errors(terms: list[dict[str, Any]]) -> list[FieldError]:
    """Terms, keys and values each come once; an empty term counts as one that was there before, as many times as there are terms."""
    errors: list[FieldError] = []
    seen: list[dict[str, set[str]]] = [{} for _ in terms]
    for index, term in enumerate(terms):
        path, wanted = f"allowedTopologies[{index}].matchLabelExpressions", dict[str, set[str]]()
        for at, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key = expression.get("key") or ""
            errors += _topology_errors(expression, f"{path}[{at}]")
            if key in wanted:
                errors.append(duplicate(f"{path}[{at}].key", key))
            wanted[key] = set(expression.get("values") or ())
        errors += [duplicate(path, "") for known in seen if known == wanted]
        seen.append(wanted)
    return errors


def parameter_errors(parameters: Mapping[str, str] | None, path: str, *, needed_: bool) -> list[FieldError]:
    """Parameters for a driver: not too many, no empty keys; for attribute classes at least one."""
    parameters = parameters or {}
    if needed_ and not parameters:
        return [required(path, "must contain at least one key/value pair")]
    errors: list[FieldError] = []
    if len(parameters) > MAX_PARAMETERS:
        return [too_long(path, MAX_PARAMETERS)]
    errors += [invalid(path, key, "field can not be empty.") for key in parameters if not key]
    if sum(len(k.encode()) + len(v.encode()) for k, v in parameters.items()) > MAX_PARAMETER_BYTES:
        errors.append(too_long(path, MAX_PARAMETER_BYTES))
    return errors


def _topology_errors(expression: dict[str, Any], path: str) -> list[FieldError]:
    values = expression.get("values") or []
    errors = needed(values, f"{path}.values")
    errors += [duplicate(f"{path}.values[{i}]", value) for i, value in enumerate(values) if value in values[:i]]
    return errors + named(expression.get("key"), f"{path}.key", names.is_qualified_name)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context)
    for field in _FIXED:
        errors += immutable(new.get(field), old.get(field), field)
    return errors


def warnings(new: Object, old: Object | None) -> list[str]:
    found = []
    for index, term in enumerate(new.get("allowedTopologies") or ()):
        for at, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key = expression.get("key")
            if key in DEPRECATED:
                found.append(f"allowedTopologies[{index}].matchLabelExpressions[{at}].key: {key} is {DEPRECATED[key]}")
    return found


def row(obj: Object, now: datetime) -> list[Any]:
    called = name(obj)
    if is_default(obj, STORAGE):
        called += " (default)"
    fields = [obj.get("provisioner", ""), obj.get("reclaimPolicy", ""), obj.get("volumeBindingMode", ""), obj.get("allowVolumeExpansion", False)]
    return [called, *fields, age(obj, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    schema="io.k8s.api.storage.v1.StorageClass",
    singular="storageclass",
    metadata_checks="mu",
    returns_deleted=True,
    namespaced=False,
    short_names=("sc",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Provisioner"), Column("ReclaimPolicy"), Column("VolumeBindingMode"), Column("AllowVolumeExpansion"), AGE,
    ),
    row=row,
)
