"""PriorityClass: a name for a priority. Value and preemption policy are fixed; names in `system-` are the system's own."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, needed, one_of
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation
from tiffin.machinery.field import FieldError, forbidden
from tiffin.machinery.object import Object, name_of
from tiffin.machinery.table import age, name

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
POLICIES = ("PreemptLowerPriority", "Never")


def default(obj: Object) -> None:
    obj.setdefault("value", 0)
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def validate(obj: Object, context: Context) -> list[FieldError]:
    called, value = name_of(obj), obj.get("value") or 0
    errors: list[FieldError] = []
    if called.startswith("system-"):
        fault = _system_fault(called, value, bool(obj.get("globalDefault")))
        if fault:
            detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {fault}"
            errors.append(forbidden("metadata.name", detail))
    elif value > HIGHEST_USER_PRIORITY:
        errors.append(forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"))
    policy = obj.get("preemptionPolicy")
    return errors + (needed(policy, "preemptionPolicy") or one_of(policy, "preemptionPolicy", POLICIES))


def _system_fault(called: str, value: int, is_default: bool) -> str:
    """What keeps a class from being one of the system's; empty when nothing does."""
    if called not in SYSTEM_CLASSES:
        return f"{called} is not a known system priority class"
    if SYSTEM_CLASSES[called] != value:
        return f"value of {called} PriorityClass must be {SYSTEM_CLASSES[called]}"
    return f"globalDefault of {called} PriorityClass must be false" if is_default else ""


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors = []
    if new.get("value", 0) != old.get("value", 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    return errors + immutable(new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("value", 0), obj.get("globalDefault", False), age(obj, now), obj.get("preemptionPolicy", "")]


KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    schema="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    namespaced=False,
    short_names=("pc",),
    default=default,
    prepare_for_create=start_generation,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    row=row,
)
