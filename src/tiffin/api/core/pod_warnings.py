"""Warnings about pods and pod templates: what is accepted but may not do what its author thinks.

Pods are warned about when they are created, not when they are updated: people rarely do that by hand. Source: the Warning header of the API.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.api.core.podspec.platform import visited
from tiffin.api.core.podspec.validation import APP_ARMOR
from tiffin.machinery.names import is_dns1123_label
from tiffin.machinery.object import Object, dig, meta, name_of
from tiffin.machinery.quantity import QuantityError, to_milli

_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES = {
    "photonPersistentDisk": "photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "scaleIO: deprecated in v1.16, non-functional in v1.22+",
    "flocker": "flocker: deprecated in v1.22, non-functional in v1.25+",
    "storageos": "storageOS: deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "quobyte: deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "glusterfs: deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "cephfs: deprecated in v1.28, non-functional in v1.31+",
    "rbd": "rbd: deprecated in v1.28, non-functional in v1.31+",
}
_HOSTNAME = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: "
_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_NULL_SELECTOR = "labelSelector: a null labelSelector results in matching no pod"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def pod_warnings(new: Object, old: Object | None) -> list[str]:
    """Warnings for a pod that is created."""
    if old is not None:
        return []
    complaints = is_dns1123_label(name_of(new))
    hostname = [f"{_HOSTNAME}[{' '.join(complaints)}]"] if complaints else []
    annotations = meta(new).get("annotations") or {}
    given = [APP_ARMOR + (container.get("name") or "") for container, _ in visited(new.get("spec") or {}, "")]
    hostname += [f"metadata.annotations[{key}]: {_APP_ARMOR}" for key in given if key in annotations]
    return hostname + _all(new.get("spec") or {}, annotations, "")


def template_warnings(template: dict[str, Any] | None, path: str) -> list[str]:
    """Warnings for the pod template at `path`."""
    template = template or {}
    spec, annotations = template.get("spec") or {}, dig(template, "metadata", "annotations", default={})
    found = _all(spec, annotations, f"{path}.")
    for container, _ in visited(spec, ""):
        key = APP_ARMOR + (container.get("name") or "")
        if key in annotations and dig(container, "securityContext", "appArmorProfile") is None:
            found.append(f"{path}.metadata.annotations[{key}]: {_APP_ARMOR}")
    return found


def _all(spec: dict[str, Any], annotations: dict[str, str], prefix: str) -> list[str]:
    """Everything that pods and templates have in common; `prefix` is empty or ends in a dot."""
    path = f"{prefix}spec"
    found = [f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}" for key in sorted(spec.get("nodeSelector") or {}) if key in _NODE_LABELS]
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at = f"{path}.topologySpreadConstraints[{index}]"
        if constraint.get("topologyKey") in _NODE_LABELS:
            found.append(f"{at}.topologyKey: {constraint['topologyKey']} is {_NODE_LABELS[constraint['topologyKey']]}")
        if constraint.get("labelSelector") is None:
            found.append(f"{at}.{_NULL_SELECTOR}")
    found += [f"{prefix}metadata.annotations[{key}]: {_ANNOTATIONS[key]}" for key in sorted(annotations) if key in _ANNOTATIONS]
    found += [*_of_volumes(spec, path), *_of_duplicates(spec, path)]
    for container, at in visited(spec, path):
        found += [*_of_container(container, at)]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    return found + [f"{at}.{_NULL_SELECTOR}" for term, at in _affinity_terms(spec, path) if term.get("labelSelector") is None]


def _of_volumes(spec: dict[str, Any], path: str) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind, text in _VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{path}.volumes[{index}].{text}"
        if any(not source for source in dig(volume, "projected", "sources", default=())):
            yield f'volume "{volume.get("name") or ""}" (Projected) has no sources provided'


def _of_duplicates(spec: dict[str, Any], path: str) -> Iterator[str]:
    addresses = [alias.get("ip") for alias in spec.get("hostAliases") or ()]
    for index, ip in enumerate(addresses):
        if ip in addresses[:index]:
            yield f'{path}.hostAliases[{index}].ip: duplicate ip "{ip}"'
    secrets = [secret.get("name") or "" for secret in spec.get("imagePullSecrets") or ()]
    for index, name in enumerate(secrets):
        if not name:
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
        elif name in secrets[:index]:
            yield f'{path}.imagePullSecrets[{index}].name: duplicate name "{name}"'


def _of_container(container: dict[str, Any], path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage"):
        for kind in ("limits", "requests"):
            value = dig(container, "resources", kind, name)
            if value is not None and _is_fractional(value):
                yield f'{path}.resources.{kind}[{name}]: fractional byte value "{value}" is invalid, must be an integer'
    names = [variable.get("name") or "" for variable in container.get("env") or ()]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
    ports = [(p.get("containerPort"), p.get("protocol") or "TCP", p.get("hostIP"), p.get("hostPort")) for p in container.get("ports") or ()]
    for index, port in enumerate(ports):
        if port in ports[:index]:
            yield f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{ports.index(port)}]"


def _is_fractional(value: str) -> bool:
    try:
        return to_milli(value) % 1000 != 0
    except QuantityError:
        return False


def _affinity_terms(spec: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = dig(spec, "affinity", kind, default={})
        for index, term in enumerate(affinity.get(_REQUIRED) or ()):
            yield term, f"{path}.affinity.{kind}.{_REQUIRED}[{index}]"
        for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
            yield weighted.get("podAffinityTerm") or {}, f"{path}.affinity.{kind}.{_PREFERRED}[{index}].podAffinityTerm"
