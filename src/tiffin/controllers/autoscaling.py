"""What an autoscaler scales, and why a metric is not to be had: the facts behind `horizontalpodautoscaler.py`.

Source: Kubernetes' horizontal pod autoscaler and its metrics clients, as documented and observed.
"""
from __future__ import annotations

from typing import Any, NamedTuple

from tiffin.controllers import catalog
from tiffin.controllers import resources as r
from tiffin.controllers.rollout import wanted
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of
from tiffin.machinery.selectors import Selector, SelectorError, from_label_map, from_label_selector, parse_label_selector
from tiffin.runtime.controller import View

BUILTIN = (r.DEPLOYMENTS, r.REPLICA_SETS, r.STATEFUL_SETS, r.REPLICATION_CONTROLLERS)
_NOT_FOUND = "the server could not find the requested resource"
_NO_CUSTOM = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"


class NoScale(Exception):
    """The target has no scale, or is not there; in the words of the API."""


class Target(NamedTuple):
    """What is scaled: its present size, and which pods are its own."""

    resource: Resource
    name: str
    replicas: int
    selector: Selector
    selector_text: str


class Unmeasured(NamedTuple):
    """Why a metric has no value: the reason, the error itself, and what becomes of it further out."""

    reason: str
    message: str
    outcome: str


def holding_of(hpa: Object, view: View) -> catalog.Holding | None:
    """The resource of the kind that an autoscaler names."""
    reference = hpa["spec"]["scaleTargetRef"]
    return catalog.of_reference(reference.get("apiVersion", "").rpartition("/")[0], reference["kind"], view)


def target_of(hpa: Object, view: View) -> Target:
    """The scale of an autoscaler's target. Raises NoScale."""
    reference = hpa["spec"]["scaleTargetRef"]
    group = reference.get("apiVersion", "").rpartition("/")[0]
    holding = holding_of(hpa, view)
    if holding is None:
        raise NoScale(f'no matches for kind "{reference["kind"]}" in group "{group}"')
    paths = None if holding.resource in BUILTIN else scale_paths(holding, view)
    if holding.resource not in BUILTIN and paths is None:
        raise NoScale(_NOT_FOUND)
    obj = view.get(holding.resource, namespace_of(hpa), reference["name"])
    if obj is None:
        raise NoScale(f'{holding.resource.group_resource} "{reference["name"]}" not found')
    return _of_custom(holding.resource, obj, paths) if paths else _of_builtin(holding.resource, obj)


def selector_of(hpa: Object, view: View) -> Selector | None:
    """Which pods an autoscaler's target has; None where that is not known."""
    try:
        target = target_of(hpa, view)
    except NoScale:
        return None
    return target.selector if target.selector_text else None


def _of_builtin(resource: Resource, obj: Object) -> Target:
    given = dig(obj, "spec", "selector", default={})
    selector = from_label_map(given) if resource == r.REPLICATION_CONTROLLERS else from_label_selector(given)
    return Target(resource, name_of(obj), wanted(obj), selector, str(selector))


def _of_custom(resource: Resource, obj: Object, paths: Object) -> Target:
    text = _at(obj, paths.get("labelSelectorPath", "")) or ""
    try:
        selector = parse_label_selector(text)
    except SelectorError:
        raise NoScale(f"couldn't convert selector into a corresponding internal selector object: {text}") from None
    return Target(resource, name_of(obj), replicas_at(obj, paths), selector, text)


def replicas_at(obj: Object, paths: Object) -> int:
    """How many replicas a custom resource wants."""
    return _at(obj, paths["specReplicasPath"]) or 0


def _at(obj: Object, path: str) -> Any:
    return dig(obj, *path.strip(".").split(".")) if path else None


def scale_paths(holding: catalog.Holding, view: View) -> Object | None:
    """Where a custom resource keeps its scale; None where it has none."""
    definition = view.get(r.CUSTOM_RESOURCE_DEFINITIONS, "", f"{holding.resource.plural}.{holding.resource.group}")
    versions = dig(definition, "spec", "versions", default=()) if definition else ()
    return next((dig(v, "subresources", "scale") for v in versions if v["name"] == holding.resource.version), None)


def unmeasured(metric: Object, namespace: str) -> Unmeasured:
    """What is said of a metric where no API of metrics is served."""
    match metric["type"]:
        case "Resource":
            return _of_resource(metric["resource"], "FailedGetResourceMetric", f"{metric['resource']['name']} resource")
        case "ContainerResource":
            source = metric["containerResource"]
            return _of_resource(source, "FailedGetContainerResourceMetric", f"{source['container']} container")
        case "Pods":
            message = f"unable to get metric {metric['pods']['metric']['name']}: {_NO_CUSTOM}"
            return Unmeasured("FailedGetPodsMetric", message, f"failed to get pods metric value: {message}")
        case "Object":
            return _of_object(metric["object"], namespace)
        case _:
            return _of_external(metric["external"], namespace)


def _of_resource(source: Object, reason: str, named: str) -> Unmeasured:
    what = "usage" if dig(source, "target", "averageValue") is not None else "utilization"
    fetched = f"unable to fetch metrics from resource metrics API: {_NOT_FOUND} (get pods.metrics.k8s.io)"
    message = f"failed to get {source['name']} {what}: unable to get metrics for resource {source['name']}: {fetched}"
    return Unmeasured(reason, message, f"failed to get {named} metric value: {message}")


def _of_object(source: Object, namespace: str) -> Unmeasured:
    name, described = source["metric"]["name"], source["describedObject"]
    message = f"unable to get metric {name}: {described['kind']} on {namespace} {described['name']}/{_NO_CUSTOM}"
    outcome = message if dig(source, "target", "averageValue") is None else f"failed to get {name} object metric: {message}"
    return Unmeasured("FailedGetObjectMetric", message, f"failed to get object metric value: {outcome}")


def _of_external(source: Object, namespace: str) -> Unmeasured:
    name = source["metric"]["name"]
    fetched = f"unable to fetch metrics from external metrics API: {_NOT_FOUND} (get {name}.external.metrics.k8s.io)"
    message = f"unable to get external metric {namespace}/{name}/{_printed(source['metric'].get('selector'))}: {fetched}"
    average = dig(source, "target", "averageValue") is not None
    outcome = f"failed to get {name} external metric: {message}" if average else f"failed to get external metric {name}: {message}"
    return Unmeasured("FailedGetExternalMetric", message, f"failed to get {name} external metric value: {outcome}")


def _printed(selector: Object | None) -> str:
    """A label selector as Go prints one."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    rules = "".join(
        f"LabelSelectorRequirement{{Key:{e['key']},Operator:{e['operator']},Values:[{' '.join(e.get('values') or ())}],}},"
        for e in selector.get("matchExpressions") or ()
    )
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
