"""The flow schemas and priority levels every cluster has: the mandatory ones, and those Kubernetes suggests.

Mandatory objects always are as they stand here. Suggested ones follow this file as long as their annotation says so: an
administrator who wants another spec sets it to "false". Source: Kubernetes documentation "API Priority and Fairness".
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiffin.api.flowcontrol import mandatory
from tiffin.apiserver.user import AUTHENTICATED, NODES, SERVICE_ACCOUNTS, UNAUTHENTICATED
from tiffin.machinery.object import Object, annotations_of, name_of

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"

EVERY_RESOURCE = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
EVERY_PATH = {"verbs": ["*"], "nonResourceURLs": ["*"]}
LOCK_VERBS = ("get", "create", "update")


def bootstrap_objects() -> list[Object]:
    """All of them, priority levels first."""
    return [*_levels(), *_schemas()]


def _levels() -> list[Object]:
    return [
        *(_object("PriorityLevelConfiguration", name, spec) for name, spec in mandatory.LEVELS.items()),
        _limited("system", 30, 33, _queues(64)),
        _limited("node-high", 40, 25, _queues(64)),
        _limited("leader-election", 10, 0, _queues(16, hand=4)),
        _limited("workload-high", 40, 50, _queues(128)),
        _limited("workload-low", 100, 90, _queues(128)),
        _limited("global-default", 20, 50, _queues(128)),
    ]


def _schemas() -> list[Object]:
    everybody = _groups(UNAUTHENTICATED, AUTHENTICATED)
    managers, scheduler = _users("system:kube-controller-manager"), _users("system:kube-scheduler")
    accounts = _accounts("*")
    endpoint_controllers = _accounts("endpoint-controller", "endpointslicemirroring-controller")
    return [
        *(_with_status(name, spec) for name, spec in mandatory.SCHEMAS.items()),
        _everything("system-nodes", "system", 500, "ByUser", _groups(NODES)),
        _schema("system-node-high", "node-high", 400, "ByUser", _groups(NODES), [
            _resources(("*",), "", ("nodes", "nodes/status"), cluster=True), _resources(("*",), "coordination.k8s.io", ("leases",))]),
        _schema("system-leader-election", "leader-election", 100, "ByUser", [*managers, *scheduler, *accounts], [
            _resources(LOCK_VERBS, "coordination.k8s.io", ("leases",))]),
        _schema("endpoint-controller", "workload-high", 150, "ByUser", [*managers, *endpoint_controllers], [
            _resources(LOCK_VERBS, "", ("endpoints",))]),
        _schema("workload-leader-election", "leader-election", 200, "ByUser", accounts, [
            _resources(LOCK_VERBS, "", ("endpoints", "configmaps")), _resources(LOCK_VERBS, "coordination.k8s.io", ("leases",))]),
        _everything("kube-controller-manager", "workload-high", 800, "ByNamespace", managers),
        _everything("kube-scheduler", "workload-high", 800, "ByNamespace", scheduler),
        _everything("kube-system-service-accounts", "workload-high", 900, "ByNamespace", accounts),
        _everything("service-accounts", "workload-low", 9000, "ByUser", _groups(SERVICE_ACCOUNTS)),
        _everything("global-default", "global-default", 9900, "ByUser", everybody),
        _schema("probes", "exempt", 2, "", everybody, [], [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]),
    ]


def follows(stored: Object) -> bool:
    """Whether the spec of a stored object is kept as it stands here."""
    if name_of(stored) in mandatory.LEVELS:
        return True
    wish = annotations_of(stored).get(AUTO_UPDATE)
    return wish == "true" or (wish is None and stored["metadata"].get("generation") == 1)


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec}


def _limited(name: str, shares: int, lendable: int, response: Object) -> Object:
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable}
    return _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def _queues(number: int, hand: int = 6) -> Object:
    return {"type": "Queue", "queuing": {"queues": number, "handSize": hand, "queueLengthLimit": 50}}


def _everything(name: str, level: str, precedence: int, distinguisher: str, subjects: list[Object]) -> Object:
    return _schema(name, level, precedence, distinguisher, subjects, [EVERY_RESOURCE], [EVERY_PATH])


def _schema(
    name: str, level: str, precedence: int, distinguisher: str, subjects: list[Object], resources: list[Any], paths: Sequence[Any] = (),
) -> Object:
    rule: Object = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = resources
    if paths:
        rule["nonResourceRules"] = list(paths)
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return _with_status(name, spec | {"rules": [rule]})


def _with_status(name: str, spec: Object) -> Object:
    level = spec["priorityLevelConfiguration"]["name"]
    reason, words = "Found", f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" and it exists'
    return _object("FlowSchema", name, spec) | {"status": {"conditions": [{"type": "Dangling", "status": "False", "reason": reason, "message": words}]}}


def _resources(verbs: Sequence[str], group: str, resources: Sequence[str], cluster: bool = False) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    if cluster:
        rule["clusterScope"] = True
    return rule | {"namespaces": ["*"]}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}} for name in names]
