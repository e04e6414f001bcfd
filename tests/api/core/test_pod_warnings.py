"""What pods, templates, claims and services are warned about, one row each."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.apps import deployment, replicaset, statefulset
from tiffin.api.batch import cronjob, job
from tiffin.api.core import persistentvolumeclaim, replicationcontroller
from tiffin.api.core.pod import KIND
from tiffin.api.core.pod_warnings import template_warnings
from tiffin.api.kind import Context, Kind

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
CONTAINER = {"name": "c", "image": "nginx:1.27"}
PREFERRED, REQUIRED = "preferredDuringSchedulingIgnoredDuringExecution", "requiredDuringSchedulingIgnoredDuringExecution"
LABEL_VALUE = "a valid label must be an empty string or consist of alphanumeric characters"


def warned(spec: dict[str, Any], **metadata: Any) -> list[str]:
    pod = {"metadata": {"name": "p", "namespace": "n"} | metadata, "spec": {"containers": [dict(CONTAINER)]} | spec}
    KIND.default(pod)
    KIND.prepare_for_create(pod, CONTEXT)
    return KIND.warnings(pod, None)


def with_ports(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [CONTAINER | {"ports": [port]} | {"name": f"c{i}"} for i, port in enumerate(ports)]}


def with_env(*env: dict[str, Any]) -> dict[str, Any]:
    return {"containers": [CONTAINER | {"env": list(env)}]}


def with_volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v"} | source]}


def items(*paths: str) -> list[dict[str, str]]:
    return [{"key": f"k{i}", "path": path} for i, path in enumerate(paths)]


@pytest.mark.parametrize("spec, expected", [
    ({}, []),
    ({"nodeSelector": {"node-role.kubernetes.io/master": ""}},
     ['spec.nodeSelector[node-role.kubernetes.io/master]: use "node-role.kubernetes.io/control-plane" instead']),
    ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}]}]}}}},
     [f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; "
      'use "kubernetes.io/arch" instead']),
    ({"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-x"]}]}}]}}},
     [f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].values[0]: -x is invalid, {LABEL_VALUE}"]),
    ({"overhead": {"memory": "0.5"}}, ['spec.overhead[memory]: fractional byte value "500m" is invalid, must be an integer']),
    ({"imagePullSecrets": [{}, {}]}, ['spec.imagePullSecrets[1].name: duplicate name ""', 'spec.imagePullSecrets[0].name: invalid empty name ""',
                                      'spec.imagePullSecrets[1].name: invalid empty name ""']),
    ({"dnsConfig": {"nameservers": ["010.0.0.1"]}},
     ['spec.dnsConfig.nameservers[0]: non-standard IP address "010.0.0.1" will be considered invalid in a future Kubernetes release: use "10.0.0.1"']),
    ({"hostAliases": [{"ip": "::ffff:1.2.3.4"}]},
     ['spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" will be considered invalid in a future Kubernetes release: use "1.2.3.4"']),
    (with_ports({"containerPort": 80}, {"containerPort": 80, "hostPort": 80}),
     ["spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[0]"]),
    (with_ports({"containerPort": 80, "hostPort": 8080}, {"containerPort": 80, "hostPort": 8080, "hostIP": "1.2.3.4"}),
     ["spec.containers[1].ports[0]: dangerously ambiguous port definition with spec.containers[0].ports[0]"]),
    (with_ports({"containerPort": 80, "hostPort": 1}, {"containerPort": 80, "hostPort": 2}, {"containerPort": 80, "protocol": "UDP"}), []),
    (with_ports({"containerPort": 80, "hostIP": "1.2.3.4", "name": "a"}),
     ["spec.containers[0].ports[0]: hostIP set without hostPort: {Name:a HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"]),
    (with_env({"name": "P", "value": "a"}, {"name": "P", "value": "$(P):b"}), []),
    (with_env({"name": "P", "value": "a"}, {"name": "P", "value": "$(P)"}),
     ['spec.containers[0].env[1]: hides previous definition of "P", which may be dropped when using apply']),
    (with_env({"name": "P", "value": "a"}, {"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
     ['spec.containers[0].env[1]: hides previous definition of "P", which may be dropped when using apply']),
    (with_volume(configMap={"name": "m", "items": items("a", "a/b")}), ['volume "v" (ConfigMap "m"): overlapping paths: "a/b" with "a"']),
    (with_volume(secret={"secretName": "s", "items": items("a", "a/", "ab")}), ['volume "v" (Secret "s"): overlapping paths: "a" with "a"']),
    (with_volume(downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}] * 2}),
     ['volume "v" (DownwardAPI): overlapping paths: "a" with "a"']),
    (with_volume(projected={"sources": [{"configMap": {"name": "m", "items": items("a/b")}}, {"serviceAccountToken": {"path": "a"}}]}),
     ['volume "v" (Projected ServiceAccountToken): overlapping paths: "a/b" with "a"']),
    (with_volume(ephemeral={"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500m"}}}}}),
     ['spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer']),
])
def test_pod_spec(spec: dict[str, Any], expected: list[str]) -> None:
    found = warned(spec)
    assert len(found) == len(expected) and all(f.startswith(e) for f, e in zip(found, expected)), found


def test_annotations() -> None:
    notes = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined", "container.seccomp.security.alpha.kubernetes.io/c": "unconfined"}
    words = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    assert warned({}, annotations=notes) == [f"metadata.annotations[{key}]: {words}" for key in notes]
    key = "container.apparmor.security.beta.kubernetes.io/c"
    template = {"metadata": {"annotations": {key: "unconfined"}}, "spec": {"containers": [CONTAINER]}}
    assert template_warnings(template, "t") == [f't.metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead']
    template["spec"]["securityContext"] = {"appArmorProfile": {"type": "Unconfined"}}
    assert template_warnings(template, "t") == []


NAME = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
NULL = "topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"
TEMPLATE = {"spec": {"containers": [CONTAINER], "topologySpreadConstraints": [{"topologyKey": "z", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}}


@pytest.mark.parametrize("kind, spec, path", [
    (deployment.KIND, {"template": TEMPLATE}, "spec.template.spec."),
    (replicaset.KIND, {"template": TEMPLATE}, "spec.template.spec."),
    (replicationcontroller.KIND, {"template": TEMPLATE}, "spec.template.spec."),
    (job.KIND, {"template": TEMPLATE}, "spec.template.spec."),
    (cronjob.KIND, {"jobTemplate": {"spec": {"template": TEMPLATE}}}, "spec.jobTemplate.spec.template.spec."),
])
def test_workloads_are_warned_about_names_and_templates(kind: Kind, spec: dict[str, Any], path: str) -> None:
    new = {"metadata": {"name": "a.b", "generation": 1}, "spec": spec}
    assert kind.warnings(new, None) == [NAME, path + NULL]
    assert kind.warnings(new, new) == []
    assert kind.warnings(new | {"metadata": {"name": "a.b", "generation": 2}}, new) == [path + NULL]


def test_jobs_with_too_many_indexes() -> None:
    spec = {"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "template": {}}
    assert job.KIND.warnings({"metadata": {"name": "j"}, "spec": spec}, None)[0].startswith("spec: In Indexed Jobs with a number of completions higher")
    assert job.KIND.warnings({"metadata": {"name": "j"}, "spec": spec | {"parallelism": 10_000}}, None) == []


def test_claims() -> None:
    spec = {"resources": {"requests": {"storage": "1500m"}, "limits": {"storage": "2500m"}}}
    fractions = [
        'resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
        'resources.limits[storage]: fractional byte value "2500m" is invalid, must be an integer']
    key = "volume.beta.kubernetes.io/storage-class"
    claim = {"metadata": {"name": "c", "annotations": {key: "fast"}}, "spec": spec}
    assert persistentvolumeclaim.KIND.warnings(claim, None) == [
        f'metadata.annotations[{key}]: deprecated since v1.8; use "storageClassName" attribute instead', *(f"spec.{f}" for f in fractions)]
    sets = {"metadata": {"name": "s"}, "spec": {"template": {}, "revisionHistoryLimit": -1, "volumeClaimTemplates": [{"spec": spec}]}}
    assert statefulset.KIND.warnings(sets, None) == [
        *(f"spec.volumeClaimTemplates[0].{f}" for f in fractions),
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"]
