"""ReplicaSet: so many pods of a template. Its selector never changes."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api import replica_status
from tiffin.api.checks import immutable, not_negative
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import default_template, selected_template_errors, workload_warnings
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE_WITH_SELECTOR, containers_and_images, selector_text
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

NO_REPLICAS = {"replicas": 0}
_STATUS_COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas", "observedGeneration")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("replicas", 0)
    spec.setdefault("replicas", 1)
    default_template(spec.setdefault("template", {}))


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = not_negative(spec.get("replicas"), "spec.replicas") + not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    return errors + selected_template_errors(spec, "spec", "deployment")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context) + immutable(dig(new, "spec", "selector"), dig(old, "spec", "selector"), "spec.selector")


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Also the rule of ReplicationController statuses."""
    status = new.get("status") or {}
    errors = replica_status.counts(status, _STATUS_COUNTS)
    errors += replica_status.within(status, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))
    return errors + replica_status.within(status, ("availableReplicas",), "readyReplicas", "readyReplicas")


def replicas_text(obj: Object) -> str:
    """The field `status.replicas` of field selectors."""
    return str(dig(obj, "status", "replicas", default=0))


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name(obj), *counts, age(obj, now), *containers_and_images(spec.get("template")), selector_text(spec.get("selector"))]


COLUMNS = (NAME, Column("Desired", "integer"), Column("Current", "integer"), Column("Ready", "integer"), AGE, *WORKLOAD_WIDE_WITH_SELECTOR)

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    schema="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    metadata_checks="mu",
    short_names=("rs",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status(NO_REPLICAS),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    warnings=workload_warnings,
    columns=COLUMNS,
    row=row,
)
