"""autoscaling/v1 HorizontalPodAutoscaler: one CPU percentage, the rest of autoscaling/v2 in annotations.

What v1 cannot say travels in four annotations of JSON text: metrics, current metrics and conditions with the field names of
the retired v2beta1 (`targetAverageValue`, `metricName`), behaviour with the field names of Go structs. They exist only in
the v1 form; in v2 they are dropped, and read back when an object is written through v1. The first CPU utilisation metric of
v2 is `targetCPUUtilizationPercentage` of v1 and comes last among the metrics when it is written through v1.

Source: recorded answers of the reference server and the field names of the published v1, v2 and v2beta1 API.
"""
from __future__ import annotations

import json
from typing import Any

from tiffin.machinery.object import Object

API_VERSION = "autoscaling/v1"
SCHEMA = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, CONDITIONS, BEHAVIOR = (_PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior"))
_ANNOTATIONS = (METRICS, CURRENT, CONDITIONS, BEHAVIOR)

_SOURCES = {"Resource": "resource", "Pods": "pods", "Object": "object", "External": "external", "ContainerResource": "containerResource"}


def from_v2(obj: Object) -> Object:
    """The v1 form of a v2 object."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    notes: dict[str, str] = {}
    metrics, cpu = _split_cpu(spec.pop("metrics", None) or [])
    current = status.pop("currentMetrics", None) or []
    if metrics:
        notes[METRICS] = _compact([old_metric(m, OLD_TARGETS) for m in metrics])
    if current:
        notes[CURRENT] = _compact([old_metric(m, OLD_CURRENT) for m in current])
    if conditions := status.pop("conditions", None):
        notes[CONDITIONS] = _compact([_ordered(condition, _CONDITION) for condition in conditions])
    if behavior := spec.pop("behavior", None):
        notes[BEHAVIOR] = behavior_text(behavior)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    for metric in current:
        source = metric.get("resource") or {}
        if metric.get("type") == "Resource" and source.get("name") == "cpu" and "averageUtilization" in (source.get("current") or {}):
            status["currentCPUUtilizationPercentage"] = source["current"]["averageUtilization"]
    return _with_annotations(obj, notes) | {"apiVersion": API_VERSION, "spec": spec, "status": status}


def to_v2(obj: Object) -> Object:
    """The v2 form of a v1 object; an annotation that is not valid JSON of its kind is dropped."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    metrics = [new_metric(m, OLD_TARGETS, "target") for m in _parsed(notes.get(METRICS), list)]
    cpu = spec.pop("targetCPUUtilizationPercentage", None)
    if cpu is not None:
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": cpu}}})
    if metrics:
        spec["metrics"] = metrics
    if behavior := behavior_of(notes.get(BEHAVIOR)):
        spec["behavior"] = behavior
    current = [new_metric(m, OLD_CURRENT, "current") for m in _parsed(notes.get(CURRENT), list)]
    cpu_now = status.pop("currentCPUUtilizationPercentage", None)
    if cpu_now is not None and not current:
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu_now}}}]
    status["currentMetrics"] = current or None
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    if conditions := _parsed(notes.get(CONDITIONS), list):
        status["conditions"] = conditions
    return _with_annotations(obj, {}) | {"apiVersion": "autoscaling/v2", "spec": spec, "status": status}


def _split_cpu(metrics: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int | None]:
    """The metrics without the CPU utilisation target that v1 has a field for, and that target; the last such metric wins."""
    rest, cpu = [], None
    for metric in metrics:
        source = metric.get("resource") or {}
        target = (source.get("target") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and source.get("name") == "cpu" and target is not None:
            cpu = target
        else:
            rest.append(metric)
    return rest, cpu


def _with_annotations(obj: Object, notes: dict[str, str]) -> Object:
    metadata = dict(obj.get("metadata") or {})
    kept = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k not in _ANNOTATIONS} | notes
    if kept:
        metadata["annotations"] = kept
    return obj | {"metadata": metadata}


def behavior_text(behavior: dict[str, Any]) -> str:
    """A behaviour as its annotation has it."""
    return _compact(_go_behavior(behavior))


def behavior_of(text: str | None) -> dict[str, Any]:
    """The behaviour that an annotation tells; empty where it is none."""
    return _behavior_from_go(_parsed(text, dict))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parsed(text: str | None, shape: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """JSON text of the wanted shape, or an empty value of it: annotations are written by anyone."""
    try:
        value = json.loads(text) if text else shape()
    except ValueError:
        return shape()
    if not isinstance(value, shape) or (isinstance(value, list) and not all(isinstance(item, dict) for item in value)):
        return shape()
    return value


# How one source is spelt: old field name -> where its value stands in v2, with "*" for `target` or `current`. Order is that of
# the old structs, which the annotation's text shows.
_Fields = tuple[tuple[str, tuple[str, ...]], ...]
OLD_TARGETS: dict[str, _Fields] = {
    "Resource": (("name", ("name",)), ("targetAverageUtilization", ("*", "averageUtilization")), ("targetAverageValue", ("*", "averageValue"))),
    "Pods": (("metricName", ("metric", "name")), ("targetAverageValue", ("*", "averageValue")), ("selector", ("metric", "selector"))),
    "Object": (
        ("target", ("describedObject",)), ("metricName", ("metric", "name")), ("targetValue", ("*", "value")),
        ("selector", ("metric", "selector")), ("averageValue", ("*", "averageValue")),
    ),
    "External": (
        ("metricName", ("metric", "name")), ("metricSelector", ("metric", "selector")), ("targetValue", ("*", "value")),
        ("targetAverageValue", ("*", "averageValue")),
    ),
    "ContainerResource": (
        ("name", ("name",)), ("targetAverageUtilization", ("*", "averageUtilization")), ("targetAverageValue", ("*", "averageValue")),
        ("container", ("container",)),
    ),
}
OLD_CURRENT: dict[str, _Fields] = {
    kind: tuple(("target" if old == "target" else old.replace("target", "current"), path) for old, path in fields)
    for kind, fields in OLD_TARGETS.items()
}


_CONDITION = ("type", "status", "lastTransitionTime", "reason", "message")
_REFERENCE = ("kind", "name", "apiVersion")


def _ordered(value: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields in the order of the old struct, which the annotation's text shows."""
    return {field: value[field] for field in fields if field in value}


def old_metric(metric: dict[str, Any], table: dict[str, _Fields]) -> dict[str, Any]:
    """A metric of v2 with the field names of v2beta1; `table` is OLD_TARGETS for a wanted one, OLD_CURRENT for a measured one."""
    kind = metric.get("type", "")
    source = metric.get(_SOURCES.get(kind, ""))
    if not source:
        return {"type": kind}
    measured = source.get("target") or source.get("current") or {}
    old = {}
    for name, path in table[kind]:
        value: Any = measured if path[0] == "*" else source
        for step in path[1:] if path[0] == "*" else path:
            value = (value or {}).get(step)
        if value is not None:
            old[name] = _ordered(value, _REFERENCE) if path == ("describedObject",) else value
    return {"type": kind, _SOURCES[kind]: old}


def new_metric(metric: dict[str, Any], table: dict[str, _Fields], measured_name: str) -> dict[str, Any]:
    """The way back; `measured_name` is "target" or "current", where v2 has the value."""
    kind = metric.get("type", "")
    old = metric.get(_SOURCES.get(kind, ""))
    if not isinstance(old, dict):
        return {"type": kind}
    new: dict[str, Any] = {}
    for name, path in table[kind]:
        if name in old and old[name] is not None:
            place = new
            full = (measured_name, *path[1:]) if path[0] == "*" else path
            for step in full[:-1]:
                place = place.setdefault(step, {})
            place[full[-1]] = old[name]
    if measured_name == "target":
        target = new.get("target") or {}
        kind_of_target = next((t for f, t in _TARGET_TYPES if f in target), "")
        new["target"] = {"type": kind_of_target} | target
    return {"type": kind, _SOURCES[kind]: new}


_TARGET_TYPES = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value"))

_GO_RULES = (
    ("StabilizationWindowSeconds", "stabilizationWindowSeconds"), ("SelectPolicy", "selectPolicy"), ("Policies", "policies"),
    ("Tolerance", "tolerance"),
)
_GO_POLICY = (("Type", "type"), ("Value", "value"), ("PeriodSeconds", "periodSeconds"))


def _go_behavior(behavior: dict[str, Any]) -> dict[str, Any]:
    return {"ScaleUp": _go_rules(behavior.get("scaleUp")), "ScaleDown": _go_rules(behavior.get("scaleDown"))}


def _go_rules(rules: dict[str, Any] | None) -> dict[str, Any] | None:
    if rules is None:
        return None
    go = {name: rules.get(field) for name, field in _GO_RULES}
    if go["Policies"] is not None:
        go["Policies"] = [{name: policy.get(field) for name, field in _GO_POLICY} for policy in go["Policies"]]
    return go


def _behavior_from_go(go: dict[str, Any]) -> dict[str, Any]:
    known = {"scaleUp": _rules_from_go(_field(go, "ScaleUp")), "scaleDown": _rules_from_go(_field(go, "ScaleDown"))}
    return {name: rules for name, rules in known.items() if rules is not None}


def _rules_from_go(go: Any) -> dict[str, Any] | None:
    if not isinstance(go, dict):
        return None
    rules = {field: value for name, field in _GO_RULES if (value := _field(go, name)) is not None}
    if isinstance(rules.get("policies"), list):
        rules["policies"] = [
            {field: _field(policy, name) for name, field in _GO_POLICY} for policy in rules["policies"] if isinstance(policy, dict)
        ]
    return rules


def _field(go: dict[str, Any], name: str) -> Any:
    """A field as Go's decoder finds it: the exact name first, then any spelling of its letters."""
    if name in go:
        return go[name]
    return next((value for key, value in go.items() if key.lower() == name.lower()), None)


