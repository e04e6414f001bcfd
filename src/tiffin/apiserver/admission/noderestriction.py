"""NodeRestriction: what a kubelet may write into the objects that the node authorizer lets it reach.

Allow-lists, on create as on update. A node
* makes only its own Node, without owners, configSource or labels beyond the kubelet's; and never changes its taints, owners or
  other labels (CVE-2025-5187),
* claims no range of pod addresses that overlaps another node's: traffic follows these ranges (beyond what Kubernetes checks),
* makes only mirror pods of itself that refer to no other object (CVE-2025-4563); deletes, evicts and reports only its own pods,
* touches only its own lease, CSINode and resource slices, and of claims only what resizing changes,
* gets only tokens bound to a pod of its own, for audiences that pod uses; requests only certificates for itself.
Source: Kubernetes documentation "Admission Control", NodeRestriction; KEP-279, KEP-4412.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from tiffin.apiserver.admission.attributes import CREATE, DELETE, UPDATE, AdmissionAttributes, forbidden
from tiffin.apiserver.admission.certificates import REQUESTS, requested_subject
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.authz.node import CLAIMS, PODS, referenced
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import NODE_PREFIX, NODES, User, node_of
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, Resource, annotations_of, dig, labels_of, name_of, uid_of
from tiffin.net.pki import InvalidRequest

_NODES = Resource("", "v1", "nodes")
VOLUMES = Resource("", "v1", "persistentvolumes")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses")
CSI_DRIVERS = Resource("storage.k8s.io", "v1", "csidrivers")
MIRROR = "kubernetes.io/config.mirror"
LEASES = "kube-node-lease"

_KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    )
)
_KUBELET_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBERNETES_NAMESPACES = ("kubernetes.io", "k8s.io")
_RESTRICTED_NAMESPACE = "node-restriction.kubernetes.io"
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
_RESIZED = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses", "resizeStatus", "modifyVolumeStatus")
"""What of a claim's status the kubelet of a resized volume reports."""

Check = Callable[[AdmissionAttributes, str, Object | None, Object | None], None]


class NodeRestriction(Plugin):
    """Has a say only in what kubelets write; runs before anything that would complete their objects' references."""

    operations = (CREATE, UPDATE, DELETE)
    resources = (
        "pods",
        "nodes",
        "persistentvolumeclaims",
        "leases.coordination.k8s.io",
        "csinodes.storage.k8s.io",
        "resourceslices.resource.k8s.io",
        REQUESTS,
    )

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._checks: dict[str, Check] = {
            "pods": self._pod,
            "nodes": self._node,
            "persistentvolumeclaims": self._claim,
            "leases.coordination.k8s.io": self._lease,
            "csinodes.storage.k8s.io": self._csi_node,
            "resourceslices.resource.k8s.io": self._resource_slice,
            REQUESTS: self._certificate,
        }

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if a.operation != DELETE:  # deletes have nothing to be admitted, and are looked at by `validate`
            self._check(a, obj, old)

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        """Once more on what will really be stored: no later plugin may have added what a node must not write."""
        if a.operation == DELETE or a.group_resource in ("pods", "nodes"):
            self._check(a, obj, old)

    def _check(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if NODES not in a.user.groups:
            return
        node = node_of(a.user)
        if not node:
            raise forbidden(a, obj, f"could not determine node from user {shown(a.user.name)}")
        self._checks[a.group_resource](a, node, obj, old)

    # pods

    def _pod(self, a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if a.subresource == "status":
            self._pod_status(a, node, obj, old)
        elif a.subresource == "eviction":
            return  # `check_eviction` looks at the pod itself
        elif a.subresource:
            raise forbidden(a, obj, f"unexpected pod subresource {shown(a.subresource)}, only 'status' and 'eviction' are allowed")
        elif a.operation == DELETE:
            if dig(old, "spec", "nodeName") != node:
                raise forbidden(a, old, f"node {shown(node)} can only delete pods with spec.nodeName set to itself")
        elif a.operation != CREATE or obj is None:
            raise forbidden(a, obj, f"unexpected operation {shown(a.operation)}, node {shown(node)} can only create and delete mirror pods")
        elif complaint := next(self._pod_complaints(node, obj), None):
            raise forbidden(a, obj, complaint)

    def _pod_complaints(self, node: str, pod: Object) -> Iterator[str]:
        """Why this is no mirror pod a node may make."""
        me = f"node {shown(node)}"
        if MIRROR not in annotations_of(pod):
            yield f"pod does not have {shown(MIRROR)} annotation, {me} can only create mirror pods"
        if pod["spec"].get("nodeName") != node:
            yield f"{me} can only create pods with spec.nodeName set to itself"
        yield from self._owner_complaints(node, pod["metadata"].get("ownerReferences") or [])
        if pod["spec"].get("serviceAccountName"):
            yield f"{me} can not create pods that reference a service account"
        for resource, _ in referenced(pod):
            yield f"{me} can not create pods that reference {resource}"
        for field in ("resourceClaims", "resourceClaimStatuses"):
            if pod["spec"].get(field) or dig(pod, "status", field):
                yield f"{me} can not create pods that reference resourceclaims"
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume, *dig(volume, "projected", "sources", default=())):
                for field, word in _FORBIDDEN_SOURCES:
                    if field in source:
                        yield f"{me} can not create pods that reference {word}"

    def _owner_complaints(self, node: str, owners: list[dict[str, Any]]) -> Iterator[str]:
        me = f"node {shown(node)}"
        if len(owners) > 1:
            yield f"{me} can only create pods with a single owner reference set to itself"
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            yield f"{me} can only create pods with an owner reference set to itself"
        if not owner.get("controller"):
            yield f"{me} can only create pods with a controller owner reference set to itself"
        if owner.get("blockOwnerDeletion"):
            yield f"{me} must not set blockOwnerDeletion on an owner reference"
        found = self._reader.get(_NODES, "", node)
        if found is None or owner.get("uid") != uid_of(found):
            yield f"node {node} UID mismatch: expected {uid_of(found or {})} got {owner.get('uid', '')}"

    @staticmethod
    def _pod_status(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if a.operation != UPDATE:
            raise forbidden(a, obj, f"unexpected operation {shown(a.operation)}, node {shown(node)} can only update pod status")
        assert obj is not None and old is not None
        if old["spec"].get("nodeName") != node:
            raise forbidden(a, obj, f"node {shown(node)} can only update pod status for pods with spec.nodeName set to itself")
        if labels_of(obj) != labels_of(old):
            raise forbidden(a, obj, f"node {shown(node)} cannot update labels through pod status")
        if dig(obj, "status", "resourceClaimStatuses") != dig(old, "status", "resourceClaimStatuses"):
            raise forbidden(a, obj, f"node {shown(node)} cannot update resource claim statuses")
        if (obj["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise forbidden(a, obj, f"node {shown(node)} cannot update owner references through pod status")

    # nodes

    def _node(self, a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        target = obj if obj is not None else old
        name = name_of(target or {})
        if name != node:
            raise forbidden(a, obj, f"node {shown(node)} is not allowed to modify node {shown(name)}")
        if obj is None:
            return
        if _ranges(obj) != _ranges(old or {}):
            self._check_ranges(a, node, obj)
        if old is None:
            self._new_node(a, node, obj)
        else:
            self._changed_node(a, node, obj, old)

    def _check_ranges(self, a: AdmissionAttributes, node: str, obj: Object) -> None:
        claimed = [network for network in map(_network, _ranges(obj)) if network]
        for other in self._reader.list(_NODES) if claimed else ():
            taken = [network for network in map(_network, _ranges(other)) if network]
            if name_of(other) != node and any(x.version == y.version and x.overlaps(y) for x in claimed for y in taken):
                raise forbidden(a, obj, f"node {shown(node)} is not allowed to take the pod range of node {shown(name_of(other))}")

    @staticmethod
    def _new_node(a: AdmissionAttributes, node: str, obj: Object) -> None:
        if dig(obj, "spec", "configSource"):
            raise forbidden(a, obj, f"node {shown(node)} is not allowed to create pods with a non-nil configSource")
        if obj["metadata"].get("ownerReferences"):
            raise forbidden(a, obj, f"node {shown(node)} is not allowed to set owner references")
        if labels := forbidden_labels(set(labels_of(obj))):
            raise forbidden(a, obj, f"node {shown(node)} is not allowed to set the following labels: {', '.join(labels)}")

    @staticmethod
    def _changed_node(a: AdmissionAttributes, node: str, obj: Object, old: Object) -> None:
        me = f"node {shown(node)} is not allowed to"
        source = dig(obj, "spec", "configSource")
        if source and source != dig(old, "spec", "configSource"):
            raise forbidden(a, obj, f"{me} update configSource to a new non-nil configSource")
        if dig(obj, "spec", "taints", default=[]) != dig(old, "spec", "taints", default=[]):
            raise forbidden(a, obj, f"{me} modify taints")
        if (obj["metadata"].get("ownerReferences") or []) != (old["metadata"].get("ownerReferences") or []):
            raise forbidden(a, obj, f"{me} modify ownerReferences")
        new_labels, old_labels = labels_of(obj), labels_of(old)
        changed = {key for key in {*new_labels, *old_labels} if new_labels.get(key) != old_labels.get(key)}
        if labels := forbidden_labels(changed):
            raise forbidden(a, obj, f"{me} modify labels: {', '.join(labels)}")

    # the rest

    @staticmethod
    def _claim(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if a.subresource != "status":
            raise forbidden(a, obj, "may only update PVC status")
        if a.operation != UPDATE or obj is None or old is None:
            raise forbidden(a, obj, f"unexpected operation {shown(a.operation)}")
        if _without_resize(obj) != _without_resize(old):
            message = f"node {shown(node)} is not allowed to update fields other than status.quantity and status.conditions"
            raise forbidden(a, obj, message)

    @staticmethod
    def _lease(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if a.namespace != LEASES:
            raise forbidden(a, obj, f"can only access leases in the {shown(LEASES)} system namespace")
        if name_of(obj if obj is not None else old or {}) != node:
            raise forbidden(a, obj, "can only access node lease with the same name as the requesting node")

    @staticmethod
    def _csi_node(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if name_of(obj if obj is not None else old or {}) != node:
            raise forbidden(a, obj, "can only access CSINode with the same name as the requesting node")

    @staticmethod
    def _resource_slice(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        for slice_ in (obj, old):
            if slice_ is not None and dig(slice_, "spec", "nodeName") != node:
                word = {CREATE: "create", DELETE: "delete"}.get(a.operation, "update")
                raise forbidden(a, obj, f"can only {word} ResourceSlice with the same NodeName as the requesting node")

    @staticmethod
    def _certificate(a: AdmissionAttributes, node: str, obj: Object | None, old: Object | None) -> None:
        if a.operation != CREATE or a.subresource or dig(obj, "spec", "signerName") not in _NODE_SIGNERS:
            return
        try:
            name = requested_subject(obj or {})[0]
        except InvalidRequest as error:
            raise forbidden(a, obj, f"unable to parse csr: {error}") from error
        if name != f"{NODE_PREFIX}{node}":
            raise forbidden(a, obj, f"can only create a node CSR with CN={NODE_PREFIX}{node}")


def _ranges(node: Object) -> set[str]:
    """What the Node says its pods' addresses are, in either field."""
    return {*dig(node, "spec", "podCIDRs", default=()), dig(node, "spec", "podCIDR", default="")} - {""}


def _network(cidr: str) -> IPv4Network | IPv6Network | None:
    """None for what validation will refuse."""
    try:
        return ip_network(cidr, strict=False)
    except ValueError:
        return None


_FORBIDDEN_SOURCES = (
    ("serviceAccountToken", "serviceaccount tokens"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificaterequests"),
    ("ephemeral", "persistentvolumeclaims"),
    ("csi", "csidrivers"),
)
"""Volume sources that stand for other objects, beyond secrets, config maps and claims."""


def forbidden_labels(labels: set[str]) -> list[str]:
    """Those of the labels that a node may not give itself, sorted."""
    return sorted(label for label in labels if _is_forbidden(label))


def _is_forbidden(label: str) -> bool:
    namespace = label.rpartition("/")[0]
    if _within(namespace, _RESTRICTED_NAMESPACE):
        return True
    if not any(_within(namespace, own) for own in _KUBERNETES_NAMESPACES):
        return False
    return label not in _KUBELET_LABELS and not any(_within(namespace, own) for own in _KUBELET_NAMESPACES)


def _within(namespace: str, domain: str) -> bool:
    return namespace == domain or namespace.endswith(f".{domain}")


def _without_resize(claim: Object) -> Object:
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in _RESIZED}
    metadata = {key: value for key, value in claim["metadata"].items() if key not in ("managedFields", "resourceVersion")}
    return {**claim, "metadata": metadata, "status": status}


def check_eviction(reader: Reader, user: User, namespace: str, name: str) -> None:
    """Raises a 403 if `user` is a node and the pod to be evicted is not its own."""
    node = node_of(user)
    if not node:
        return
    pod = reader.get(PODS, namespace, name)
    if pod is None:
        raise errors.not_found("pods", name)
    if pod["spec"].get("nodeName") != node:
        raise errors.forbidden("pods", name, f"node {node} can only evict pods with spec.nodeName set to itself")


def check_token_request(reader: Reader, user: User, namespace: str, account: str, request: Object) -> None:
    """Raises a 403 if `user` is a node that asks for a token of `account` it may not have."""
    node = node_of(user)
    if not node:
        return

    def refuse(message: str) -> ApiError:
        return errors.forbidden("serviceaccounts", account, message)

    reference = dig(request, "spec", "boundObjectRef", default={})
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod") or not reference.get("name"):
        raise refuse("node requested token not bound to a pod")
    if not reference.get("uid"):
        raise refuse("node requested token with a pod binding without a uid")
    pod = reader.get(PODS, namespace, reference["name"])
    if pod is None:
        raise errors.not_found("pods", reference["name"])
    if uid_of(pod) != reference["uid"]:
        recreated = "does not match the UID in record. The object might have been deleted and then recreated"
        raise refuse(f"the UID in the bound object reference ({reference['uid']}) {recreated}")
    if pod["spec"].get("nodeName") != node:
        raise refuse("node requested token bound to a pod scheduled on a different node")
    audiences = dig(request, "spec", "audiences", default=[])
    if len(audiences) > 1:
        raise refuse("node may only request 0 or 1 audiences")
    wanted = audiences[0] if audiences else ""
    if wanted and wanted not in _audiences(reader, pod):
        raise refuse(f"audience {shown(wanted)} not found in pod spec volume")


def _audiences(reader: Reader, pod: Object) -> set[str]:
    """Audiences of tokens that the pod's volumes, and the CSI drivers behind them, are made of."""
    found: set[str] = set()
    drivers: set[str] = set()
    for volume in pod["spec"].get("volumes") or ():
        for source in dig(volume, "projected", "sources", default=()):
            if "serviceAccountToken" in source:
                found.add(source["serviceAccountToken"].get("audience", ""))
        if driver := dig(volume, "csi", "driver"):
            drivers.add(driver)
        drivers.update(_claimed_drivers(reader, pod, volume))
    for driver in drivers:
        requests = dig(reader.get(CSI_DRIVERS, "", driver), "spec", "tokenRequests", default=())
        found.update(request.get("audience", "") for request in requests)
    return found


def _claimed_drivers(reader: Reader, pod: Object, volume: Object) -> Iterator[str]:
    """The CSI driver of the volume that the pod's claim is bound to."""
    claim = dig(volume, "persistentVolumeClaim", "claimName") or (f"{name_of(pod)}-{volume['name']}" if "ephemeral" in volume else "")
    bound = dig(reader.get(CLAIMS, pod["metadata"]["namespace"], claim), "spec", "volumeName") if claim else None
    driver = dig(reader.get(VOLUMES, "", bound), "spec", "csi", "driver") if bound else None
    if driver:
        yield driver
