"""Warnings about pods: what is accepted but does not do what its author may think. Source: the Warning header of the API."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiffin.api.core.podspec.platform import visited
from tiffin.machinery.object import Object, meta
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
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
}


def pod_warnings(new: Object, old: Object | None) -> list[str]:
    """Warnings for a pod that is created, or whose spec or annotations changed."""
    if old is not None and old.get("spec") == new.get("spec") and meta(old).get("annotations") == meta(new).get("annotations"):
        return []
    return spec_warnings(new.get("spec") or {}, meta(new), "spec", "metadata")


def template_warnings(template: dict[str, Any], path: str) -> list[str]:
    """Warnings for the pod template at `path`."""
    return spec_warnings(template.get("spec") or {}, template.get("metadata") or {}, f"{path}.spec", f"{path}.metadata")


def spec_warnings(spec: dict[str, Any], metadata: dict[str, Any], path: str, metadata_path: str) -> list[str]:
    """Warnings for a pod spec and its metadata, each at its path."""
    found: list[str] = []
    found += [f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}" for key in sorted(spec.get("nodeSelector") or {}) if key in _NODE_LABELS]
    annotations = metadata.get("annotations") or {}
    found += [f"{metadata_path}.annotations[{key}]: {_ANNOTATIONS[key]}" for key in sorted(annotations) if key in _ANNOTATIONS]
    found += _volume_warnings(spec, path)
    found += _duplicate_warnings(spec, path)
    for container, at in visited(spec, path):
        found += _container_warnings(container, at)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    return found


def _volume_warnings(spec: dict[str, Any], path: str) -> list[str]:
    found = []
    for index, volume in enumerate(spec.get("volumes") or ()):
        at = f"{path}.volumes[{index}]"
        found += [f"{at}.{kind}: {text}" for kind, text in _VOLUMES.items() if volume.get(kind) is not None]
        projected = volume.get("projected")
        if projected is not None:
            sources = projected.get("sources") or ()
            if not sources:
                found.append(f"{at}.projected.sources: no sources provided")
            found += [f"{at}.projected.sources[{s}]: no sources provided" for s, source in enumerate(sources) if not source]
    return found


def _duplicates(values: Iterable[Any]) -> list[Any]:
    seen: set[Any] = set()
    return [v for v in values if v in seen or seen.add(v)]  # type: ignore[func-returns-value]


def _duplicate_warnings(spec: dict[str, Any], path: str) -> list[str]:
    secrets = [s.get("name") or "" for s in spec.get("imagePullSecrets") or ()]
    found = [f"{path}.imagePullSecrets[{i}].name: invalid empty name" for i, name in enumerate(secrets) if not name]
    found += [f'{path}.imagePullSecrets: duplicate name "{name}"' for name in _duplicates(secrets) if name]
    addresses = [alias.get("ip") or "" for alias in spec.get("hostAliases") or ()]
    return found + [f'{path}.hostAliases: duplicate ip "{ip}"' for ip in _duplicates(addresses)]


def _container_warnings(container: dict[str, Any], path: str) -> list[str]:
    found = []
    for kind in ("limits", "requests"):
        for name, value in sorted(((container.get("resources") or {}).get(kind) or {}).items()):
            if name in ("memory", "ephemeral-storage") and _is_fractional(value):
                found.append(f'{path}.resources.{kind}[{name}]: fractional byte value "{value}" is invalid, must be an integer')
    names = [variable.get("name") or "" for variable in container.get("env") or ()]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            found.append(f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply')
    ports = [(p.get("containerPort"), p.get("protocol") or "TCP") for p in container.get("ports") or ()]
    for index, port in enumerate(ports):
        if port in ports[:index]:
            first = ports.index(port)
            found.append(f"{path}.ports[{index}]: duplicate port definition with {path}.ports[{first}]")
    return found


def _is_fractional(value: str) -> bool:
    try:
        return to_milli(value) % 1000 != 0
    except QuantityError:
        return False
