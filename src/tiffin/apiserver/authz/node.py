"""The node authorizer: a kubelet reaches only what belongs to it or to the pods bound to it.

What a node may do in general is the list of rules `NODE_RULES`; on top of that objects are checked one by one: secrets,
config maps, claims, volumes, service accounts only if a pod of the node refers to them; pods only if bound to the node; nodes,
leases and CSI nodes only of its own name. What a node may *write* into its objects is NodeRestriction's business.
Source: Kubernetes documentation "Using Node Authorization", KEP-4601 (selectors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tiffin.apiserver.authz.attributes import ALLOWED, NO_OPINION, Attributes, Decision
from tiffin.apiserver.authz.rules import Compiled, Rule
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import node_of
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of

PODS = Resource("", "v1", "pods")
VOLUMES = Resource("", "v1", "persistentvolumes")
CLAIMS = Resource("", "v1", "persistentvolumeclaims")
ATTACHMENTS = Resource("storage.k8s.io", "v1", "volumeattachments")
RESOURCE_CLAIMS = Resource("resource.k8s.io", "v1", "resourceclaims")

READ, READ_LISTED = ("get",), ("get", "list", "watch")


def rule(verbs: Iterable[str], group: str, *resources: str) -> Rule:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


NODE_RULES: tuple[Rule, ...] = (
    rule(("create",), "authentication.k8s.io", "tokenreviews"),
    rule(("create",), "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
    rule(READ_LISTED, "", "services"),
    rule(("create", *READ_LISTED), "", "nodes"),
    rule(("update", "patch"), "", "nodes/status"),
    rule(("update", "patch"), "", "nodes"),
    rule(("create", "update", "patch"), "", "events"),
    rule(READ_LISTED, "", "pods"),
    rule(("create", "delete"), "", "pods"),
    rule(("update", "patch"), "", "pods/status"),
    rule(("create",), "", "pods/eviction"),
    rule(READ_LISTED, "", "configmaps", "secrets"),
    rule(READ, "", "persistentvolumeclaims", "persistentvolumes"),
    rule(("create", *READ_LISTED), "certificates.k8s.io", "certificatesigningrequests"),
    rule(("get", "create", "update", "patch", "delete"), "coordination.k8s.io", "leases"),
    rule(READ, "storage.k8s.io", "volumeattachments"),
    rule(("create",), "", "serviceaccounts/token"),
    rule(("get", "update", "patch"), "", "persistentvolumeclaims/status"),
    rule(READ_LISTED, "storage.k8s.io", "csidrivers"),
    rule(("get", "create", "update", "patch", "delete"), "storage.k8s.io", "csinodes"),
    rule(READ_LISTED, "node.k8s.io", "runtimeclasses"),
    rule(READ, "resource.k8s.io", "resourceclaims"),
    rule(("deletecollection",), "resource.k8s.io", "resourceslices"),
    rule(("get", "list", "watch", "create", "update", "patch", "delete"), "resource.k8s.io", "resourceslices"),
    rule(READ, "", "serviceaccounts"),
)

_OWN_NAME = ("get", "create", "update", "patch", "delete")

Reference = tuple[str, str, str]
"""Resource, namespace and name of something a pod refers to."""


class NodeAuthorizer:
    """Decides for kubelets; has no opinion on anyone else."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rules = tuple(Compiled(rule) for rule in NODE_RULES)
        self._pods_of: dict[str, list[tuple[str, str]]] = {}
        self._revision = -1
        self._grounds: dict[tuple[str, Reference], tuple[str, str]] = {}
        self._checks: dict[str, Callable[[str, Attributes], Decision]] = {
            "secrets": self._read_referenced,
            "configmaps": self._read_referenced,
            "persistentvolumeclaims": self._claim,
            "persistentvolumes": self._get_referenced,
            "resourceclaims.resource.k8s.io": self._get_referenced,
            "volumeattachments.storage.k8s.io": self._attachment,
            "serviceaccounts": self._service_account,
            "leases.coordination.k8s.io": self._lease,
            "csinodes.storage.k8s.io": self._csi_node,
            "resourceslices.resource.k8s.io": self._resource_slice,
            "nodes": self._node,
            "pods": self._pod,
        }

    def authorize(self, a: Attributes) -> Decision:
        node = node_of(a.user)
        if not node:
            return NO_OPINION
        check = self._checks.get(a.group_resource) if a.is_resource else None
        if check is not None:
            return check(node, a)
        return ALLOWED if any(rule.allows(a) for rule in self._rules) else NO_OPINION

    def _read_referenced(self, node: str, a: Attributes) -> Decision:
        if a.verb not in READ_LISTED:
            return Decision(False, "can only read resources of this type")
        if a.subresource:
            return Decision(False, "cannot read subresource")
        if not a.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, a) if a.name else _NAMELESS

    def _get_referenced(self, node: str, a: Attributes) -> Decision:
        return _refusal_to_get(a) or self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> Decision:
        if a.subresource != "status":
            return self._get_referenced(node, a)
        if a.verb not in ("update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, a) if a.name else _NAMELESS

    def _attachment(self, node: str, a: Attributes) -> Decision:
        refusal = _refusal_to_get(a)
        if refusal is not None:
            return refusal
        found = self._reader.get(ATTACHMENTS, "", a.name)
        return ALLOWED if found and dig(found, "spec", "nodeName") == node else _unrelated(node)

    def _service_account(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "token":
            if a.verb != "create" or not a.name:
                return Decision(False, "can only create tokens for individual service accounts")
            return self._related(node, a)
        return self._get_referenced(node, a)

    def _lease(self, node: str, a: Attributes) -> Decision:
        if a.verb not in _OWN_NAME:
            return Decision(False, "can only get, create, update, patch, or delete a node lease")
        if a.namespace != "kube-node-lease":
            return Decision(False, 'can only access leases in the "kube-node-lease" system namespace')
        if a.verb != "create" and a.name != node:  # a name to be created is only known to admission
            return Decision(False, "can only access node lease with the same name as the requesting node")
        return ALLOWED

    def _csi_node(self, node: str, a: Attributes) -> Decision:
        if a.verb not in _OWN_NAME:
            return Decision(False, "can only get, create, update, patch, or delete a CSINode")
        if a.subresource:
            return Decision(False, "cannot authorize CSINode subresources")
        if a.verb != "create" and a.name != node:
            return Decision(False, "can only access CSINode with the same name as the requesting node")
        return ALLOWED

    def _resource_slice(self, node: str, a: Attributes) -> Decision:
        if a.subresource:
            return Decision(False, "cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return ALLOWED
        if a.verb in ("list", "watch", "deletecollection"):
            if _selected(a, "spec.nodeName") == node:
                return ALLOWED
            return Decision(False, "can only list/watch/deletecollection resourceslices with nodeName field selector")
        if a.verb not in ("get", "update", "patch", "delete"):
            return Decision(False, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, "
                            "deletecollection")
        if not a.name:
            return _NAMELESS
        found = self._reader.get(Resource(a.group, a.version, a.resource), "", a.name)
        return ALLOWED if found and dig(found, "spec", "nodeName") == node else _unrelated(node)

    def _node(self, node: str, a: Attributes) -> Decision:
        if a.subresource == "status":
            return ALLOWED if a.verb in ("update", "patch") else NO_OPINION
        if a.subresource:
            return NO_OPINION
        if a.verb in ("create", "update", "patch"):
            return ALLOWED
        if a.verb in READ_LISTED:
            if a.name == node:
                return ALLOWED
            if not a.name:
                return Decision(False, f"node '{node}' cannot read all nodes, only its own Node object")
            return Decision(False, f"node '{node}' cannot read '{a.name}', only its own Node object")
        return NO_OPINION

    def _pod(self, node: str, a: Attributes) -> Decision:
        if (a.subresource, a.verb) in (("status", "update"), ("status", "patch"), ("eviction", "create"), ("", "create"), ("", "delete")):
            return ALLOWED
        if a.subresource:
            return NO_OPINION
        if a.verb == "get":
            return self._own_pod(node, a) if a.name else _NAMELESS
        if a.verb in ("list", "watch"):
            if _selected(a, "spec.nodeName") == node:
                return ALLOWED
            if a.name:
                return self._own_pod(node, a)
            return Decision(False, "can only list/watch pods with spec.nodeName field selector")
        return NO_OPINION

    def _own_pod(self, node: str, a: Attributes) -> Decision:
        pod = self._reader.get(PODS, a.namespace, a.name)
        return ALLOWED if pod and dig(pod, "spec", "nodeName") == node else _unrelated(node)

    def _related(self, node: str, a: Attributes) -> Decision:
        """Allowed if a pod of the node refers to the object; the pod that did so last is asked first."""
        wanted = (a.resource, a.namespace, a.name)
        ground = self._grounds.get((node, wanted))
        if ground and self._refers(node, ground, wanted):
            return ALLOWED
        for key in self._pods(node):
            if self._refers(node, key, wanted):
                if len(self._grounds) > 65536:
                    self._grounds.clear()
                self._grounds[node, wanted] = key
                return ALLOWED
        return _unrelated(node)

    def _refers(self, node: str, pod: tuple[str, str], wanted: Reference) -> bool:
        found = self._reader.get(PODS, *pod)
        return found is not None and dig(found, "spec", "nodeName") == node and wanted in self._references(found)

    def _pods(self, node: str) -> list[tuple[str, str]]:
        revision = self._reader.revision(PODS)
        if revision != self._revision:
            self._pods_of, self._revision = {}, revision
            for pod in self._reader.list(PODS):
                if name := pod["spec"].get("nodeName"):
                    self._pods_of.setdefault(name, []).append((namespace_of(pod), name_of(pod)))
        return self._pods_of.get(node, [])

    def _references(self, pod: Object) -> Iterator[Reference]:
        """Everything the kubelet needs for the pod. A mirror pod only mirrors, and lends no rights."""
        if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
            return
        namespace = namespace_of(pod)
        if account := pod["spec"].get("serviceAccountName"):
            yield "serviceaccounts", namespace, account
        for resource, name in referenced(pod):
            yield resource, namespace, name
            if resource == "persistentvolumeclaims":
                yield from self._behind_claim(namespace, name)

    def _behind_claim(self, namespace: str, claim: str) -> Iterator[Reference]:
        """The volume a claim is bound to, and the secrets its driver needs."""
        volume = dig(self._reader.get(CLAIMS, namespace, claim), "spec", "volumeName")
        found = self._reader.get(VOLUMES, "", volume) if volume else None
        if found is None or (dig(found, "spec", "claimRef", "namespace"), dig(found, "spec", "claimRef", "name")) != (namespace, claim):
            return
        yield "persistentvolumes", "", volume
        for source in found["spec"].values():
            for name, reference in source.items() if isinstance(source, dict) else ():
                if name.lower().endswith("secretref") and isinstance(reference, dict):
                    yield "secrets", reference.get("namespace") or namespace, reference.get("name", "")


def referenced(pod: Object) -> Iterator[tuple[str, str]]:
    """Secrets, config maps and claims of the pod's own namespace that it names, in volumes, containers of every kind and pulls."""
    spec = pod["spec"]
    for reference in spec.get("imagePullSecrets") or ():
        yield "secrets", reference.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from of_volume(pod, volume)
    for status in dig(pod, "status", "resourceClaimStatuses", default=()):
        if status.get("resourceClaimName"):
            yield "resourceclaims", status["resourceClaimName"]
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield "resourceclaims", claim["resourceClaimName"]


def _of_container(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        for field, resource in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if field in source:
                yield resource, dig(source, field, "name", default="")
    for variable in container.get("env") or ():
        for field, resource in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
            if name := dig(variable, "valueFrom", field, "name"):
                yield resource, name


def of_volume(pod: Object, volume: Object) -> Iterator[tuple[str, str]]:
    """The same for one volume."""
    sources = [volume, *(dig(volume, "projected", "sources") or ())]
    for source in sources:
        if "secret" in source:
            yield "secrets", source["secret"].get("secretName") or source["secret"].get("name", "")
        if "configMap" in source:
            yield "configmaps", source["configMap"].get("name", "")
    if claim := dig(volume, "persistentVolumeClaim", "claimName"):
        yield "persistentvolumeclaims", claim
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{name_of(pod)}-{volume['name']}"
    for source in volume.values():
        for name, reference in source.items() if isinstance(source, dict) else ():
            if name.lower().endswith("secretref") and isinstance(reference, dict):
                yield "secrets", reference.get("name", "")
    if secret := dig(volume, "azureFile", "secretName"):
        yield "secrets", secret


def _selected(a: Attributes, field: str) -> str:
    """The value the request's field selector demands of a field, "" if none."""
    for part in a.field_selector.split(","):
        name, found, value = part.partition("=")
        if found and name.strip() == field:
            return value.removeprefix("=").strip()
    return ""


_NAMELESS = Decision(False, "No Object name found")


def _refusal_to_get(a: Attributes) -> Decision | None:
    """Why a request is not the GET of one object, None where it is."""
    if a.verb != "get":
        return Decision(False, "can only get individual resources of this type")
    if a.subresource:
        return Decision(False, "cannot get subresource")
    return None if a.name else _NAMELESS


def _unrelated(node: str) -> Decision:
    return Decision(False, f"no relationship found between node '{node}' and this object")
