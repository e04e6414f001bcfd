"""The roles and bindings every cluster starts with, as data.

A role is a list of rules; a rule is one line of text, `verbs | groups | resources | names` (names may be left out), or
`verbs | urls` for paths. Words are separated by blanks; "-" is the empty group; `READ`, `WRITE` and `EVENTS` are spelled out.
Objects carry the label kubernetes.io/bootstrapping and the annotation that lets a newer server add what they lack.
Source: Kubernetes documentation "Default roles and role bindings", as of v1.36.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from tiffin.apiserver.authz.bootstrap_controllers import CONTROLLERS
from tiffin.apiserver.authz.node import NODE_RULES
from tiffin.apiserver.authz.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS, ROLES
from tiffin.apiserver.authz.rules import FULL_AUTHORITY, missing
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, replaced

WORDS = {
    "READ": "get list watch",
    "WRITE": "create delete deletecollection patch update",
    "ALL": "create delete deletecollection get list patch update watch",
    "EVENTS": "create patch update",
}
_EVENTS = "EVENTS | - events.k8s.io | events"
_REVIEWS = ("create | authentication.k8s.io | tokenreviews", "create | authorization.k8s.io | subjectaccessreviews")

CLUSTER_ROLE_RULES: Mapping[str, tuple[str, ...]] = {
    "system:aggregate-to-admin": (
        "create | authorization.k8s.io | localsubjectaccessreviews",
        "ALL | rbac.authorization.k8s.io | rolebindings roles",
    ),
    "system:aggregate-to-edit": (
        "READ | - | pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
        "impersonate | - | serviceaccounts",
        "WRITE | - | pods pods/attach pods/exec pods/portforward pods/proxy",
        "create | - | pods/eviction",
        "WRITE | - | configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
        "secrets serviceaccounts services services/proxy",
        "create | - | serviceaccounts/token",
        "WRITE | apps | daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
        "statefulsets statefulsets/scale",
        "WRITE | autoscaling | horizontalpodautoscalers",
        "WRITE | batch | cronjobs jobs",
        "WRITE | extensions | daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies "
        "replicasets replicasets/scale replicationcontrollers/scale",
        "WRITE | policy | poddisruptionbudgets",
        "WRITE | networking.k8s.io | ingresses networkpolicies",
        "ALL | coordination.k8s.io | leases",
        "WRITE | resource.k8s.io | resourceclaims resourceclaimtemplates",
    ),
    "system:aggregate-to-view": (
        "READ | - | configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        "READ | - | bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        "READ | - | namespaces",
        "READ | discovery.k8s.io | endpointslices",
        "READ | apps | controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
        "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        "READ | autoscaling | horizontalpodautoscalers horizontalpodautoscalers/status",
        "READ | batch | cronjobs cronjobs/status jobs jobs/status",
        "READ | extensions | daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
        "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
        "READ | policy | poddisruptionbudgets poddisruptionbudgets/status",
        "READ | networking.k8s.io | ingresses ingresses/status networkpolicies",
        "READ | resource.k8s.io | resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
    "system:auth-delegator": _REVIEWS,
    "system:basic-user": (
        "create | authorization.k8s.io | selfsubjectaccessreviews selfsubjectrulesreviews",
        "create | authentication.k8s.io | selfsubjectreviews",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/nodeclient",
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        "create | certificates.k8s.io | certificatesigningrequests/selfnodeclient",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client",
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": ("approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving",),
    "system:certificates.k8s.io:legacy-unknown-approver": ("approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown",),
    "tiffin:certificatesigningrequests:nodenetwork": ("create | certificates.k8s.io | certificatesigningrequests/nodenetwork",),
    "system:cluster-trust-bundle-discovery": ("READ | certificates.k8s.io | clustertrustbundles",),
    "system:discovery": ("get | /api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",),
    "system:heapster": ("READ | - | events namespaces nodes pods", "READ | extensions | deployments"),
    "system:kube-aggregator": ("READ | - | endpoints services",),
    "system:kube-controller-manager": (
        _EVENTS,
        "create | coordination.k8s.io | leases",
        "get update | coordination.k8s.io | leases | kube-controller-manager",
        "create | - | secrets serviceaccounts",
        "delete | - | secrets",
        "get | - | configmaps namespaces secrets serviceaccounts",
        "update | - | secrets serviceaccounts",
        *_REVIEWS,
        "list watch | * | *",
        "create | - | serviceaccounts/token",
    ),
    "system:kube-dns": ("list watch | - | endpoints services", "list watch | discovery.k8s.io | endpointslices"),
    "system:kube-scheduler": (
        _EVENTS,
        "create | coordination.k8s.io | leases",
        "get update | coordination.k8s.io | leases | kube-scheduler",
        "create | coordination.k8s.io | leasecandidates",
        "delete deletecollection get list patch update watch | coordination.k8s.io | leasecandidates",
        "READ | - | nodes",
        "delete get list watch | - | pods",
        "create | - | bindings pods/binding",
        "patch update | - | pods/status",
        "READ | - | replicationcontrollers services",
        "READ | apps extensions | replicasets",
        "READ | apps | statefulsets",
        "READ | policy | poddisruptionbudgets",
        "READ | - | persistentvolumeclaims persistentvolumes",
        *_REVIEWS,
        "READ | storage.k8s.io | csinodes",
        "READ | - | namespaces",
        "READ | storage.k8s.io | csidrivers",
        "READ | storage.k8s.io | csistoragecapacities",
        "READ | storage.k8s.io | volumeattachments",
        "READ | resource.k8s.io | deviceclasses",
        "READ | resource.k8s.io | resourceclaims",
        "READ | resource.k8s.io | resourceslices",
        "patch update | resource.k8s.io | resourceclaims resourceclaims/status",
    ),
    "system:kubelet-api-admin": (
        "READ | - | nodes",
        "proxy | - | nodes",
        "* | - | nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
    ),
    "system:monitoring": ("get | /healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",),
    "system:node-bootstrapper": ("create get list watch | certificates.k8s.io | certificatesigningrequests",),
    "system:node-problem-detector": ("get | - | nodes", "patch | - | nodes/status", _EVENTS),
    "system:node-proxier": (
        "list watch | - | endpoints services",
        "READ | - | nodes",
        _EVENTS,
        "list watch | discovery.k8s.io | endpointslices",
        "list watch | networking.k8s.io | servicecidrs",
    ),
    "tiffin:node-network": (
        "list watch | - | namespaces pods",
        "list watch | networking.k8s.io | networkpolicies",
    ),
    "tiffin:node-leaving": ("delete | - | nodes",),
    "tiffin:simulator": (
        "create get list patch watch | - | nodes",
        "patch | - | nodes/status",
        "delete get list watch | - | pods",
        "patch | - | pods/status",
        "create get patch | coordination.k8s.io | leases",
        _EVENTS,
    ),
    "system:persistent-volume-provisioner": (
        "create delete get list watch | - | persistentvolumes",
        "get list update watch | - | persistentvolumeclaims",
        "READ | storage.k8s.io | storageclasses",
        "watch | - | events",
        _EVENTS,
    ),
    "system:public-info-viewer": ("get | /healthz /livez /readyz /version /version/",),
    "system:service-account-issuer-discovery": ("get | /.well-known/openid-configuration /openid/v1/jwks",),
    "system:volume-scheduler": (
        "get list patch update watch | - | persistentvolumes",
        "READ | storage.k8s.io | storageclasses",
        "get list patch update watch | - | persistentvolumeclaims",
    ),
}

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_AGGREGATED = {"admin": "", "edit": "admin", "view": "edit"}
"""Roles that are sums of others, and the sum each is itself a part of."""
_PART_OF = {"system:aggregate-to-admin": "admin", "system:aggregate-to-edit": "edit", "system:aggregate-to-view": "view"}

CLUSTER_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:basic-user": ("Group system:authenticated",),
    "system:cluster-trust-bundle-discovery": ("Group system:serviceaccounts",),
    "system:discovery": ("Group system:authenticated",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system/kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:monitoring": ("Group system:monitoring",),
    "system:node": (),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "tiffin:node-network": ("User system:kube-proxy",),
    "tiffin:simulator": ("User system:tiffin-simulator",),
}
"""Cluster role bindings by the role they bear the name of."""

_JOIN_SUBJECTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tiffin:node-bootstrapper": ("system:node-bootstrapper", ("Group system:bootstrappers",)),
    "tiffin:node-autoapprove-bootstrap": (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        ("Group system:bootstrappers",),
    ),
    "tiffin:node-autoapprove-certificate-rotation": (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        ("Group system:nodes",),
    ),
    "tiffin:node-leaving": ("tiffin:node-leaving", ("Group system:nodes",)),
    "tiffin:node-autoapprove-network": (
        "tiffin:certificatesigningrequests:nodenetwork",
        ("Group system:bootstrappers", "Group system:nodes"),
    ),
}
"""What lets a machine with a join token become a node, as kubeadm does under its own names; and a node take itself out of the
cluster again: NodeRestriction keeps it from deleting any other."""

_SERVER_SUBJECTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tiffin:kubelet-api-admin": ("system:kubelet-api-admin", ("User kube-apiserver-kubelet-client",)),
}
"""As whom this server asks nodes. It may do what nodes serve and nothing else, should somebody bring it to ask itself."""

_LOCKING = (
    "create get list update watch | coordination.k8s.io | leases",
    "create get list update watch | coordination.k8s.io | leasecandidates",
)
NAMESPACED: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "kube-public",
        "system:controller:bootstrap-signer",
        ("READ | - | configmaps", "update | - | configmaps | cluster-info", _EVENTS),
        ("ServiceAccount kube-system/bootstrap-signer",),
    ),
    (
        "kube-system",
        "extension-apiserver-authentication-reader",
        ("READ | - | configmaps | extension-apiserver-authentication",),
        (),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        _LOCKING,
        ("User system:kube-controller-manager", "ServiceAccount kube-system/kube-controller-manager"),
    ),
    (
        "kube-system",
        "system::leader-locking-kube-scheduler",
        _LOCKING,
        ("User system:kube-scheduler", "ServiceAccount kube-system/kube-scheduler"),
    ),
    ("kube-system", "system:controller:bootstrap-signer", ("READ | - | secrets",), ("ServiceAccount kube-system/bootstrap-signer",)),
    (
        "kube-system",
        "system:controller:cloud-provider",
        ("create get list watch | - | configmaps",),
        ("ServiceAccount kube-system/cloud-provider",),
    ),
    (
        "kube-system",
        "system:controller:token-cleaner",
        ("delete get list watch | - | secrets", _EVENTS),
        ("ServiceAccount kube-system/token-cleaner",),
    ),
)
"""Namespace, name of role and binding, rules, subjects (without a binding where there are none)."""


def parse_rule(text: str) -> dict[str, Any]:
    """A rule from its line of text, its fields in the order of the API."""
    verbs, *parts = ([word for token in part.split() for word in WORDS.get(token, token).split()] for part in text.split("|"))
    if len(parts) == 1:
        return {"verbs": verbs, "nonResourceURLs": parts[0]}
    parts[0] = ["" if group == "-" else group for group in parts[0]]
    return dict(zip(("verbs", "apiGroups", "resources", "resourceNames"), (verbs, *parts)))


def bootstrap_objects() -> list[Object]:
    """All default roles and bindings. The aggregated roles already hold their sums; a controller keeps them so."""
    return [*_cluster_roles(), *_cluster_role_bindings(), *_namespaced(), *_controllers()]


class ControllerRule(Protocol):
    """A rule as controllers declare it (`runtime.controller.PolicyRule`)."""

    @property
    def groups(self) -> tuple[str, ...]: ...

    @property
    def resources(self) -> tuple[str, ...]: ...

    @property
    def verbs(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> tuple[str, ...]: ...


def controller_role(name: str, rules: Iterable[ControllerRule]) -> list[Object]:
    """ClusterRole and ClusterRoleBinding `system:controller:<name>` for a controller's service account in kube-system."""
    listed = [
        {"verbs": list(r.verbs), "apiGroups": list(r.groups), "resources": list(r.resources)} | ({"resourceNames": list(r.names)} if r.names else {})
        for r in rules
    ]
    return _controller(name, listed)


def reconcile(reader: Reader, objects: Iterable[Object]) -> Iterator[tuple[Resource, Object, Object | None]]:
    """What a start has to write: resource, object to store, and the stored one it replaces (None where it is missing).

    Rules and subjects are only ever added, so that an administrator's additions stay; an object whose autoupdate annotation
    is "false" is left alone. A binding to another role is replaced, for a roleRef cannot change in place.
    """
    for desired in objects:
        resource = _RESOURCES[desired["kind"]]
        metadata = desired["metadata"]
        stored = reader.get(resource, metadata.get("namespace", ""), metadata["name"])
        if stored is None:
            yield resource, desired, None
        elif (stored["metadata"].get("annotations") or {}).get(_AUTOUPDATE) == "true":
            if (merged := _merged(stored, desired)) is not None:
                yield resource, merged, stored


_RESOURCES = {"Role": ROLES, "ClusterRole": CLUSTER_ROLES, "RoleBinding": ROLE_BINDINGS, "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS}
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def _merged(stored: Object, desired: Object) -> Object | None:
    if "roleRef" in desired:
        extra = [subject for subject in desired.get("subjects", ()) if subject not in (stored.get("subjects") or ())]
        return replaced(stored, ["subjects"], [*(stored.get("subjects") or ()), *extra]) if extra else None
    if "aggregationRule" in desired:
        return (
            None
            if stored.get("aggregationRule") == desired["aggregationRule"]
            else {**stored, "aggregationRule": desired["aggregationRule"]}
        )
    extra = missing(stored.get("rules") or (), desired["rules"])
    return replaced(stored, ["rules"], [*(stored.get("rules") or ()), *extra]) if extra else None


def _object(kind: str, name: str, namespace: str = "", labels: Mapping[str, str] | None = None, **fields: Any) -> Object:
    metadata: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata["labels"] = {"kubernetes.io/bootstrapping": "rbac-defaults", **(labels or {})}
    metadata["annotations"] = {_AUTOUPDATE: "true"}
    return {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": metadata, **fields}


def _subject(text: str) -> Object:
    kind, _, name = text.partition(" ")
    if kind != "ServiceAccount":
        return {"kind": kind, "apiGroup": GROUP, "name": name}
    namespace, _, account = name.partition("/")
    return {"kind": kind, "name": account, "namespace": namespace}


def _binding(kind: str, name: str, role_kind: str, role: str, subjects: Iterable[str], namespace: str = "") -> Object:
    reference = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    fields: dict[str, Any] = {"roleRef": reference}
    if listed := [_subject(text) for text in subjects]:
        fields = {"subjects": listed, **fields}
    return _object(kind, name, namespace, **fields)


def _cluster_roles() -> Iterator[Object]:
    rules = {name: [parse_rule(text) for text in texts] for name, texts in CLUSTER_ROLE_RULES.items()}
    yield _object("ClusterRole", "cluster-admin", rules=[dict(rule) for rule in FULL_AUTHORITY])
    for name, target in _AGGREGATED.items():
        labels = {f"{_AGGREGATE}{target}": "true"} if target else {}
        selector = {"clusterRoleSelectors": [{"matchLabels": {f"{_AGGREGATE}{name}": "true"}}]}
        parts = list(_AGGREGATED)[list(_AGGREGATED).index(name) :]
        summed = [rule for part in reversed(parts) for rule in rules[f"system:aggregate-to-{part}"]]
        yield _object("ClusterRole", name, labels=labels, rules=summed, aggregationRule=selector)
    for name, listed in rules.items():
        labels = {f"{_AGGREGATE}{_PART_OF[name]}": "true"} if name in _PART_OF else {}
        yield _object("ClusterRole", name, labels=labels, rules=listed)
    yield _object("ClusterRole", "system:node", rules=[dict(rule) for rule in NODE_RULES])


def _cluster_role_bindings() -> Iterator[Object]:
    for name, subjects in CLUSTER_SUBJECTS.items():
        yield _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for name, (role, subjects) in {**_JOIN_SUBJECTS, **_SERVER_SUBJECTS}.items():
        yield _binding("ClusterRoleBinding", name, "ClusterRole", role, subjects)


def _namespaced() -> Iterator[Object]:
    for namespace, name, rules, subjects in NAMESPACED:
        yield _object("Role", name, namespace, rules=[parse_rule(text) for text in rules])
        if subjects:
            yield _binding("RoleBinding", name, "Role", name, subjects, namespace)


def _controllers() -> Iterator[Object]:
    for name, rules in CONTROLLERS.items():
        yield from _controller(name, [parse_rule(text) for text in rules])


def _controller(name: str, rules: list[dict[str, Any]]) -> list[Object]:
    role = f"system:controller:{name}"
    binding = _binding("ClusterRoleBinding", role, "ClusterRole", role, (f"ServiceAccount kube-system/{name}",))
    return [_object("ClusterRole", role, rules=rules), binding]
