"""What an object counts for in resource quotas, and whether a quota is about it.

Every namespaced object counts for `count/<resource>[.<group>]`, some of the legacy group also under their plain name; pods,
services and claims have usages of their own. A pod that has ended counts only as an object.
Source: Kubernetes documentation "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.api.core.podspec.resources import is_hugepages, pod_limits, pod_requests, quality_of_service
from tiffin.api.core.resources import is_extended
from tiffin.machinery.object import Object, Resource, annotations_of, dig

Usage = dict[str, str]

PLAIN = frozenset(("configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"))
"""Resources that count under their own name as well."""

MUST_BE_SPECIFIED = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
"""What every container has to name where a quota limits it."""

_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def usage(resource: Resource, obj: Object) -> Usage:
    """What the object uses, by the names quotas have for it."""
    counted = {f"count/{resource.group_resource}": "1"}
    if resource.group:
        return counted
    if resource.plural in PLAIN:
        counted[resource.plural] = "1"
    more = {"pods": _pod, "services": _service, "persistentvolumeclaims": _claim}.get(resource.plural)
    return counted | more(obj) if more else counted


def counts_updates(resource: Resource) -> bool:
    """Whether an update may change what an object of this resource uses."""
    return not resource.group and resource.plural in ("pods", "services", "persistentvolumeclaims")


def matches(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether the object is within all scopes of the quota."""
    spec = quota.get("spec") or {}
    scopes: list[dict[str, Any]] = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    scopes += dig(spec, "scopeSelector", "matchExpressions", default=[])
    if not scopes:
        return True
    if resource.group_resource == "persistentvolumeclaims":
        return all(s["scopeName"] == "VolumeAttributesClass" and _selects(s, _attributes_classes(obj)) for s in scopes)
    return resource.group_resource == "pods" and all(_in_scope(scope, obj) for scope in scopes)


def missing_amounts(required: Iterable[str], pod: Object) -> dict[str, list[str]]:
    """For each limited resource the containers of the pod that do not name it."""
    wanted = MUST_BE_SPECIFIED.intersection(required)
    whole = compute(dig(pod, "spec", "resources", "requests", default={}), dig(pod, "spec", "resources", "limits", default={}))
    found: dict[str, list[str]] = {}
    for kind in ("containers", "initContainers"):
        for container in pod["spec"].get(kind) or ():
            resources = container.get("resources") or {}
            named = compute(resources.get("requests") or {}, resources.get("limits") or {})
            for name in wanted - named.keys() - whole.keys():
                found.setdefault(name, []).append(container["name"])
    return {name: sorted(set(found[name])) for name in sorted(found)}


def compute(requests: Mapping[str, str], limits: Mapping[str, str]) -> Usage:
    """Requests and limits under the names of quotas."""
    used: Usage = {}
    for name in _COMPUTE:
        if name in requests:
            used[name] = used[f"requests.{name}"] = requests[name]
        if name in limits:
            used[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if is_hugepages(name):
            used[name] = used[f"requests.{name}"] = amount
        elif is_extended(name):
            used[f"requests.{name}"] = amount
    return used


def _pod(pod: Object) -> Usage:
    if dig(pod, "status", "phase") in ("Succeeded", "Failed"):
        return {}
    return {"pods": "1"} | compute(pod_requests(pod["spec"]), pod_limits(pod["spec"]))


def _service(service: Object) -> Usage:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or []
    balanced = spec.get("type") == "LoadBalancer"
    if spec.get("type") == "NodePort" or (balanced and spec.get("allocateLoadBalancerNodePorts", True)):
        node_ports = len(ports)
    else:
        node_ports = sum(1 for port in ports if port.get("nodePort")) if balanced else 0
    return {"services.nodeports": str(node_ports), "services.loadbalancers": str(int(balanced))}


def _claim(claim: Object) -> Usage:
    used = {"persistentvolumeclaims": "1"}
    storage = dig(claim, "spec", "resources", "requests", "storage")
    if storage is not None:
        used["requests.storage"] = storage
    storage_class = dig(claim, "spec", "storageClassName") or annotations_of(claim).get("volume.beta.kubernetes.io/storage-class")
    if storage_class:
        prefix = f"{storage_class}.storageclass.storage.k8s.io/"
        used |= {f"{prefix}{name}": amount for name, amount in used.items()}
    return used


def _attributes_classes(claim: Object) -> set[str]:
    found = {dig(claim, "spec", "volumeAttributesClassName"), dig(claim, "status", "currentVolumeAttributesClassName")}
    return {name for name in found if name}


def _in_scope(scope: dict[str, Any], pod: Object) -> bool:
    name, spec = scope["scopeName"], pod["spec"]
    if name in ("Terminating", "NotTerminating"):
        return (name == "Terminating") == (spec.get("activeDeadlineSeconds") is not None)
    if name in ("BestEffort", "NotBestEffort"):
        return (name == "BestEffort") == (quality_of_service(spec) == "BestEffort")
    if name == "PriorityClass":
        return _selects(scope, {spec["priorityClassName"]} if spec.get("priorityClassName") else set())
    return name == "CrossNamespacePodAffinity" and _crosses_namespaces(spec)


def _selects(scope: dict[str, Any], values: set[str]) -> bool:
    operator, wanted = scope.get("operator"), set(scope.get("values") or ())
    if operator == "Exists":
        return bool(values)
    if operator == "DoesNotExist":
        return not values
    return bool(values & wanted) if operator == "In" else not values & wanted


def _crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = dig(spec, "affinity", kind, default={})
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [t.get("podAffinityTerm") or {} for t in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
