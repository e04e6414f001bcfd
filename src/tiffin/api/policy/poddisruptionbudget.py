"""PodDisruptionBudget: how many pods of a selection must stay, or may go, when pods are evicted.

Names are path segments, not DNS names. Every update names the version it saw; the status is written by the disruption controller.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api import replica_status
from tiffin.api.checks import at_most_hundred_percent, int_or_percent, one_of
from tiffin.api.conditions import condition_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, name
from tiffin.machinery.validation import path_segment_name

COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
NO_COUNTS = dict.fromkeys(COUNTS, 0)
_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def default(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj["status"] = NO_COUNTS | (obj.get("status") or {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    low, high, policy = spec.get("minAvailable"), spec.get("maxUnavailable"), spec.get("unhealthyPodEvictionPolicy")
    errors: list[FieldError] = []
    if low is not None and high is not None:
        shown = {"MinAvailable": low, "Selector": spec.get("selector"), "MaxUnavailable": high, "UnhealthyPodEvictionPolicy": policy}
        errors.append(invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field, value in (("minAvailable", low), ("maxUnavailable", high)):
        if value is not None:
            errors += int_or_percent(value, f"spec.{field}") + at_most_hundred_percent(value, f"spec.{field}")
    errors += validate_label_selector(spec.get("selector"), "spec.selector")
    if policy is not None:
        errors += one_of(policy, "spec.unhealthyPodEvictionPolicy", _EVICTION_POLICIES)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    status = new.get("status") or {}
    return condition_errors(status.get("conditions"), "status.conditions") + replica_status.counts(status, COUNTS)


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    bounds = [str(spec[field]) if spec.get(field) is not None else "N/A" for field in ("minAvailable", "maxUnavailable")]
    return [name(obj), *bounds, status.get("disruptionsAllowed", 0), age(obj, now)]


KIND = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    schema="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    any_finalizers=True,
    metadata_checks="",
    short_names=("pdb",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    unconditional_update=False,
    default=default,
    prepare_for_create=creates_with_status(NO_COUNTS),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=(NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
    row=row,
)
