"""What may change in a pod, through which path, and what is kept."""
from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest

from tiffin.api.core.pod import KIND
from tiffin.api.core.pod_warnings import template_warnings
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))


def stored(status=None, **spec):
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1"},
           "spec": {"containers": [{"name": "c", "image": "a:1"}], "serviceAccountName": "default"} | spec}
    KIND.default(pod)
    KIND.prepare_for_create(pod, CONTEXT)
    pod["status"] |= status or {}
    return pod


def errors(old, change, subresource=""):
    """The errors of a change and the pod as it would be stored; the old pod must come out untouched."""
    new, before = copy.deepcopy(old), copy.deepcopy(old)
    change(new)
    KIND.default(new)
    sub = KIND.subresource_by_name.get(subresource)
    (sub.prepare if sub else KIND.prepare_for_update)(new, old, CONTEXT)
    found = (sub.validate if sub else KIND.validate_update)(new, old, CONTEXT)
    assert old == before
    return [str(e) for e in found], new


def sets(*path, value):
    def change(pod):
        at = pod
        for step in path[:-1]:
            at = at[step] if isinstance(step, int) else at.setdefault(step, {})
        at[path[-1]] = value
    return change


@pytest.mark.parametrize("spec, path, value, error", [
    ({}, ("spec", "containers", 0, "image"), "b:2", None),
    ({}, ("spec", "containers", 0, "image"), "", "spec.containers[0].image: Required value"),
    ({}, ("spec", "activeDeadlineSeconds"), 5, None),
    ({"activeDeadlineSeconds": 5}, ("spec", "activeDeadlineSeconds"), 6, "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous"),
    ({"activeDeadlineSeconds": 5}, ("spec", "activeDeadlineSeconds"), None, "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive"),
    ({}, ("spec", "tolerations"), [{"key": "a", "operator": "Exists"}], None),
    ({"tolerations": [{"key": "a", "operator": "Exists"}]}, ("spec", "tolerations"), [], "spec.tolerations: Forbidden: existing toleration can not be modified"),
    ({"schedulingGates": [{"name": "g"}, {"name": "h"}]}, ("spec", "schedulingGates"), [{"name": "g"}], None),
    ({}, ("spec", "schedulingGates"), [{"name": "g"}], "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"),
    ({"terminationGracePeriodSeconds": -1}, ("spec", "terminationGracePeriodSeconds"), 1, None),
    ({}, ("spec", "nodeSelector"), {"a": "b"}, "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"),
    ({"schedulingGates": [{"name": "g"}]}, ("spec", "nodeSelector"), {"a": "b"}, None),
    ({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}}, ("spec", "nodeSelector"), {}, "spec.nodeSelector: Invalid value: {}: only additions to spec.nodeSelector are"),
    ({}, ("spec", "containers"), [], "spec.containers: Required value"),
    ({}, ("metadata", "annotations"), {"kubernetes.io/config.mirror": "x"}, "metadata.annotations[kubernetes.io/config.mirror]: Invalid value"),
])
def test_updates(spec, path, value, error):
    found, _ = errors(stored(**spec), sets(*path, value=value))
    assert any(e.startswith(error) for e in found) if error else not found, found


def test_an_update_keeps_the_status_and_moves_the_generation_with_the_spec():
    old = stored({"phase": "Running"})
    _, new = errors(old, sets("status", "phase", value="Failed"))
    assert new["status"]["phase"] == "Running" and new["metadata"]["generation"] == 1
    _, new = errors(old, sets("spec", "containers", 0, "image", value="b"))
    assert new["metadata"]["generation"] == 2


def test_the_difference_is_shown():
    found, _ = errors(stored(), sets("spec", "hostPID", value=True))
    assert '+  "HostPID": true,' in found[0]


def test_a_status_update_keeps_spec_and_quality_of_service():
    old = stored()
    found, new = errors(old, lambda pod: pod.update(spec={"containers": []}, status={"podIP": "10.0.0.1"}), "status")
    assert found == [] and new["spec"] == old["spec"] and new["metadata"]["generation"] == 1
    assert new["status"] == {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "qosClass": "BestEffort"}


@pytest.mark.parametrize("status, error", [
    ({"podIPs": [{"ip": "x"}]}, 'status.podIPs[0]: Invalid value: "x"'),
    ({"podIPs": [{"ip": "1.2.3.4"}, {"ip": "1.2.3.5"}]}, 'status.podIPs: Invalid value: [{"IP":"1.2.3.4"},{"IP":"1.2.3.5"}]: may specify no more than one'),
    ({"hostIPs": [{"ip": "1.2.3.4"}]}, 'status.hostIPs[0].ip: Invalid value: "1.2.3.4": must be equal to `hostIP`'),
    ({"nominatedNodeName": "Bad_Node"}, 'status.nominatedNodeName: Invalid value: "Bad_Node"'),
    ({"conditions": [{"type": "bad type!"}]}, 'status.conditions[0].Type: Invalid value: "bad type!"'),
    ({"observedGeneration": -1}, "status.observedGeneration: Invalid value: -1: must be a non-negative integer"),
    ({"qosClass": "Odd"}, 'status.qosClass: Invalid value: "Odd": field is immutable'),
    ({"resourceClaimStatuses": [{"name": "none"}]}, 'status.resourceClaimStatuses[0].name: Invalid value: "none": must match the name of an entry in'),
    ({"containerStatuses": [{"name": "c", "user": {"linux": {"uid": -1, "gid": 0}}}]}, 'status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be'),
    ({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": [{"name": "a.b/c"}]}]},
     'status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "a.b/c": must match one of the container\'s resource requests'),
    ({"containerStatuses": [{"name": "z", "allocatedResourcesStatus": [{"name": "a.b/c"}]}]}, None),
    ({"phase": "Odd"}, None),
])
def test_statuses(status, error):
    found, _ = errors(stored(), lambda pod: pod.update(status=status), "status")
    assert [e for e in found if error and e.startswith(error)] == found and bool(found) == bool(error)


def test_a_container_that_ended_for_good_does_not_come_back():
    ended = {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}
    running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    for policy, refused in (("Never", True), ("OnFailure", True), ("Always", False)):
        found, _ = errors(stored(ended, restartPolicy=policy), lambda pod: pod.update(status=running), "status")
        assert bool(found) is refused
    assert "may not be transitioned to non-terminated state" in errors(stored(ended, restartPolicy="Never"), lambda p: p.update(status=running), "status")[0][0]


def test_resize():
    resources = {"requests": {"cpu": "100m", "memory": "1Gi"}}
    old = stored(containers=[{"name": "c", "image": "a", "resources": resources}])

    def change(pod):
        pod["metadata"]["labels"] = {"x": "y"}
        pod["spec"]["containers"][0] |= {"image": "other", "resources": {"requests": {"cpu": "200m", "memory": "1Gi"}}}

    found, new = errors(old, change, "resize")
    assert found == [] and new["metadata"]["generation"] == 2 and "labels" not in new["metadata"]
    assert new["spec"]["containers"][0]["image"] == "a" and new["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "200m"
    found, _ = errors(old, sets("spec", "containers", 0, "resources", value={}), "resize")
    assert found[0] == 'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    found, _ = errors(old, sets("spec", "containers", 0, "resources", "requests", value={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1"}), "resize")
    assert found == ["spec: Forbidden: only cpu and memory resources are mutable"]


AMOUNTS = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}


@pytest.mark.parametrize("spec, path, value, error", [
    ({}, ("spec", "containers"), [], "spec.containers: Required value"),
    ({}, ("spec", "containers", 0, "resources"), {"requests": {"cpu": "100m"}},
     "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"),
    ({"os": {"name": "windows"}}, ("spec", "containers", 0, "resources"), AMOUNTS, ": Forbidden: windows pods cannot be resized"),
    ({}, ("metadata", "annotations"), {"a": "b"}, None),
])
def test_resizes_that_are_refused(spec, path, value, error):
    old = stored(**({"containers": [{"name": "c", "image": "a", "resources": AMOUNTS}]} | spec))
    found, _ = errors(old, sets(*path, value=value), "resize")
    assert found[0].startswith(error) if error else found == []


def test_a_node_that_cannot_resize():
    running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    old = stored(running, containers=[{"name": "c", "image": "a", "resources": AMOUNTS}])
    found, _ = errors(old, sets("spec", "containers", 0, "resources", "requests", value={"cpu": "200m"}), "resize")
    assert found == ["spec: Forbidden: Pod running on node without support for resize"]


def test_ephemeral_containers_are_only_added():
    old = stored()
    found, new = errors(old, lambda pod: pod["spec"].update(ephemeralContainers=[{"name": "e", "image": "x"}], hostPID=True), "ephemeralcontainers")
    assert found == [] and [c["name"] for c in new["spec"]["ephemeralContainers"]] == ["e"] and "hostPID" not in new["spec"]
    found, _ = errors(new, sets("spec", "ephemeralContainers", 0, "image", value="y"), "ephemeralcontainers")
    assert found[0].startswith('spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed\n')
    found, _ = errors(new, sets("spec", "ephemeralContainers", value=[]), "ephemeralcontainers")
    assert found == ['spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed\n']


def test_field_selectors():
    pod = stored({"podIPs": [{"ip": "1.1.1.1"}, {"ip": "::1"}]}, nodeName="n")
    read = {name: get(pod) for name, get in KIND.field_selectors.items()}
    assert (read["spec.nodeName"], read["status.podIPs"], read["spec.hostNetwork"], read["status.nominatedNodeName"]) == ("n", "1.1.1.1,::1", "false", "")
    assert KIND.warnings(pod, pod) == []


def test_warnings():
    pod = stored(
        nodeSelector={"beta.kubernetes.io/os": "linux"}, volumes=[{"name": "v", "projected": {"sources": [{}]}}, {"name": "w", "gitRepo": {"repository": "r"}}],
        containers=[{"name": "c", "image": "a", "env": [{"name": "A"}, {"name": "A"}], "resources": {"limits": {"memory": "1.5"}},
                     "ports": [{"containerPort": 80}, {"containerPort": 80}]}],
        topologySpreadConstraints=[{"topologyKey": "z"}], hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}], imagePullSecrets=[{"name": "s"}, {"name": "s"}, {}])
    pod["metadata"] |= {"name": "a.b", "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}
    assert KIND.warnings(pod, None) == [
        'metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead',
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        "spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        'volume "v" (Projected) has no sources provided',
        'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        'spec.imagePullSecrets[1].name: duplicate name "s"',
        'spec.imagePullSecrets[2].name: invalid empty name ""',
        'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
        'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is invalid, must be an integer',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
    ]
    assert template_warnings({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}}, "t") == [
        "t.spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod"]
