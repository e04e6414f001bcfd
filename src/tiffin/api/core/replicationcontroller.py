"""ReplicationController: the older ReplicaSet, whose selector is a map of labels that may change.

Selector and labels default to the labels of the template.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.apps.replicaset import COLUMNS, NO_REPLICAS, replicas_text, validate_status
from tiffin.api.checks import needed, not_negative
from tiffin.api.kind import Context, Kind, Subresource
from tiffin.api.pod_templates import MISMATCH, default_template, long_running_errors, template_errors, workload_warnings
from tiffin.api.printing import containers_and_images
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.selectors import from_label_map
from tiffin.machinery.table import age, labels, name


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("replicas", 0)
    spec.setdefault("replicas", 1)
    template_labels = dig(spec, "template", "metadata", "labels")
    if template_labels:
        if not spec.get("selector"):
            spec["selector"] = dict(template_labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(template_labels)
    default_template(spec.get("template"))


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    errors += needed(spec.get("selector"), "spec.selector")
    errors += not_negative(spec.get("replicas"), "spec.replicas")
    template = spec.get("template")
    if template is None:
        return [*errors, required("spec.template")]
    template_labels = dig(template, "metadata", "labels")
    if not from_label_map(spec.get("selector")).matches(template_labels):
        errors.append(invalid("spec.template.metadata.labels", template_labels, MISMATCH))
    errors += template_errors(template, "spec.template")
    return errors + long_running_errors(template, "spec.template", "ReplicationController")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name(obj), *counts, age(obj, now), *containers_and_images(spec.get("template")), labels(spec.get("selector"))]


KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    schema="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    metadata_checks="mu",
    short_names=("rc",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default_propagation="Orphan",
    default=default,
    prepare_for_create=creates_with_status(NO_REPLICAS),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    warnings=workload_warnings,
    columns=COLUMNS,
    row=row,
    field_selectors={"status.replicas": replicas_text},
)
