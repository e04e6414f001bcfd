"""Whether the node takes a pod that was bound to it: resources, node affinity, taints, sysctls. Pure.

The scheduler has looked at the same things; this is for pods bound by others, and for two bound at the same moment.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tiffin.kubelet.resources import pod_amount
from tiffin.machinery import quantity
from tiffin.machinery.object import Object, dig, labels_of, name_of

SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})


class Rejection(NamedTuple):
    """Reason and message of the Failed pod's status."""

    reason: str
    message: str


def admit(pod: Object, others: Sequence[Object], node: Object, allocatable: Mapping[str, str]) -> Rejection | None:
    """Why the node refuses `pod` beside the active pods `others`; None when it takes it."""
    return _room(pod, others, allocatable) or _affinity(pod, node) or _taints(pod, node) or _sysctls(pod)


def _room(pod: Object, others: Sequence[Object], allocatable: Mapping[str, str]) -> Rejection | None:
    limit = quantity.to_int(allocatable.get("pods", "110"))
    if len(others) + 1 > limit:
        return _out_of("pods", 1, len(others), limit)
    for resource, convert in (("cpu", quantity.to_milli), ("memory", quantity.to_int)):
        wanted = pod_amount(pod, "requests", resource)
        if not wanted or resource not in allocatable:
            continue
        used, capacity = sum(pod_amount(p, "requests", resource) for p in others), convert(allocatable[resource])
        if wanted > capacity - used:
            return _out_of(resource, wanted, used, capacity)
    return None


def _out_of(resource: str, wanted: int, used: int, capacity: int) -> Rejection:
    words = f"Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return Rejection(f"OutOf{resource}", f"Pod was rejected: {words}")


def _affinity(pod: Object, node: Object) -> Rejection | None:
    terms = dig(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    selector = dig(pod, "spec", "nodeSelector", default={})
    labels = labels_of(node)
    if all(labels.get(k) == v for k, v in selector.items()) and (terms is None or any(_term_holds(t, node) for t in terms)):
        return None
    return Rejection("NodeAffinity", "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")


def _term_holds(term: Mapping[str, Sequence[Object]], node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    named = {"metadata.name": name_of(node)}
    return all(_holds(e, labels_of(node)) for e in expressions) and all(_holds(f, named) for f in fields)


def _holds(requirement: Mapping[str, object], values: Mapping[str, str]) -> bool:
    key, wanted = str(requirement["key"]), requirement.get("values") or []
    value = values.get(key)
    assert isinstance(wanted, list)
    match requirement["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not value.lstrip("-").isdigit() or not wanted:
        return False
    return int(value) > int(wanted[0]) if requirement["operator"] == "Gt" else int(value) < int(wanted[0])


def tolerates(tolerations: Iterable[Object], taint: Object) -> bool:
    """Whether one of the tolerations matches a taint."""
    for toleration in tolerations:
        if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
            continue
        if toleration.get("key") and toleration["key"] != taint.get("key"):
            continue
        if (toleration.get("operator") or "Equal") == "Exists" or (toleration.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")):
            return True
    return False


def _taints(pod: Object, node: Object) -> Rejection | None:
    """Only NoExecute counts here; static pods are not subject to it."""
    if dig(pod, "metadata", "annotations", "kubernetes.io/config.source", default="api") != "api":
        return None
    tolerations = dig(pod, "spec", "tolerations", default=[])
    for taint in dig(node, "spec", "taints", default=[]):
        if taint.get("effect") == "NoExecute" and not tolerates(tolerations, taint):
            words = f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
            return Rejection("TaintToleration", f"Pod was rejected: Predicate TaintToleration failed: {words}")
    return None


def _sysctls(pod: Object) -> Rejection | None:
    for sysctl in dig(pod, "spec", "securityContext", "sysctls", default=[]):
        if sysctl["name"] not in SAFE_SYSCTLS:
            return Rejection("SysctlForbidden", f'Pod was rejected: forbidden sysctl: "{sysctl["name"]}" not allowlisted')
    return None
