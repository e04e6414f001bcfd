"""CSINode: the volume drivers of a node. A driver that is there changes only in how many volumes it can take."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named, needed, not_negative
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.resource.identifiers import driver_errors
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

MAX_ID = 256


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("drivers", None)
    for driver in spec["drivers"] or ():
        driver.setdefault("topologyKeys", None)


def validate(obj: Object, context: Context) -> list[FieldError]:
    drivers = dig(obj, "spec", "drivers", default=[])
    called = [driver.get("name") or "" for driver in drivers]
    return [
        error for index, driver in enumerate(drivers)
        for error in _driver_errors(driver, f"spec.drivers[{index}]", called[index] in called[:index])
    ]


def _driver_errors(driver: dict[str, Any], path: str, again: bool) -> list[FieldError]:
    """`again` says that a driver before has the same name."""
    node, keys = driver.get("nodeID") or "", driver.get("topologyKeys") or []
    errors = driver_errors(driver.get("name"), f"{path}.name") + needed(node, f"{path}.nodeID")
    if len(node.encode()) > MAX_ID:
        errors.append(invalid(f"{path}.nodeID", node, f"must be {MAX_ID} characters or less"))
    errors += not_negative(dig(driver, "allocatable", "count"), f"{path}.allocatable.count")
    if again:
        errors.append(duplicate(f"{path}.name", driver.get("name") or ""))
    for index, key in enumerate(keys):
        errors += needed(key, path)
        if key in keys[:index]:
            errors.append(duplicate(path, key))
        errors += named(key, path, names.is_qualified_name)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Kubernetes looks at the drivers of an update twice."""
    errors = validate(new, context) * 2
    before = {driver.get("name"): driver for driver in dig(old, "spec", "drivers", default=[])}
    for driver in dig(new, "spec", "drivers", default=[]):
        known = before.get(driver.get("name"))
        if known is not None and {**driver, "allocatable": None} != {**known, "allocatable": None}:
            errors.append(invalid("CSINodeDriver", _shown(driver), "field is immutable"))
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
    metadata_checks="mm",
    returns_deleted=True,
    namespaced=False,
    unconditional_update=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Drivers", "integer"), AGE),
    row=row,
)
