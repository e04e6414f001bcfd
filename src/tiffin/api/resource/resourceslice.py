"""ResourceSlice: devices a driver offers, on one node, some nodes or all. Driver, node and pool name never change."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, named, needed
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery import names
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = named(spec.get("driver"), "spec.driver", names.is_dns1123_subdomain)
    errors += needed(dig(spec, "pool", "name"), "spec.pool.name")
    if spec.get("nodeName"):
        errors += named(spec["nodeName"], "spec.nodeName", names.is_dns1123_subdomain)
    for index, device in enumerate(spec.get("devices") or ()):
        errors += named(device.get("name"), f"spec.devices[{index}].name", names.is_dns1123_label)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context)
    for path in (("pool", "name"), ("driver",), ("nodeName",)):
        errors += immutable(dig(new, "spec", *path), dig(old, "spec", *path), f"spec.{'.'.join(path)}")
    return errors


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), spec.get("nodeName") or "<unset>", spec.get("driver", ""), dig(spec, "pool", "name", default=""), age(obj, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    schema="io.k8s.api.resource.v1.ResourceSlice",
    singular="resourceslice",
    returns_deleted=True,
    namespaced=False,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Node"), Column("Driver"), Column("Pool"), AGE),
    row=row,
    field_selectors={
        "spec.driver": lambda obj: dig(obj, "spec", "driver", default=""),
        "spec.nodeName": lambda obj: dig(obj, "spec", "nodeName", default=""),
    },
)
