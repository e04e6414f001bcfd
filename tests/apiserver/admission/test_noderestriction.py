"""Attack 17: everything a kubelet might write beyond its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from admission_world import ADMIN, NODE, PODS, attempt, named, pod

from tiffin.apiserver.admission.noderestriction import NodeRestriction, check_eviction, forbidden_labels
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.user import User
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

NODES = Resource("", "v1", "nodes")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
CSI_NODES = Resource("storage.k8s.io", "v1", "csinodes")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "un", "controller": True}


def plugin() -> NodeRestriction:
    reader = MemoryReader()
    reader.put(NODES, named("n1", metadata={"uid": "un"}))
    reader.put(PODS, pod("mine", nodeName="n1"))
    reader.put(PODS, pod("other", nodeName="n2"))
    return NodeRestriction(reader)


def mirror(owner: Object | None = OWNER, mirrored: bool = True, **spec: Any) -> Object:
    obj = pod(annotations={"kubernetes.io/config.mirror": "x"} if mirrored else None, **({"nodeName": "n1"} | spec))
    obj["metadata"]["ownerReferences"] = [owner] if owner else []
    return obj


def volume(**source: Any) -> Object:
    return {"volumes": [{"name": "v", **source}]}


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (mirror(), ""),
        (mirror(hostNetwork=True, **volume(hostPath={"path": "/"})), ""),
        (mirror(mirrored=False), 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'),
        (mirror(nodeName="n2"), 'node "n1" can only create pods with spec.nodeName set to itself'),
        (mirror(None), 'node "n1" can only create pods with an owner reference set to itself'),
        (mirror(OWNER | {"name": "n2"}), 'node "n1" can only create pods with an owner reference set to itself'),
        (
            mirror(OWNER | {"kind": "ReplicaSet", "apiVersion": "apps/v1"}),
            'node "n1" can only create pods with an owner reference set to itself',
        ),
        (mirror(OWNER | {"controller": False}), 'node "n1" can only create pods with a controller owner reference set to itself'),
        (mirror(OWNER | {"blockOwnerDeletion": True}), 'node "n1" must not set blockOwnerDeletion on an owner reference'),
        (mirror(OWNER | {"uid": "xx"}), "node n1 UID mismatch: expected un got xx"),
        (mirror(serviceAccountName="x"), 'node "n1" can not create pods that reference a service account'),
        (mirror(**volume(secret={"secretName": "s"})), 'node "n1" can not create pods that reference secrets'),
        (mirror(imagePullSecrets=[{"name": "s"}]), 'node "n1" can not create pods that reference secrets'),
        (mirror(**volume(configMap={"name": "s"})), 'node "n1" can not create pods that reference configmaps'),
        (
            mirror(ephemeralContainers=[{"name": "e", "envFrom": [{"secretRef": {"name": "s"}}]}]),
            'node "n1" can not create pods that reference secrets',
        ),
        (
            mirror(initContainers=[{"name": "i", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "s"}}}]}]),
            'node "n1" can not create pods that reference configmaps',
        ),
        (mirror(**volume(persistentVolumeClaim={"claimName": "s"})), 'node "n1" can not create pods that reference persistentvolumeclaims'),
        (
            mirror(**volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]})),
            'node "n1" can not create pods that reference serviceaccount tokens',
        ),
        (
            mirror(**volume(projected={"sources": [{"clusterTrustBundle": {"name": "x"}}]})),
            'node "n1" can not create pods that reference clustertrustbundles',
        ),
        (mirror(resourceClaims=[{"name": "x", "resourceClaimName": "y"}]), 'node "n1" can not create pods that reference resourceclaims'),
    ],
)
def test_attack_17_mirror_pods(obj: Object, told: str) -> None:
    assert attempt(plugin(), "CREATE", PODS, copy.deepcopy(obj), user=NODE) == told
    assert attempt(plugin(), "CREATE", PODS, copy.deepcopy(obj), user=ADMIN) == ""


def test_pods_of_others() -> None:
    mine, other = pod("mine", nodeName="n1"), pod("other", nodeName="n2")
    deletes = 'node "n1" can only delete pods with spec.nodeName set to itself'
    assert attempt(plugin(), "DELETE", PODS, None, mine, NODE) == ""
    assert attempt(plugin(), "DELETE", PODS, None, other, NODE) == deletes
    assert (
        attempt(plugin(), "UPDATE", PODS, mine, mine, NODE)
        == 'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'
    )
    assert attempt(plugin(), "UPDATE", PODS, mine, mine, NODE, "status") == ""
    status = 'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    assert attempt(plugin(), "UPDATE", PODS, other, other, NODE, "status") == status
    labelled = {**mine, "metadata": mine["metadata"] | {"labels": {"app": "secret"}}}
    assert attempt(plugin(), "UPDATE", PODS, labelled, mine, NODE, "status") == 'node "n1" cannot update labels through pod status'
    claimed = {**mine, "status": {"resourceClaimStatuses": [{"name": "x", "resourceClaimName": "stolen"}]}}
    assert attempt(plugin(), "UPDATE", PODS, claimed, mine, NODE, "status") == 'node "n1" cannot update resource claim statuses'
    assert "unexpected pod subresource" in attempt(plugin(), "UPDATE", PODS, mine, mine, NODE, "ephemeralcontainers")


def test_evictions() -> None:
    reader = plugin()._reader
    check_eviction(reader, NODE, "a", "mine")
    check_eviction(reader, ADMIN, "a", "other")
    with pytest.raises(ApiError, match="node n1 can only evict pods"):
        check_eviction(reader, NODE, "a", "other")


def node(name: str = "n1", labels: dict[str, str] | None = None, **fields: Any) -> Object:
    metadata = fields.pop("metadata", {}) | ({"labels": labels} if labels else {})
    return named(name, metadata=metadata, **fields)


TAINT = {"key": "k", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        (node(labels={"kubernetes.io/hostname": "n1", "own": "x", "node.kubernetes.io/pool": "p"}, spec={"taints": [TAINT]}), ""),
        (node("n2"), 'node "n1" is not allowed to modify node "n2"'),
        (node(metadata={"ownerReferences": [OWNER]}), 'node "n1" is not allowed to set owner references'),
        (
            node(labels={"node-restriction.kubernetes.io/pci": "yes", "kubernetes.io/other": "x"}),
            'node "n1" is not allowed to set the following labels: kubernetes.io/other, node-restriction.kubernetes.io/pci',
        ),
        (node(spec={"configSource": {}, "x": 1}), ""),
        (node(spec={"configSource": {"configMap": {}}}), 'node "n1" is not allowed to create pods with a non-nil configSource'),
    ],
)
def test_attack_17_a_node_registers_itself(obj: Object, told: str) -> None:
    assert attempt(plugin(), "CREATE", NODES, obj, user=NODE) == told


@pytest.mark.parametrize("subresource", ["", "status"])
@pytest.mark.parametrize(
    ("new", "old", "told"),
    [
        (node(status={"x": 1}), node(), ""),
        (node(labels={"own": "x"}), node(), ""),
        (node(spec={"taints": []}), node(spec={"taints": [TAINT]}), 'node "n1" is not allowed to modify taints'),
        (node(spec={"taints": [TAINT]}), node(), 'node "n1" is not allowed to modify taints'),
        (node(metadata={"ownerReferences": [OWNER]}), node(), 'node "n1" is not allowed to modify ownerReferences'),
        (node(), node(metadata={"ownerReferences": [OWNER]}), 'node "n1" is not allowed to modify ownerReferences'),
        (
            node(labels={"node-role.kubernetes.io/control-plane": ""}),
            node(),
            'node "n1" is not allowed to modify labels: node-role.kubernetes.io/control-plane',
        ),
        (
            node(),
            node(labels={"x.node-restriction.kubernetes.io/y": "z"}),
            'node "n1" is not allowed to modify labels: x.node-restriction.kubernetes.io/y',
        ),
        (node("n2"), node("n2"), 'node "n1" is not allowed to modify node "n2"'),
    ],
)
def test_attack_17_a_node_updates_itself(subresource: str, new: Object, old: Object, told: str) -> None:
    assert attempt(plugin(), "UPDATE", NODES, new, old, NODE, subresource) == told


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        (["10.244.1.0/24"], ""),
        (["10.244.0.0/24"], 'node "n1" is not allowed to take the pod range of node "n2"'),
        (["10.244.1.0/24", "10.244.0.0/16"], 'node "n1" is not allowed to take the pod range of node "n2"'),
        (["2001:db8::/64"], ""),
        (["nonsense"], ""),
    ],
)
def test_attack_17_a_node_takes_no_other_nodes_pod_addresses(ranges: list[str], told: str) -> None:
    reader = MemoryReader()
    reader.put(NODES, named("n1", spec={}))
    reader.put(NODES, named("n2", spec={"podCIDRs": ["10.244.0.0/24"]}))
    claiming = named("n1", spec={"podCIDRs": ranges})
    assert attempt(NodeRestriction(reader), "CREATE", NODES, claiming, user=NODE) == told
    assert attempt(NodeRestriction(reader), "UPDATE", NODES, claiming, named("n1", spec={}), NODE) == told
    single = named("n1", spec={"podCIDR": ranges[-1]})
    assert attempt(NodeRestriction(reader), "CREATE", NODES, single, user=NODE) == told


def test_which_labels_are_a_kubelets() -> None:
    allowed = {"kubernetes.io/os", "topology.kubernetes.io/zone", "kubelet.kubernetes.io/x", "a.node.kubernetes.io/x", "example.com/x", "x"}
    assert forbidden_labels(allowed) == []
    refused = {"kubernetes.io/x", "k8s.io/x", "a.k8s.io/x", "node-role.kubernetes.io/x", "node-restriction.kubernetes.io/x"}
    assert forbidden_labels(refused | allowed) == sorted(refused)


def test_leases_and_csi_nodes() -> None:
    same = "can only access node lease with the same name as the requesting node"
    assert attempt(plugin(), "CREATE", LEASES, named("n1", "kube-node-lease"), user=NODE) == ""
    assert attempt(plugin(), "CREATE", LEASES, named("n2", "kube-node-lease"), user=NODE) == same
    assert (
        attempt(plugin(), "CREATE", LEASES, named("n1", "a"), user=NODE)
        == 'can only access leases in the "kube-node-lease" system namespace'
    )
    assert (
        attempt(plugin(), "UPDATE", CSI_NODES, named("n2"), named("n2"), NODE)
        == "can only access CSINode with the same name as the requesting node"
    )


def test_claims() -> None:
    old = named("c", "a", spec={}, status={"capacity": {"storage": "1Gi"}})
    grown = {**old, "status": {"capacity": {"storage": "2Gi"}, "conditions": [{"type": "Resizing"}]}}
    assert attempt(plugin(), "UPDATE", CLAIMS, grown, old, NODE, "status") == ""
    assert attempt(plugin(), "UPDATE", CLAIMS, grown, old, NODE) == "may only update PVC status"
    bound = {**old, "status": old["status"] | {"phase": "Bound"}}
    assert "not allowed to update fields other than" in attempt(plugin(), "UPDATE", CLAIMS, bound, old, NODE, "status")
    freed = {**old, "metadata": old["metadata"] | {"finalizers": []}}
    assert "not allowed to update fields other than" in attempt(plugin(), "UPDATE", CLAIMS, freed, old, NODE, "status")


def test_a_node_without_a_name_is_refused() -> None:
    nameless = User("kubelet", groups=("system:nodes",))
    assert attempt(plugin(), "CREATE", PODS, mirror(), user=nameless) == 'could not determine node from user "kubelet"'
