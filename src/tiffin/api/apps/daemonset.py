"""DaemonSet: a pod on every node that takes it. Its selector never changes.

The annotation `deprecated.daemonset.template.generation` counts the changes of the template; only the server writes it.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api import replica_status
from tiffin.api.checks import at_most_hundred_percent, immutable, int_or_percent, int_or_percent_value, not_negative
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import (
    default_template,
    label_errors,
    long_running_errors,
    selector_errors,
    template_errors,
    template_warnings,
)
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE_WITH_SELECTOR, containers_and_images, selector_text
from tiffin.api.strategy import changed, keep, next_generation, start_generation
from tiffin.machinery.field import FieldError, invalid, not_supported, required
from tiffin.machinery.object import Object, annotations_of, dig
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.table import age, labels, name

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_STATUS_COUNTS = (*_ALWAYS, "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj["status"] = dict.fromkeys(_ALWAYS, 0) | (obj.get("status") or {})
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template(spec.setdefault("template", {}))


def _set_template_generation(obj: Object, generation: int) -> None:
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = (metadata.get("annotations") or {}) | {TEMPLATE_GENERATION: str(generation)}


def _template_generation(obj: Object) -> int:
    text = annotations_of(obj).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def prepare_for_create(obj: Object, context: Context) -> None:
    obj["status"] = dict.fromkeys(_ALWAYS, 0)
    start_generation(obj, context)
    _set_template_generation(obj, _template_generation(obj) if _template_generation(obj) > 0 else 1)


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    before = _template_generation(old)
    replaced = dig(new, "spec", "template") != dig(old, "spec", "template")
    _set_template_generation(new, before + 1 if replaced else before)
    if changed(new, old, "spec"):
        next_generation(new, old)


def prepare_status(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "spec")
    _set_template_generation(new, _template_generation(old))


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    selector, template = spec.get("selector"), spec.get("template") or {}
    errors = selector_errors(selector, "spec.selector", "daemonset") if selector is not None else []
    if not validate_label_selector(selector, "spec.selector"):
        errors += label_errors(template, selector, "spec.template")
    errors += template_errors(template, "spec.template") + long_running_errors(template, "spec.template", "DaemonSet")
    errors += not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    errors += _strategy_errors(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    return errors + not_negative(spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")


def _strategy_errors(strategy: dict[str, Any], path: str) -> list[FieldError]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, {"Type": kind, "RollingUpdate": rolling}, ("RollingUpdate", "OnDelete"))]
    if rolling is None:
        return [required(f"{path}.rollingUpdate")]
    return _rolling_errors(rolling, f"{path}.rollingUpdate")


def _rolling_errors(rolling: dict[str, Any], path: str) -> list[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors: list[FieldError] = []
    for field, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        errors += int_or_percent(value, f"{path}.{field}") + at_most_hundred_percent(value, f"{path}.{field}")
    some_unavailable, some_surge = int_or_percent_value(unavailable) != 0, int_or_percent_value(surge) != 0
    if some_unavailable and some_surge:
        errors.append(invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    if not some_unavailable and not some_surge:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return immutable(dig(new, "spec", "selector"), dig(old, "spec", "selector"), "spec.selector") + validate(new, context)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    status = new.get("status") or {}
    return replica_status.counts(status, _STATUS_COUNTS) + replica_status.collisions(status, old.get("status") or {})


def warnings(new: Object, old: Object | None) -> list[str]:
    replaced = old is None or _template_generation(new) != _template_generation(old)
    return template_warnings(new, old, "spec", "template") if replaced else []


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
    return [
        name(obj), *(status.get(field, 0) for field in fields), labels(dig(spec, "template", "spec", "nodeSelector")), age(obj, now),
        *containers_and_images(spec.get("template")), selector_text(spec.get("selector")),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    schema="io.k8s.api.apps.v1.DaemonSet",
    singular="daemonset",
    metadata_checks="mu",
    short_names=("ds",),
    categories=("all",),
    subresources=(
        Subresource("status", updates_object=True, prepare=prepare_status, validate=validate_status),
    ),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), Column("Up-to-date", "integer"),
        Column("Available", "integer"), Column("Node Selector"), AGE, *WORKLOAD_WIDE_WITH_SELECTOR,
    ),
    row=row,
)
