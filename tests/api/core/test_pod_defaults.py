"""What the API fills into pods, and what a pod requests."""
from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest

from tiffin.api.core.pod import KIND
from tiffin.api.core.podspec.defaults import default_pod, default_pod_template
from tiffin.api.core.podspec.images import tag_of
from tiffin.api.core.podspec.resources import pod_limits, pod_requests, quality_of_service
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))


def pod(container=None, **spec):
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "c", "image": "nginx:1.27"} | (container or {})]} | spec}


def defaulted(container=None, **spec):
    made = pod(container, **spec)
    default_pod(made)
    return made["spec"]


def test_smallest():
    spec = defaulted()
    assert spec == {
        "containers": [{"name": "c", "image": "nginx:1.27", "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File", "resources": {}}],
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
        "securityContext": {}, "enableServiceLinks": True,
    }


@pytest.mark.parametrize("image, tag", [
    ("nginx", "latest"), ("nginx:1.27", "1.27"), ("localhost:5000/a/b", "latest"), ("registry.example.com:5000/team/app:v2", "v2"),
    ("nginx@sha256:" + "0" * 64, ""), ("nginx:latest@sha256:" + "0" * 64, "latest"), ("UPPER/Not:valid:ref", ""), ("", ""), ("a" * 64, ""),
])
def test_tags(image, tag):
    assert tag_of(image) == tag


def test_probes_and_hooks():
    (container,) = defaulted({
        "livenessProbe": {"httpGet": {"port": 80}}, "startupProbe": {"grpc": {"port": 1}},
        "lifecycle": {"stopSignal": "SIGTERM", "postStart": {"httpGet": {"port": 80}}}})["containers"]
    numbers = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert container["livenessProbe"] == {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}} | numbers
    assert container["startupProbe"] == {"grpc": {"port": 1, "service": ""}} | numbers
    assert container["lifecycle"] == {"postStart": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}}}
    assert "lifecycle" not in defaulted({"lifecycle": {"stopSignal": "SIGTERM"}})["containers"][0]


@pytest.mark.parametrize("volume, filled", [
    ({}, {"emptyDir": {}}),
    ({"hostPath": {"path": "/"}}, {"hostPath": {"path": "/", "type": ""}}),
    ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
    ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"clusterTrustBundle": {"path": "x"}}]}},
     {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}, {}], "defaultMode": 420}}),
    ({"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}, {"path": "q", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
     {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}},
                                {"path": "q", "resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}], "defaultMode": 420}}),
    ({"iscsi": {"iqn": "iqn"}}, {"iscsi": {"iqn": "iqn", "iscsiInterface": "default"}}),
    ({"image": {"reference": "nginx"}}, {"image": {"reference": "nginx", "pullPolicy": "Always"}}),
    ({"azureDisk": {}}, {"azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False}}),
])
def test_volumes(volume, filled):
    assert defaulted(volumes=[{"name": "v"} | volume])["volumes"] == [{"name": "v"} | filled]


def test_requests_come_from_limits_and_are_rounded_to_thousandths():
    (container,) = defaulted({"resources": {"limits": {"cpu": "0.0001", "memory": "1Gi"}, "requests": {"memory": 5}}})["containers"]
    assert container["resources"] == {"limits": {"cpu": "1m", "memory": "1Gi"}, "requests": {"memory": "5", "cpu": "1m"}}


def test_templates_get_neither_requests_nor_host_ports():
    template = {"spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "a", "resources": {"limits": {"cpu": 1}}, "ports": [{"containerPort": 80}]}]}}
    default_pod_template(template)
    container = template["spec"]["containers"][0]
    assert container["resources"] == {"limits": {"cpu": "1"}} and container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert "enableServiceLinks" not in template["spec"]
    assert defaulted({"ports": [{"containerPort": 80}]}, hostNetwork=True)["containers"][0]["ports"][0]["hostPort"] == 80


def test_defaults_are_stable():
    once = pod(volumes=[{"name": "v"}], serviceAccount="s", resources={"limits": {"cpu": 1}})
    default_pod(once)
    twice = copy.deepcopy(once)
    default_pod(twice)
    assert once == twice and once["spec"]["serviceAccountName"] == "s" and once["spec"]["resources"]["requests"] == {"cpu": "1"}


@pytest.mark.parametrize("resources, quality", [
    ([{}], "BestEffort"),
    ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
    ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ([{"requests": {"cpu": "1m"}}], "Burstable"),
    ([{"requests": {"cpu": "0"}}], "BestEffort"),
    ([{"limits": {"example.com/gpu": "1"}}], "BestEffort"),
])
def test_quality_of_service(resources, quality):
    assert quality_of_service({"containers": [{"resources": r} for r in resources]}) == quality


def test_what_a_pod_takes():
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2"}}}],
        "initContainers": [
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}}, {"resources": {"requests": {"cpu": "1", "memory": "3Gi"}}}],
        "overhead": {"cpu": "10m"},
    }
    assert pod_requests(spec) == {"cpu": "1760m", "memory": "3Gi"}
    assert pod_limits(spec) == {"cpu": "2010m"}
    assert pod_requests(spec | {"resources": {"requests": {"cpu": "4"}}}) == {"cpu": "4010m", "memory": "3Gi"}


def test_create_sets_status_generation_and_fields_that_annotations_stand_for():
    made = pod(schedulingGates=[{"name": "g"}], topologySpreadConstraints=[{"labelSelector": {}, "matchLabelKeys": ["app", "none"]}])
    made["metadata"] |= {"labels": {"app": "x"}, "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "localhost/foo"}}
    made["status"] = {"phase": "Running"}
    KIND.default(made)
    KIND.prepare_for_create(made, CONTEXT)
    assert made["metadata"]["generation"] == 1
    assert made["status"]["phase"] == "Pending" and made["status"]["qosClass"] == "BestEffort"
    assert made["status"]["conditions"][0] == {
        "type": "PodScheduled", "status": "False", "lastProbeTime": None, "lastTransitionTime": "2024-01-01T00:00:00Z", "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates"}
    assert made["spec"]["containers"][0]["securityContext"] == {"appArmorProfile": {"type": "Localhost", "localhostProfile": "foo"}}
    expression = {"key": "app", "operator": "In", "values": ["x"]}
    assert made["spec"]["topologySpreadConstraints"][0]["labelSelector"] == {"matchExpressions": [expression]}


@pytest.mark.parametrize("asked, spec, phase, seconds", [
    (None, {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 30), (5, {"nodeName": "n"}, "Running", 5),
    (None, {"terminationGracePeriodSeconds": 30}, "Pending", 0), (None, {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Failed", 0),
    (-1, {"nodeName": "n"}, "Running", 1),
])
def test_grace_period(asked, spec, phase, seconds):
    assert KIND.grace_period({"spec": spec, "status": {"phase": phase}}, asked) == seconds
