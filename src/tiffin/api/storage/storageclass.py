"""StorageClass: how volumes are made. All but expansion and mount options is fixed."""
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named, needed, one_of
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, required, too_long
from tiffin.machinery.object import Object, annotations_of
from tiffin.machinery.table import age, name

DEFAULT_ANNOTATIONS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_FIXED = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
MAX_PARAMETERS, MAX_PARAMETER_BYTES = 512, 256 * 1024


def default(obj: Object) -> None:
    obj["reclaimPolicy"] = obj.get("reclaimPolicy") or "Delete"
    obj["volumeBindingMode"] = obj.get("volumeBindingMode") or "Immediate"


def validate(obj: Object, context: Context) -> list[FieldError]:
    provisioner = obj.get("provisioner")
    errors = named(provisioner.lower(), "provisioner", names.is_qualified_name) if provisioner else [required("provisioner")]
    errors += parameter_errors(obj.get("parameters"), "parameters", needed_=False)
    errors += one_of(obj.get("reclaimPolicy"), "reclaimPolicy", ("Delete", "Retain"))
    mode = obj.get("volumeBindingMode")
    errors += needed(mode, "volumeBindingMode") or one_of(mode, "volumeBindingMode", ("Immediate", "WaitForFirstConsumer"))
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        for at, expression in enumerate(term.get("matchLabelExpressions") or ()):
            errors += _topology_errors(expression, f"allowedTopologies[{index}].matchLabelExpressions[{at}]")
    return errors


def parameter_errors(parameters: Mapping[str, str] | None, path: str, *, needed_: bool) -> list[FieldError]:
    """Parameters for a driver: not too many, no empty keys; for attribute classes at least one."""
    parameters = parameters or {}
    if needed_ and not parameters:
        return [required(path, "must contain at least one key/value pair")]
    errors: list[FieldError] = []
    if len(parameters) > MAX_PARAMETERS:
        errors.append(too_long(path, MAX_PARAMETERS))
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
    errors: list[FieldError] = []
    for field in _FIXED:
        errors += immutable(new.get(field), old.get(field), field)
    if (new.get("allowedTopologies") or []) != (old.get("allowedTopologies") or []):
        errors.append(forbidden("allowedTopologies", "updates to allowedTopologies are forbidden."))
    return errors


def row(obj: Object, now: datetime) -> list[Any]:
    called = name(obj)
    if any(annotations_of(obj).get(annotation) == "true" for annotation in DEFAULT_ANNOTATIONS):
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
    returns_deleted=True,
    namespaced=False,
    short_names=("sc",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME, Column("Provisioner"), Column("ReclaimPolicy"), Column("VolumeBindingMode"), Column("AllowVolumeExpansion"), AGE,
    ),
    row=row,
)
