"""In which order groups and versions are named, and the APIServices this says it with. Pure.

The group with the higher minimum comes first, then by name; a version with the higher priority, then in the order of Kubernetes'
versions. Source: the priorities of kube-apiserver; API reference, APIService.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tiffin.machinery.object import Object
from tiffin.machinery.versions import version_rank

FIRST = "apiregistration.k8s.io"
"""Comes before all others, has no APIService."""
AUTO_MANAGED = "kube-aggregator.kubernetes.io/automanaged"
CUSTOM_GROUP, CUSTOM_VERSION = 1000, 100
_GROUPS = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
    "autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100,
    "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800, "admissionregistration.k8s.io": 16700, "apiextensions.k8s.io": 16700,
    "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200, "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100, "extensions": 16000,
}  # fmt: skip
_VERSIONS = {
    ("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21, ("resource.k8s.io", "v1"): 20,
    ("events.k8s.io", "v1beta1"): 5, ("autoscaling", "v2beta2"): 1,
}  # fmt: skip
_STABLE, _OTHER = 15, 9


class Priority(NamedTuple):
    """groupPriorityMinimum and versionPriority."""

    group: int
    version: int


def priority(group: str, version: str) -> Priority:
    """Of a group version that is served here."""
    if group not in _GROUPS:
        return Priority(CUSTOM_GROUP, CUSTOM_VERSION)
    usual = _STABLE if version.lstrip("v").isdecimal() else _OTHER
    return Priority(_GROUPS[group], _VERSIONS.get((group, version), usual))


def order(versions: Mapping[tuple[str, str], Priority]) -> dict[str, list[str]]:
    """Versions of each group, the preferred first, in the order in which discovery names them."""
    groups: dict[str, list[str]] = {}
    for group, version in versions:
        groups.setdefault(group, []).append(version)
    highest = {group: max(versions[group, version].group for version in found) for group, found in groups.items()}
    ranked = sorted(groups, key=lambda group: (group != "", group != FIRST, -highest[group], group))
    return {group: sorted(groups[group], key=lambda v: (-versions[group, v].version, version_rank(v))) for group in ranked}


def local_condition() -> Object:
    """Of an APIService that this server answers itself; without its time."""
    return {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}


def api_service(group: str, version: str, managed: str) -> Object:
    """The APIService of a group version served here; `managed` is "onstart" for built-in ones, "true" for custom resources."""
    minimum, within = priority(group, version)
    return {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": f"{version}.{group}", "labels": {AUTO_MANAGED: managed}},
        "spec": {"group": group, "groupPriorityMinimum": minimum, "version": version, "versionPriority": within},
        "status": {"conditions": [local_condition()]}}


def built_in(versions: Iterable[tuple[str, str]]) -> list[Object]:
    """The APIServices a cluster begins with."""
    return [api_service(group, version, "onstart") for group, version in sorted(set(versions)) if group in _GROUPS]
