"""VolumeAttributesClass: parameters of volumes that can be changed later, by changing the class. The class itself never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.storage.storageclass import parameter_errors
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, required
from tiffin.machinery.object import Object
from tiffin.machinery.table import age, name


def validate(obj: Object, context: Context) -> list[FieldError]:
    driver = obj.get("driverName")
    errors = named(driver.lower(), "driverName", names.is_qualified_name) if driver else [required("driverName")]
    return errors + parameter_errors(obj.get("parameters"), "parameters", needed_=True)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context) + immutable(new.get("driverName"), old.get("driverName"), "driverName")
    return errors + immutable(new.get("parameters"), old.get("parameters"), "parameters")


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("driverName", ""), age(obj, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    schema="io.k8s.api.storage.v1.VolumeAttributesClass",
    singular="volumeattributesclass",
    metadata_checks="mu",
    returns_deleted=True,
    namespaced=False,
    short_names=("vac",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("DriverName"), AGE),
    row=row,
)
