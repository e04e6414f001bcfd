"""HorizontalPodAutoscaler: the replicas of a workload by its metrics. Stored as autoscaling/v2, served as v1 too (`v1.py`)."""
from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import Any

from tiffin.api.autoscaling import v1
from tiffin.api.autoscaling.hpa_validation import spec_errors
from tiffin.api.kind import Column, Context, Kind, Subresource, Version
from tiffin.api.printing import AGE, NAME, UNSET
from tiffin.api.replica_status import counts
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import NONE, UNKNOWN, age, name

NOTHING_KNOWN: Object = {"desiredReplicas": 0, "currentMetrics": None}
CPU_TARGET = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
_PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
SCALE_UP = {
    "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _PERCENT],
}
SCALE_DOWN = {"selectPolicy": "Max", "policies": [_PERCENT]}
SHOWN_METRICS = 2


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj["status"] = NOTHING_KNOWN | (obj.get("status") or {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [deepcopy(CPU_TARGET)]
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior["scaleUp"] = deepcopy(SCALE_UP) | (behavior.get("scaleUp") or {})
        behavior["scaleDown"] = deepcopy(SCALE_DOWN) | (behavior.get("scaleDown") or {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    return spec_errors(obj.get("spec") or {}, "spec")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return counts(new.get("status") or {}, ("currentReplicas", "desiredReplicas"))


# How a metric of each type is shown: the field that holds it and whether it is named after its resource.
_SHOWN = {
    "External": ("external", False), "Pods": ("pods", False), "Object": ("object", False), "Resource": ("resource", True),
    "ContainerResource": ("containerResource", True),
}


def metric_text(metric: dict[str, Any], status: dict[str, Any]) -> str:
    """`cpu: 12%/80%`: what is measured against what is wanted."""
    field, is_named = _SHOWN.get(metric.get("type", ""), ("", False))
    if not field:
        return "<unknown type>"
    source, current = metric.get(field) or {}, dig(status, field, "current", default={})
    target = source.get("target") or {}
    prefix = f"{source.get('name', '')}: " if is_named else ""
    if target.get("averageValue") is not None:
        average = "" if is_named or field == "pods" else " (avg)"
        return f"{prefix}{current.get('averageValue') or UNKNOWN}/{target['averageValue']}{average}"
    if is_named:
        measured, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        return f"{prefix}{UNKNOWN if measured is None else f'{measured}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{current.get('value') or UNKNOWN}/{target.get('value', '0')}"


def metrics_text(obj: Object) -> str:
    metrics, statuses = dig(obj, "spec", "metrics", default=[]), dig(obj, "status", "currentMetrics", default=[])
    texts = [metric_text(metric, statuses[i] if i < len(statuses) else {}) for i, metric in enumerate(metrics)]
    shown, more = ", ".join(texts[:SHOWN_METRICS]), len(texts) - SHOWN_METRICS
    return (f"{shown} + {more} more..." if more > 0 else shown) or NONE


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    target, low = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    reference = f"{target.get('kind', '')}/{target.get('name', '')}"
    return [
        name(obj), reference, metrics_text(obj), UNSET if low is None else str(low), spec.get("maxReplicas", 0),
        dig(obj, "status", "currentReplicas", default=0), age(obj, now),
    ]


KIND = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    versions=(Version("autoscaling", "v1", v1.SCHEMA, v1.from_v2, v1.to_v2, row=lambda obj, now: row(v1.to_v2(obj), now)),),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status(NOTHING_KNOWN, generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Reference"), Column("Targets"), Column("MinPods"), Column("MaxPods"), Column("Replicas"), AGE),
    row=row,
)
