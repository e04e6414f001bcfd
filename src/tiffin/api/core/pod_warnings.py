"""Warnings about pods and pod templates: what is accepted but may not do what its author thinks.

Pods are warned about when they are created, not when they are updated: people rarely do that by hand. Workloads are, whenever
their generation moves (`api/pod_templates.py`). Source: the Warning header of the API.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.api.checks import ip_warnings
from tiffin.api.core.persistentvolumeclaim import claim_spec_warnings
from tiffin.api.core.podspec.annotations import APP_ARMOR, SECCOMP, SECCOMP_OF_CONTAINER, names_profiles
from tiffin.api.core.podspec.nodelabels import DEPRECATED, node_term_warnings
from tiffin.api.core.podspec.platform import visited
from tiffin.api.core.podspec.sharedpaths import overlap_warnings
from tiffin.machinery.field import quoted
from tiffin.machinery.names import is_dns1123_label
from tiffin.machinery.object import Object, dig, meta, name_of
from tiffin.machinery.quantity import is_fractional

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
    "ephemeral": "",
    "cephfs": "cephfs: deprecated in v1.28, non-functional in v1.31+",
    "rbd": "rbd: deprecated in v1.28, non-functional in v1.31+",
}
"""An ephemeral volume is told of by its claim."""
_HOSTNAME = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: "
_APP_ARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_NULL_SELECTOR = "labelSelector: a null labelSelector results in matching no pod"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"

Spec = dict[str, Any]


def pod_warnings(new: Object, old: Object | None) -> list[str]:
    """Warnings for a pod that is created."""
    if old is not None:
        return []
    spec, annotations = new.get("spec") or {}, meta(new).get("annotations") or {}
    found = [f"metadata.annotations[{key}]: {_APP_ARMOR}" for key in _app_armor_keys(spec, annotations)]
    complaints = is_dns1123_label(name_of(new))
    found += [f"{_HOSTNAME}[{' '.join(complaints)}]"] if complaints else []
    return found + _all(spec, annotations, "")


def template_warnings(template: dict[str, Any] | None, path: str) -> list[str]:
    """Warnings for the pod template at `path`."""
    template = template or {}
    return _all(template.get("spec") or {}, dig(template, "metadata", "annotations", default={}), f"{path}.")


def _all(spec: Spec, annotations: dict[str, str], prefix: str) -> list[str]:
    """Everything that pods and templates have in common; `prefix` is empty or ends in a dot."""
    path = f"{prefix}spec"
    found = [*_of_placement(spec, path)]
    found += [f"{prefix}metadata.annotations[{key}]: {_ANNOTATIONS[key]}" for key in _ANNOTATIONS if key in annotations]
    found += [*_of_volumes(spec, path), *_of_duplicates(spec, path)]
    found += _fractions(spec.get("overhead"), f"{path}.overhead")
    if SECCOMP in annotations and dig(spec, "securityContext", "seccompProfile") is None:
        found.append(f"{prefix}metadata.annotations[{SECCOMP}]: {_SECCOMP}")
    containers, has_profiles = visited(spec, path), names_profiles(annotations)
    for container, at in containers:
        found += _of_annotations(container, spec, annotations, prefix) if has_profiles else []
        found += _of_container(container, at)
    found += _of_ports(containers)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        found.append(f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1")
    if spec.get("affinity"):
        found += [f"{at}.{_NULL_SELECTOR}" for term, at in _affinity_terms(spec, path) if term.get("labelSelector") is None]
    return found + [*_of_addresses(spec, path)]


# --- placement -----------------------------------------------------------------------------------------------------------


def _of_placement(spec: Spec, path: str) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or {}):
        if key in DEPRECATED:
            yield f"{path}.nodeSelector[{key}]: {DEPRECATED[key]}"
    affinity, at = dig(spec, "affinity", "nodeAffinity", default={}), f"{path}.affinity.nodeAffinity"
    for index, term in enumerate(dig(affinity, _REQUIRED, "nodeSelectorTerms", default=())):
        yield from node_term_warnings(term, f"{at}.{_REQUIRED}.nodeSelectorTerms[{index}]", check_values=False)
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        yield from node_term_warnings(weighted.get("preference") or {}, f"{at}.{_PREFERRED}[{index}].preference", check_values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey")
        if key in DEPRECATED:
            yield f"{at}.topologyKey: {key} is {DEPRECATED[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{at}.{_NULL_SELECTOR}"


def _affinity_terms(spec: Spec, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = dig(spec, "affinity", kind, default={})
        for index, term in enumerate(affinity.get(_REQUIRED) or ()):
            yield term, f"{path}.affinity.{kind}.{_REQUIRED}[{index}]"
        for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
            yield weighted.get("podAffinityTerm") or {}, f"{path}.affinity.{kind}.{_PREFERRED}[{index}].podAffinityTerm"


# --- volumes, references, addresses --------------------------------------------------------------------------------------


def _of_volumes(spec: Spec, path: str) -> Iterator[str]:
    volumes = spec.get("volumes") or ()
    for index, volume in enumerate(volumes):
        for kind, source in volume.items():
            text = _VOLUMES.get(kind)
            if source is None or text is None:
                continue
            if text:
                yield f"{path}.volumes[{index}].{text}"
            else:
                claim = dig(volume, "ephemeral", "volumeClaimTemplate", "spec", default={})
                yield from claim_spec_warnings(claim, f"{path}.volumes[{index}].ephemeral.volumeClaimTemplate.spec")
    for volume in volumes:
        yield from overlap_warnings(volume)


def _of_duplicates(spec: Spec, path: str) -> Iterator[str]:
    addresses = [alias.get("ip") or "" for alias in spec.get("hostAliases") or ()]
    for index, ip in enumerate(addresses):
        if ip in addresses[:index]:
            yield f"{path}.hostAliases[{index}].ip: duplicate ip {quoted(ip)}"
    secrets = [secret.get("name") or "" for secret in spec.get("imagePullSecrets") or ()]
    for index, name in enumerate(secrets):
        if name in secrets[:index]:
            yield f"{path}.imagePullSecrets[{index}].name: duplicate name {quoted(name)}"
    for index, name in enumerate(secrets):
        if not name:
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _of_addresses(spec: Spec, path: str) -> Iterator[str]:
    for index, server in enumerate(dig(spec, "dnsConfig", "nameservers", default=())):
        yield from ip_warnings(server, f"{path}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from ip_warnings(alias.get("ip") or "", f"{path}.hostAliases[{index}].ip")


# --- containers ----------------------------------------------------------------------------------------------------------


def _app_armor_keys(spec: Spec, annotations: dict[str, str]) -> list[str]:
    """Annotations with profiles of containers, but for those that only repeat the profile of the pod."""
    if not names_profiles(annotations) or dig(spec, "os", "name") == "windows":
        return []
    repeated = dig(spec, "securityContext", "appArmorProfile") is not None
    given = [c for c, _ in visited(spec, "") if not repeated or dig(c, "securityContext", "appArmorProfile") is not None]
    return [key for key in (APP_ARMOR + (container.get("name") or "") for container in given) if key in annotations]


def _of_annotations(container: dict[str, Any], spec: Spec, annotations: dict[str, str], prefix: str) -> Iterator[str]:
    """Profiles in annotations that have no field beside them. In pods, AppArmor's have been put into fields by now."""
    name, context = container.get("name") or "", container.get("securityContext") or {}
    key = SECCOMP_OF_CONTAINER + name
    if key in annotations and context.get("seccompProfile") is None:
        yield f"{prefix}metadata.annotations[{key}]: {_SECCOMP}"
    key = APP_ARMOR + name
    if prefix and key in annotations and context.get("appArmorProfile") is None and dig(spec, "securityContext", "appArmorProfile") is None:
        yield f"{prefix}metadata.annotations[{key}]: {_APP_ARMOR}"


def _fractions(quantities: dict[str, str] | None, path: str) -> list[str]:
    return [
        f"{path}[{name}]: fractional byte value {quoted(quantities[name])} is invalid, must be an integer"
        for name in ("memory", "ephemeral-storage") if name in quantities and is_fractional(quantities[name])
    ] if quantities else []


def _of_container(container: dict[str, Any], path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    if resources:
        lists = [_fractions(resources.get(kind), f"{path}.resources.{kind}") for kind in ("limits", "requests")]
        yield from sorted((text for found in lists for text in found), key=lambda text: "[ephemeral-storage]" in text)
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name in seen and _hides(variable, name):
            yield f"{path}.env[{index}]: hides previous definition of {quoted(name)}, which may be dropped when using apply"
        seen.add(name)


def _hides(variable: dict[str, Any], name: str) -> bool:
    """Whether a variable replaces an earlier one of its name, rather than extending it (`$(PATH):/x`)."""
    value, reference = variable.get("value") or "", f"$({name})"
    return variable.get("valueFrom") is not None or value == reference or reference not in value


def _of_ports(containers: list[tuple[dict[str, Any], str]]) -> Iterator[str]:
    """Ports that say the same twice, over all containers of the pod."""
    known: dict[tuple[Any, Any], list[tuple[str, str, int]]] = {}
    for container, at in containers:
        for index, port in enumerate(container.get("ports") or ()):
            here, address, host = f"{at}.ports[{index}]", port.get("hostIP") or "", port.get("hostPort") or 0
            if address and not host:
                yield f"{here}: hostIP set without hostPort: {_go_port(port)}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other, its_address, its_host in others:
                if address == its_address and host == its_host:
                    yield f"{here}: duplicate port definition with {other}"
                elif not host or not its_host:
                    yield f"{here}: overlapping port definition with {other}"
                elif host == its_host and bool(address) != bool(its_address):
                    yield f"{here}: dangerously ambiguous port definition with {other}"
            others.append((here, address, host))


def _go_port(port: dict[str, Any]) -> str:
    """A port as Go prints the struct."""
    return (f"{{Name:{port.get('name') or ''} HostPort:{port.get('hostPort') or 0} ContainerPort:{port.get('containerPort') or 0} "
            f"Protocol:{port.get('protocol') or ''} HostIP:{port.get('hostIP') or ''}}}")
