"""HorizontalPodAutoscalers: what is refused."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.autoscaling.horizontalpodautoscaler import KIND
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
_TYPES = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'
SHARE = {"type": "Utilization", "averageUtilization": 1}


def autoscaler(**spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d"}} | spec}
    KIND.default(made)
    return made


@pytest.mark.parametrize("spec, errors", [
    ({}, []),
    ({"minReplicas": 0}, [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"]),
    ({"behavior": {"scaleUp": {"policies": []}}}, ["spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"]),
    ({"behavior": {"scaleUp": {}}}, []),
    ({"metrics": [{"type": "Odd", "resource": {"target": SHARE}, "pods": {}}]}, [
        f'spec.metrics[0].type: Unsupported value: "Odd": {_TYPES}',
        "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
        "spec.metrics[0].pods.target.type: Required value: must specify a metric target type",
        'spec.metrics[0].pods.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
        "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
        f'spec.metrics[0].type: Unsupported value: "Odd": {_TYPES}',
        "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
        "spec.metrics[0].resource: Forbidden: must populate the given metric source only"]),
    ({"metrics": [{"type": "ContainerResource", "containerResource": {"name": "disk", "container": "C", "target": SHARE}}]}, [
        'spec.metrics[0].containerResource.name: Invalid value: "disk": must be a standard resource type or fully qualified',
        'spec.metrics[0].containerResource.name: Invalid value: "disk": must be a standard resource for containers',
        "spec.metrics[0].containerResource.container: Invalid value: \"C\": a lowercase RFC 1123 label must consist of lower case "
        "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
        "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]),
    ({"metrics": [{"type": "ContainerResource", "containerResource": {"name": "cpu"}}]}, [
        "spec.metrics[0].containerResource.container: Required value: must specify a container",
        "spec.metrics[0].containerResource.target.type: Required value: must specify a metric target type",
        'spec.metrics[0].containerResource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
        "spec.metrics[0].containerResource.target.averageUtilization: Required value: must set either a target raw value or a target "
        "utilization"]),
])
def test_creation(spec: dict[str, Any], errors: list[str]) -> None:
    assert [str(e) for e in KIND.validate(autoscaler(**spec), CONTEXT)] == errors
