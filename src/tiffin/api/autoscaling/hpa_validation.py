"""What a HorizontalPodAutoscaler's spec must be, in the order and words of the API."""
from __future__ import annotations

from typing import Any

from tiffin.api.checks import named, not_supported
from tiffin.api.core.resources import container_name_errors
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, forbidden, invalid, required

_SOURCES = {"Object": "object", "External": "external", "Pods": "pods", "Resource": "resource", "ContainerResource": "containerResource"}
_TARGETS = ("Utilization", "Value", "AverageValue")
LONGEST_WINDOW, LONGEST_PERIOD = 3600, 1800


def spec_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: list[FieldError] = []
    if low is not None and low < 1:
        errors.append(invalid(f"{path}.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(invalid(f"{path}.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        errors.append(invalid(f"{path}.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    errors += _reference_errors(spec.get("scaleTargetRef") or {}, f"{path}.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        errors += _metric_errors(metric, f"{path}.metrics[{index}]")
    if low == 0 and not any(metric.get("type") in ("Object", "External") for metric in spec.get("metrics") or ()):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden(f"{path}.metrics", detail))
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        errors += _rules_errors(rules, f"{path}.behavior.{direction}") if rules is not None else []
    return errors


def _reference_errors(reference: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        errors += named(value, f"{path}.{field}", names.is_path_segment_name) if value else [required(f"{path}.{field}")]
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    return errors


def _metric_errors(metric: dict[str, Any], path: str) -> list[FieldError]:
    """Of several sources only the first is looked at; a type that is not known is told before the source and after it."""
    kind = metric.get("type") or ""
    expected = _SOURCES.get(kind)
    unknown = [] if expected else [not_supported(f"{path}.type", kind, tuple(sorted(_SOURCES)))]
    errors = unknown if kind else [required(f"{path}.type", "must specify a metric source type"), *unknown]
    given = [field for field in _SOURCES.values() if metric.get(field) is not None]
    errors = errors + (_CHECKS[given[0]](metric[given[0]], f"{path}.{given[0]}") if given else [])
    if expected and expected not in given:
        errors.append(required(f"{path}.{expected}", "must populate information for the given metric source"))
    errors += unknown
    if len(given) > 1:
        words = "must populate the given metric source only"
        errors += [forbidden(f"{path}.{field}", words) for field in given if field != expected]
    return errors


def _target_errors(target: dict[str, Any], path: str) -> list[FieldError]:
    kind = target.get("type") or ""
    errors = []
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        errors.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        if target.get(field) is not None and quantity.sign(target[field]) <= 0:
            errors.append(invalid(f"{path}.{field}", target[field], "must be positive"))
    if target.get("averageUtilization") is not None and target["averageUtilization"] < 1:
        errors.append(invalid(f"{path}.averageUtilization", target["averageUtilization"], "must be greater than 0"))
    return errors


def _identifier_errors(identifier: dict[str, Any], path: str) -> list[FieldError]:
    called = identifier.get("name") or ""
    return named(called, f"{path}.name", names.is_path_segment_name) if called else [
        required(f"{path}.name", "must specify a metric name")]


def _object_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _reference_errors(source.get("describedObject") or {}, f"{path}.describedObject")
    errors += _identifier_errors(source.get("metric") or {}, f"{path}.metric") + _target_errors(target, f"{path}.target")
    if target.get("value") is None and target.get("averageValue") is None:
        errors.append(required(f"{path}.target.averageValue", "must set either a target value or averageValue"))
    return errors


def _external_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _identifier_errors(source.get("metric") or {}, f"{path}.metric") + _target_errors(target, f"{path}.target")
    has_value, has_average = target.get("value") is not None, target.get("averageValue") is not None
    if not has_value and not has_average:
        errors.append(required(f"{path}.target.averageValue", "must set either a target value for metric or a per-pod target"))
    if has_value and has_average:
        errors.append(forbidden(f"{path}.target.value", "may not set both a target value for metric and a per-pod target"))
    return errors


def _pods_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _identifier_errors(source.get("metric") or {}, f"{path}.metric") + _target_errors(target, f"{path}.target")
    if target.get("averageValue") is None or quantity.sign(target["averageValue"]) <= 0:
        errors.append(required(f"{path}.target.averageValue", "must specify a positive target averageValue"))
    return errors


def _resource_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    return errors + _share_errors(source.get("target") or {}, f"{path}.target")


def _container_errors(source: dict[str, Any], path: str) -> list[FieldError]:
    resource, container = source.get("name") or "", source.get("container") or ""
    errors = container_name_errors(resource, f"{path}.name") if resource else [required(f"{path}.name", "must specify a resource name")]
    if container:
        errors += named(container, f"{path}.container", names.is_dns1123_label)
    else:
        errors.append(required(f"{path}.container", "must specify a container"))
    return errors + _share_errors(source.get("target") or {}, f"{path}.target")


def _share_errors(target: dict[str, Any], path: str) -> list[FieldError]:
    """The target of a resource: a share of what is asked for, or an amount."""
    errors = _target_errors(target, path)
    has_share, has_average = target.get("averageUtilization") is not None, target.get("averageValue") is not None
    if not has_share and not has_average:
        errors.append(required(f"{path}.averageUtilization", "must set either a target raw value or a target utilization"))
    if has_share and has_average:
        errors.append(forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization"))
    return errors


_CHECKS = {
    "object": _object_errors, "external": _external_errors, "pods": _pods_errors, "resource": _resource_errors,
    "containerResource": _container_errors,
}


def _rules_errors(rules: dict[str, Any], path: str) -> list[FieldError]:
    window, select, policies = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy"), rules.get("policies") or []
    errors: list[FieldError] = []
    if window is not None and window < 0:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero"))
    if window is not None and window > LONGEST_WINDOW:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, f"must be less than or equal to {LONGEST_WINDOW}"))
    if select is not None and select not in ("Disabled", "Max", "Min"):
        errors.append(not_supported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min")))
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy_errors(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.sign(tolerance) < 0:
        errors.append(invalid(f"{path}.tolerance", tolerance, "must be greater than or equal to 0"))
    return errors


def _policy_errors(policy: dict[str, Any], path: str) -> list[FieldError]:
    kind, value, period = policy.get("type") or "", policy.get("value") or 0, policy.get("periodSeconds") or 0
    errors = [] if kind in ("Percent", "Pods") else [not_supported(f"{path}.type", kind, ("Percent", "Pods"))]
    if value <= 0:
        errors.append(invalid(f"{path}.value", value, "must be greater than zero"))
    if period <= 0:
        errors.append(invalid(f"{path}.periodSeconds", period, "must be greater than zero"))
    if period > LONGEST_PERIOD:
        errors.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {LONGEST_PERIOD}"))
    return errors
