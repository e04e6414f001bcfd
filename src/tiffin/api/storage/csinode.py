"""CSINode: the volume drivers of a node. A driver that is there changes only in how many volumes it can take."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named, needed, not_negative
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

MAX_ID = 192


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("drivers", None)
    for driver in spec["drivers"] or ():
        driver.setdefault("topologyKeys", None)


def validate(obj: Object, context: Context) -> list[FieldError]:
    drivers = dig(obj, "spec", "drivers", default=[])
    errors: list[FieldError] = []
    for index, driver in enumerate(drivers):
        errors += _driver_errors(driver, f"spec.drivers[{index}]")
        if driver.get("name") and driver["name"] in [d.get("name") for d in drivers[:index]]:
            errors.append(duplicate(f"spec.drivers[{index}].name", driver["name"]))
    return errors


def _driver_errors(driver: dict[str, Any], path: str) -> list[FieldError]:
    called, node, keys = driver.get("name") or "", driver.get("nodeID") or "", driver.get("topologyKeys") or []
    errors = needed(called, f"{path}.name")
    if called:
        errors += named(called.lower(), f"{path}.name", names.is_dns1123_subdomain)
    errors += needed(node, f"{path}.nodeID")
    if len(node) > MAX_ID:
        errors.append(invalid(f"{path}.nodeID", node, f"must be {MAX_ID} characters or less"))
    errors += not_negative(dig(driver, "allocatable", "count"), f"{path}.allocatable.count")
    for index, key in enumerate(keys):
        errors += named(key, path, names.is_qualified_name)
        if key in keys[:index]:
            errors.append(duplicate(path, key))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = validate(new, context)
    before = {driver.get("name"): driver for driver in dig(old, "spec", "drivers", default=[])}
    for driver in dig(new, "spec", "drivers", default=[]):
        known = before.get(driver.get("name"))
        if known is not None and {**driver, "allocatable": None} != {**known, "allocatable": None}:
            errors.append(invalid("CSINode", _shown(driver), "field is immutable"))
    return errors


def _shown(driver: dict[str, Any]) -> dict[str, Any]:
    count = dig(driver, "allocatable", "count")
    return {
        "Name": driver.get("name", ""), "NodeID": driver.get("nodeID", ""), "TopologyKeys": driver.get("topologyKeys"),
        "Allocatable": None if driver.get("allocatable") is None else {"Count": count},
    }


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), len(dig(obj, "spec", "drivers", default=[])), age(obj, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    schema="io.k8s.api.storage.v1.CSINode",
    singular="csinode",
    returns_deleted=True,
    namespaced=False,
    unconditional_update=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Drivers", "integer"), AGE),
    row=row,
)
