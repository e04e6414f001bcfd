"""A kubelet reaches what its pods refer to, in every place a pod can refer from, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.authz.node import CLAIMS, PODS, VOLUMES, NodeAuthorizer
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.user import User

NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


def ask(
    verb: str, resource: str, name: str = "", namespace: str = "", subresource: str = "", group: str = "", fields: str = ""
) -> Attributes:
    return Attributes(NODE, verb, group, "v1", resource, subresource, namespace, name, field_selector=fields)


def pod(name: str = "p", node: str = "n1", namespace: str = "a", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"nodeName": node, "containers": [{"name": "c"}], **spec}}


def container(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "c", **fields}]


REFERENCES = [
    ("secrets", "s", {"imagePullSecrets": [{"name": "s"}]}),
    ("secrets", "s", {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
    ("secrets", "s", {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}),
    ("secrets", "s", {"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]}),
    ("configmaps", "s", {"volumes": [{"name": "v", "configMap": {"name": "s"}}]}),
    ("configmaps", "s", {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "s"}}]}}]}),
    *(
        (resource, "s", {kind: container(**fields)})
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for resource, fields in (
            ("secrets", {"envFrom": [{"secretRef": {"name": "s"}}]}),
            ("secrets", {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            ("configmaps", {"envFrom": [{"configMapRef": {"name": "s"}}]}),
            ("configmaps", {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}]}),
        )
    ),
    ("persistentvolumeclaims", "s", {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]}),
    ("persistentvolumeclaims", "p-v", {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]}),
]


@pytest.mark.parametrize(("resource", "name", "spec"), REFERENCES)
def test_every_place_of_a_reference(resource: str, name: str, spec: dict[str, Any]) -> None:
    reader = MemoryReader()
    authorizer = NodeAuthorizer(reader)
    asked = ask("get", resource, name, "a")
    assert authorizer.authorize(asked).reason == "no relationship found between node 'n1' and this object"
    reader.put(PODS, pod(node="n2", **spec))
    assert not authorizer.authorize(asked).allowed
    reader.put(PODS, pod(namespace="b", **spec))
    assert not authorizer.authorize(asked).allowed
    reader.put(PODS, pod(**spec))
    assert authorizer.authorize(asked).allowed
    assert authorizer.authorize(asked).allowed
    assert not authorizer.authorize(ask("get", resource, "other", "a")).allowed
    assert not authorizer.authorize(ask("update", resource, name, "a")).allowed
    reader.remove(PODS, "a", "p")
    assert not authorizer.authorize(asked).allowed


def test_a_mirror_pod_lends_no_rights() -> None:
    reader = MemoryReader()
    mirror = pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    reader.put(PODS, mirror)
    assert not NodeAuthorizer(reader).authorize(ask("get", "secrets", "s", "a")).allowed


def test_volumes_behind_claims() -> None:
    reader = MemoryReader()
    reader.put(PODS, pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]))
    reader.put(CLAIMS, {"metadata": {"name": "c", "namespace": "a"}, "spec": {"volumeName": "pv"}})
    authorizer = NodeAuthorizer(reader)
    volume = {"metadata": {"name": "pv"}, "spec": {"csi": {"nodeStageSecretRef": {"name": "s", "namespace": "drivers"}}}}
    reader.put(VOLUMES, volume)
    assert not authorizer.authorize(ask("get", "persistentvolumes", "pv")).allowed, "the volume does not name the claim"
    reader.put(VOLUMES, {"metadata": volume["metadata"], "spec": volume["spec"] | {"claimRef": {"namespace": "a", "name": "c"}}})
    assert authorizer.authorize(ask("get", "persistentvolumes", "pv")).allowed
    assert authorizer.authorize(ask("get", "secrets", "s", "drivers")).allowed
    assert not authorizer.authorize(ask("get", "secrets", "s", "a")).allowed
    assert authorizer.authorize(ask("patch", "persistentvolumeclaims", "c", "a", "status")).allowed
    assert not authorizer.authorize(ask("update", "persistentvolumeclaims", "c", "a")).allowed


COORDINATION, STORAGE = "coordination.k8s.io", "storage.k8s.io"


@pytest.mark.parametrize(
    ("asked", "allowed", "reason"),
    [
        (ask("get", "nodes", "n1"), True, ""),
        (ask("get", "nodes", "n2"), False, "node 'n1' cannot read 'n2', only its own Node object"),
        (ask("list", "nodes"), False, "node 'n1' cannot read all nodes, only its own Node object"),
        (ask("create", "nodes"), True, ""),
        (ask("patch", "nodes", "n1", subresource="status"), True, ""),
        (ask("delete", "nodes", "n1"), False, ""),
        (ask("get", "nodes", "n1", subresource="proxy"), False, ""),
        (ask("list", "pods", fields="spec.nodeName=n1"), True, ""),
        (ask("watch", "pods", fields="status.phase!=Failed,spec.nodeName==n1"), True, ""),
        (ask("list", "pods", fields="spec.nodeName!=n1"), False, "can only list/watch pods with spec.nodeName field selector"),
        (ask("list", "pods"), False, "can only list/watch pods with spec.nodeName field selector"),
        (ask("update", "pods", "p", "a", "status"), True, ""),
        (ask("patch", "pods", "p", "a"), False, ""),
        (ask("create", "pods", "p", "a", "exec"), False, ""),
        (ask("list", "secrets", "", "a"), False, "No Object name found"),
        (ask("get", "persistentvolumes"), False, "No Object name found"),
        (ask("list", "persistentvolumes"), False, "can only get individual resources of this type"),
        (ask("get", "volumeattachments", "v", subresource="status", group=STORAGE), False, "cannot get subresource"),
        (ask("get", "persistentvolumeclaims", "c", "a", "status"), False, "can only get/update/patch this type"),
        (ask("list", "pods", "p", "a"), False, "no relationship found between node 'n1' and this object"),
        (ask("list", "secrets"), False, "can only read namespaced object of this type"),
        (ask("delete", "secrets", "s", "a"), False, "can only read resources of this type"),
        (ask("update", "leases", "n1", "kube-node-lease", group=COORDINATION), True, ""),
        (
            ask("update", "leases", "n2", "kube-node-lease", group=COORDINATION),
            False,
            "can only access node lease with the same name as the requesting node",
        ),
        (ask("get", "leases", "n1", "a", group=COORDINATION), False, 'can only access leases in the "kube-node-lease" system namespace'),
        (ask("create", "csinodes", "", group=STORAGE), True, ""),
        (ask("get", "csinodes", "n2", group=STORAGE), False, "can only access CSINode with the same name as the requesting node"),
        (ask("list", "services"), True, ""),
        (ask("create", "events", "", "a"), True, ""),
        (ask("create", "tokenreviews", group="authentication.k8s.io"), True, ""),
        (ask("create", "serviceaccounts", "default", "a", "token"), False, "no relationship found between node 'n1' and this object"),
        (ask("create", "deployments", group="apps"), False, ""),
    ],
)
def test_what_is_a_nodes_own(asked: Attributes, allowed: bool, reason: str) -> None:
    decision = NodeAuthorizer(MemoryReader()).authorize(asked)
    assert (decision.allowed, decision.reason) == (allowed, reason)


def test_tokens_of_its_pods_accounts() -> None:
    reader = MemoryReader()
    reader.put(PODS, pod(serviceAccountName="robot"))
    authorizer = NodeAuthorizer(reader)
    assert authorizer.authorize(ask("create", "serviceaccounts", "robot", "a", "token")).allowed
    assert not authorizer.authorize(ask("create", "serviceaccounts", "robot", "b", "token")).allowed
    assert authorizer.authorize(ask("get", "pods", "p", "a")).allowed


def test_a_name_alone_makes_no_node() -> None:
    pretender = User("system:node:n1", groups=("system:authenticated",))
    assert not NodeAuthorizer(MemoryReader()).authorize(Attributes(pretender, "get", "", "v1", "nodes", name="n1")).allowed
