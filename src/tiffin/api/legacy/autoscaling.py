"""autoscaling/v2beta1 (1.8 to 1.24) and autoscaling/v2beta2 (1.12 to 1.25).

v2beta2 is v2 under another name. v2beta1 has the targets of its metrics as fields of each source (`targetAverageUtilization`) and no
behaviour; that travels in the annotation in which autoscaling/v1 keeps it.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.autoscaling import v1
from tiffin.api.legacy.definitions import Fields, Package
from tiffin.api.legacy.retired import Retired, annotated, changed, every
from tiffin.machinery.object import Object, annotations_of

_SELECTOR = "*@io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"
_TARGETS: dict[str, Fields] = {
    "ResourceMetricSource": {"target": None, "targetAverageUtilization": "*i", "targetAverageValue": "*q"},
    "ResourceMetricStatus": {"current": None, "currentAverageUtilization": "*i", "currentAverageValue": "!q"},
    "ContainerResourceMetricSource": {"target": None, "targetAverageUtilization": "*i", "targetAverageValue": "*q"},
    "ContainerResourceMetricStatus": {"current": None, "currentAverageUtilization": "*i", "currentAverageValue": "!q"},
    "PodsMetricSource": {"metric": None, "target": None, "metricName": "+!s", "targetAverageValue": "+!q", "selector": _SELECTOR},
    "PodsMetricStatus": {"metric": None, "current": None, "metricName": "+!s", "currentAverageValue": "+!q", "selector": _SELECTOR},
    "ObjectMetricSource": {
        "describedObject": None, "metric": None, "target": "+!@.CrossVersionObjectReference", "metricName": "+!s", "targetValue": "+!q",
        "selector": _SELECTOR, "averageValue": "*q"},
    "ObjectMetricStatus": {
        "describedObject": None, "metric": None, "current": None, "target": "+!@.CrossVersionObjectReference", "metricName": "+!s",
        "currentValue": "+!q", "selector": _SELECTOR, "averageValue": "*q"},
    "ExternalMetricSource": {
        "metric": None, "target": None, "metricName": "+!s", "metricSelector": _SELECTOR, "targetValue": "*q", "targetAverageValue": "*q"},
    "ExternalMetricStatus": {
        "metric": None, "current": None, "metricName": "+!s", "metricSelector": _SELECTOR, "currentValue": "!q", "currentAverageValue": "*q"},
    "HorizontalPodAutoscalerSpec": {"behavior": None},
}
_WORDS = {
    "targetAverageUtilization": "The usage that is aimed at, as a percentage of what pods request, on average.",
    "targetAverageValue": "The value that is aimed at, on average over all pods.", "targetValue": "The value that is aimed at.",
    "currentAverageUtilization": "The usage at present, as a percentage of what pods request, on average.",
    "currentAverageValue": "The value at present, on average over all pods.", "currentValue": "The value at present.",
    "averageValue": "The value on average over all pods.", "metricName": "The name of the metric.", "selector": "Selects among metrics of the name.",
    "metricSelector": "Selects among metrics of the name.", "target": "The object that the metric is about.",
}
_TEXTS = {name: {field: _WORDS[field] for field, spec in fields.items() if spec is not None} for name, fields in _TARGETS.items()}
_V2BETA1 = Package("autoscaling.v2beta1", "autoscaling", "v2beta1", "autoscaling.v2", ("HorizontalPodAutoscaler",), _TARGETS, texts=_TEXTS)
_V2BETA2 = Package("autoscaling.v2beta2", "autoscaling", "v2beta2", "autoscaling.v2", ("HorizontalPodAutoscaler",))


def _each_metric(obj: Object, targets: Any, current: Any) -> Object:
    obj = changed(obj, ("spec", "metrics"), every(targets))
    return changed(obj, ("status", "currentMetrics"), every(current))


def _from_v2(obj: Object) -> Object:
    obj = _each_metric(obj, lambda m: v1.old_metric(m, v1.OLD_TARGETS), lambda m: v1.old_metric(m, v1.OLD_CURRENT))
    obj = changed(obj, ("status",), lambda status: {"currentReplicas": 0, **status})
    spec = obj.get("spec") or {}
    if "behavior" not in spec:
        return obj
    rest = {**obj, "spec": {key: value for key, value in spec.items() if key != "behavior"}}
    return annotated(rest, v1.BEHAVIOR, v1.behavior_text(spec["behavior"])) if spec["behavior"] else rest


def _to_v2(obj: Object) -> Object:
    obj = _each_metric(obj, lambda m: v1.new_metric(m, v1.OLD_TARGETS, "target"), lambda m: v1.new_metric(m, v1.OLD_CURRENT, "current"))
    obj = changed(obj, ("status",), lambda status: {key: value for key, value in status.items() if key != "currentReplicas" or value})
    text = annotations_of(obj).get(v1.BEHAVIOR)
    if text is None:
        return obj
    rest = annotated(obj, v1.BEHAVIOR, None)
    behavior = v1.behavior_of(text)
    return {**rest, "spec": {**(rest.get("spec") or {}), "behavior": behavior}} if behavior else rest


PACKAGES = (_V2BETA1, _V2BETA2)
VERSIONS = (
    Retired("horizontalpodautoscalers.autoscaling", _V2BETA1, "1.22", "1.25", from_stored=_from_v2, to_stored=_to_v2),
    Retired("horizontalpodautoscalers.autoscaling", _V2BETA2, "1.23", "1.26"),
)
