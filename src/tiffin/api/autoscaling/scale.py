"""Scale: the replicas of a workload as a small object of their own, the body of `/scale` subresources.

Works for Deployment, ReplicaSet, StatefulSet (label selectors) and ReplicationController (a map of labels). Of a Scale that is
written only `spec.replicas` counts.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import not_negative
from tiffin.api.kind import Column
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig, meta, replaced
from tiffin.machinery.selectors import from_label_map, from_label_selector
from tiffin.machinery.table import age, name

API_VERSION, KIND_NAME = "autoscaling/v1", "Scale"
SCHEMA = "io.k8s.api.autoscaling.v1.Scale"
COLUMNS = (Column("Name"), Column("Desired", "integer"), Column("Available", "integer"), Column("Age"))
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Object) -> Object:
    """The Scale of a workload; numbers that are 0 are left out where the API leaves them out."""
    status: dict[str, Any] = {"replicas": dig(obj, "status", "replicas", default=0)}
    if text := _selector_text(obj):
        status["selector"] = text
    replicas = dig(obj, "spec", "replicas", default=0)
    return {
        "kind": KIND_NAME,
        "apiVersion": API_VERSION,
        "metadata": {field: meta(obj)[field] for field in _METADATA if meta(obj).get(field)},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector_text(obj: Object) -> str:
    selector = dig(obj, "spec", "selector")
    return str(from_label_map(selector) if obj.get("kind") == "ReplicationController" else from_label_selector(selector))


def apply_scale(obj: Object, scale: Object) -> Object:
    """The workload with the replicas of a Scale; the workload itself is not changed."""
    return replaced(obj, ("spec", "replicas"), dig(scale, "spec", "replicas", default=0))


def validate_scale(scale: Object) -> list[FieldError]:
    return not_negative(dig(scale, "spec", "replicas"), "spec.replicas")


def scale_row(scale: Object, now: datetime) -> list[Any]:
    """Cells for a Scale asked for as a Table (`COLUMNS`)."""
    return [name(scale), dig(scale, "spec", "replicas", default=0), dig(scale, "status", "replicas", default=0), age(scale, now)]
