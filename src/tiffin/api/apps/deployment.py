"""Deployment: replicas of a pod template, replaced by rolling update or all at once.

The selector never changes. The generation moves with the spec and also with annotations, which are handed down to replica sets.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api import replica_status
from tiffin.api.checks import at_most_hundred_percent, immutable, int_or_percent, int_or_percent_value, not_negative
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import default_template, selected_template_errors, workload_warnings
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE_WITH_SELECTOR, containers_and_images, selector_text
from tiffin.api.strategy import changed, creates_with_status, keep, next_generation, updates_status
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, annotations_of
from tiffin.machinery.table import age, name

_STATUS_COUNTS = (
    "observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "terminatingReplicas",
    "collisionCount",
)


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_template(spec.setdefault("template", {}))


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    if changed(new, old, "spec") or annotations_of(new) != annotations_of(old):
        next_generation(new, old)


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = not_negative(spec.get("replicas"), "spec.replicas")
    errors += selected_template_errors(spec, "spec", "deployment")
    errors += _strategy_errors(spec.get("strategy") or {}, "spec.strategy")
    errors += not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    errors += not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    errors += not_negative(deadline, "spec.progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _strategy_errors(strategy: dict[str, Any], path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        return [] if rolling is None else [forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")]
    if kind != "RollingUpdate":
        return [not_supported(path, {"Type": kind, "RollingUpdate": rolling}, ("Recreate", "RollingUpdate"))]
    if rolling is None:
        return [required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")]
    return _rolling_errors(rolling, f"{path}.rollingUpdate")


def _rolling_errors(rolling: dict[str, Any], path: str) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    if int_or_percent_value(unavailable) == 0 and int_or_percent_value(surge) == 0:
        errors.append(invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return errors + at_most_hundred_percent(unavailable, f"{path}.maxUnavailable")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    selector = (new.get("spec") or {}).get("selector")
    return validate(new, context) + immutable(selector, (old.get("spec") or {}).get("selector"), "spec.selector")


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    status = new.get("status") or {}
    errors = replica_status.counts(status, _STATUS_COUNTS)
    errors += replica_status.within(status, ("updatedReplicas", "readyReplicas", "availableReplicas"))
    errors += replica_status.within(status, ("availableReplicas",), "readyReplicas", "readyReplicas")
    return errors + replica_status.collisions(status, old.get("status") or {})


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [
        name(obj), ready, status.get("updatedReplicas", 0), status.get("availableReplicas", 0), age(obj, now),
        *containers_and_images(spec.get("template")), selector_text(spec.get("selector")),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    schema="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True, prepare=updates_status(kept_metadata=("labels",)), validate=validate_status,
                    resets=(("spec",), ("metadata", "labels"))),
    ),
    default=default,
    prepare_for_create=creates_with_status(),
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=workload_warnings,
    columns=(NAME, Column("Ready"), Column("Up-to-date"), Column("Available"), AGE, *WORKLOAD_WIDE_WITH_SELECTOR),
    row=row,
)
