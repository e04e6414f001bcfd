"""Autoscalers: bounds, targets that have no scale, and metrics that nobody serves."""
from __future__ import annotations

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import horizontalpodautoscaler
from tiffin.controllers.autoscaling import unmeasured
from tiffin.controllers.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from tiffin.machinery.object import Key, Object, Resource, replaced

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
NO_CPU = (
    "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: "
    "the server could not find the requested resource (get pods.metrics.k8s.io)"
)


def hpa(name: str = "h", kind: str = "Deployment", api: str = "apps/v1", **spec: Any) -> Object:
    target = {"apiVersion": api, "kind": kind, "name": "web"}
    return made(HORIZONTAL_POD_AUTOSCALERS, name, spec={"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": [CPU], **spec})


def deployment(replicas: int) -> Object:
    return made(DEPLOYMENTS, "web", spec={"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": {}})


async def looked_at(c: Cluster, *objects: Object) -> Object:
    """The status of the autoscaler "h" after its first look, 15 seconds after it came."""
    for obj in objects:
        await c.create(DEPLOYMENTS if obj["kind"] == "Deployment" else PODS if obj["kind"] == "Pod" else HORIZONTAL_POD_AUTOSCALERS, obj)
    assert "status" not in c.one(HORIZONTAL_POD_AUTOSCALERS, "h")
    await c.clock.advance(15)
    await c.settle()
    status: Object = c.one(HORIZONTAL_POD_AUTOSCALERS, "h")["status"]
    return status


def told(status: Object) -> list[tuple[str, ...]]:
    return [(c["type"], c["status"], c["reason"], c["message"]) for c in status["conditions"]]


GOT = ("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")


async def test_says_that_there_are_no_metrics() -> None:
    async with Cluster(horizontalpodautoscaler) as c:
        status = await looked_at(c, deployment(2), hpa())
        unable = f"the HPA was unable to compute the replica count: {NO_CPU}"
        assert told(status) == [GOT, ("ScalingActive", "False", "FailedGetResourceMetric", unable)]
        assert (status["currentReplicas"], status["desiredReplicas"], status["currentMetrics"]) == (2, 0, [{"type": ""}])
        assert c.events("FailedGetResourceMetric") == [NO_CPU]
        outcome = f"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {NO_CPU}"
        assert c.events("FailedComputeMetricsReplicas") == [outcome]


@pytest.mark.parametrize(
    ("replicas", "size", "reason"),
    [(5, 3, "Current number of replicas above Spec.MaxReplicas"), (1, 2, "Current number of replicas below Spec.MinReplicas")],
)
async def test_keeps_the_target_within_bounds(replicas: int, size: int, reason: str) -> None:
    async with Cluster(horizontalpodautoscaler) as c:
        status = await looked_at(c, deployment(replicas), hpa(minReplicas=2))
        assert told(status) == [("AbleToScale", "True", "SucceededRescale", f"the HPA controller was able to update the target scale to {size}")]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (replicas, size) and status["lastScaleTime"]
        assert c.events() == [f"New size: {size}; reason: {reason}"]
        assert c.client.requests.count(("patch", DEPLOYMENTS, Key("default", "web"))) == 1
        c.client.put(DEPLOYMENTS, replaced(c.one(DEPLOYMENTS, "web"), ("spec", "replicas"), size))  # what the scale subresource does
        await c.clock.advance(15)
        await c.settle()
        again = c.one(HORIZONTAL_POD_AUTOSCALERS, "h")["status"]
        assert [entry[2] for entry in told(again)] == ["SucceededGetScale", "FailedGetResourceMetric"] and again["desiredReplicas"] == size


async def test_leaves_a_target_of_no_replicas_alone() -> None:
    async with Cluster(horizontalpodautoscaler) as c:
        status = await looked_at(c, deployment(0), hpa())
        off = ("ScalingActive", "False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
        assert told(status) == [GOT, off] and "currentReplicas" not in status and c.events() == []


@pytest.mark.parametrize(
    ("kind", "api", "error"),
    [
        ("Deployment", "apps/v1", 'deployments.apps "web" not found'),
        ("ReplicationController", "v1", 'replicationcontrollers "web" not found'),
        ("Odd", "odd.io/v1", 'no matches for kind "Odd" in group "odd.io"'),
        ("DaemonSet", "apps/v1", "the server could not find the requested resource"),
    ],
)
async def test_says_that_a_target_has_no_scale(kind: str, api: str, error: str) -> None:
    async with Cluster(horizontalpodautoscaler) as c:
        status = await looked_at(c, hpa(kind=kind, api=api))
        unable = f"the HPA controller was unable to get the target's current scale: {error}"
        assert told(status) == [("AbleToScale", "False", "FailedGetScale", unable)] and c.events("FailedGetScale") == [error]
        assert status["desiredReplicas"] == 0


async def test_two_autoscalers_of_the_same_pods_do_nothing() -> None:
    async with Cluster(horizontalpodautoscaler) as c:
        pod = made(PODS, "p", metadata={"labels": {"app": "web"}})
        status = await looked_at(c, deployment(2), pod, hpa(), hpa("other"))
        error = "pods by selector app=web are controlled by multiple HPAs: [default/h default/other]"
        assert told(status) == [GOT, ("ScalingActive", "False", "AmbiguousSelector", error)]
        assert c.events("FailedComputeMetricsReplicas") == [error, error] and "currentMetrics" not in status


EXTERNAL = "unable to fetch metrics from external metrics API: the server could not find the requested resource (get q.external.metrics.k8s.io)"
CUSTOM = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"


@pytest.mark.parametrize(
    ("metric", "reason", "message"),
    [
        ({"type": "Pods", "pods": {"metric": {"name": "q"}}}, "FailedGetPodsMetric", f"unable to get metric q: {CUSTOM}"),
        (
            {"type": "Object", "object": {"metric": {"name": "q"}, "describedObject": {"kind": "Ingress", "name": "i"}, "target": {"value": "1"}}},
            "FailedGetObjectMetric", f"unable to get metric q: Ingress on ns i/{CUSTOM}",
        ),
        (
            {"type": "External", "external": {"metric": {"name": "q"}, "target": {"value": "1"}}},
            "FailedGetExternalMetric", f"unable to get external metric ns/q/nil: {EXTERNAL}",
        ),
        (
            {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}}, "target": {"averageValue": "1"}}},
            "FailedGetExternalMetric",
            "unable to get external metric ns/q/&LabelSelector{MatchLabels:map[string]string{a: b,},"
            f"MatchExpressions:[]LabelSelectorRequirement{{}},}}: {EXTERNAL}",
        ),
    ],
)  # fmt: skip
def test_why_a_metric_is_not_to_be_had(metric: Object, reason: str, message: str) -> None:
    found = unmeasured(metric, "ns")
    assert (found.reason, found.message) == (reason, message)


RETIRED = Resource("apiregistration.k8s.io", "v1", "apiservices")


@pytest.mark.parametrize("served", [True, False])
async def test_a_target_by_the_group_it_had_once(served: bool) -> None:
    """Only where the server serves that group."""
    async with Cluster(horizontalpodautoscaler) as c:
        if served:
            await c.create(RETIRED, {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.extensions"}})
        status = await looked_at(c, deployment(5), hpa(api="extensions/v1beta1"))
        assert told(status)[0][2] == ("SucceededRescale" if served else "FailedGetScale")
