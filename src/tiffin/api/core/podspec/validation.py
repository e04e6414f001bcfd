"""Validation of pod specs and pod templates as a whole, in the order in which Kubernetes reports violations."""
from __future__ import annotations

from typing import Any

from tiffin.api.core.podspec.annotations import validate_pod_annotations, validate_profiles_match
from tiffin.api.core.podspec.containers import (
    PodFacts,
    validate_containers,
    validate_ephemeral_containers,
    validate_image_whitespace,
    validate_init_containers,
)
from tiffin.api.core.podspec.env import validate_file_volumes
from tiffin.api.core.podspec.network import validate_dns_config, validate_dns_policy, validate_host_aliases, validate_host_names
from tiffin.api.core.podspec.platform import validate_host_process, validate_host_users, validate_os, visited
from tiffin.api.core.podspec.requirements import validate_pod_resources, validate_requirements
from tiffin.api.core.podspec.scheduling import (
    validate_affinity,
    validate_readiness_gates,
    validate_scheduling_gates,
    validate_spread_constraints,
    validate_tolerations,
)
from tiffin.api.core.podspec.security import validate_host_network, validate_pod_security_context
from tiffin.api.core.podspec.volumes import validate_volumes
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain
from tiffin.machinery.validation import validate_annotations, validate_labels

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PREEMPTION = ("PreemptLowerPriority", "Never")
_EITHER_CLAIM = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
_BOTH_CLAIMS = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"


def validate_pod_template_spec(template: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Violations of a PodTemplateSpec."""
    template = template or {}
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = validate_labels(meta.get("labels"), f"{path}.labels")
    errors += validate_annotations(meta.get("annotations"), f"{path}.annotations")
    errors += validate_pod_annotations(meta.get("annotations") or {}, spec, f"{path}.annotations")
    errors += validate_pod_spec(spec, f"{path}.spec")
    errors += validate_profiles_match(meta.get("annotations") or {}, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        errors.append(f.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return errors


def validate_pod_spec(spec: dict[str, Any], path: str, pod_name: str = "") -> list[FieldError]:
    """Violations of a PodSpec with its defaults filled in. `pod_name` is empty in templates."""
    volumes, errors = validate_volumes(spec.get("volumes"), f"{path}.volumes", pod_name)
    claims = {c.get("name") or "" for c in spec.get("resourceClaims") or ()}
    errors += _validate_resource_claims(spec.get("resourceClaims"), f"{path}.resourceClaims")
    errors += _validate_all_containers(spec, path, volumes, claims)
    errors += validate_pod_resources(spec, claims, f"{path}.resources")
    errors += validate_host_network(spec, path)
    errors += _validate_policies_and_placement(spec, path)
    errors += _validate_references(spec, path)
    errors += validate_host_names(spec, path)
    errors += validate_tolerations(spec.get("tolerations"), f"{path}.tolerations")
    errors += validate_host_aliases(spec.get("hostAliases"), f"{path}.hostAliases")
    errors += _validate_classes(spec, path)
    errors += validate_os(spec, path)
    for container, at in visited(spec, path):
        if container.get("env"):
            errors += validate_file_volumes(container, volumes, at)
    return errors


def validate_pods_only(spec: dict[str, Any], path: str) -> list[FieldError]:
    """What is refused in pods but, for older templates' sake, not in templates."""
    errors: list[FieldError] = []
    if not spec.get("serviceAccountName"):
        for v, volume in enumerate(spec.get("volumes") or ()):
            for s, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    at = f"{path}.volumes[{v}].projected.sources[{s}].serviceAccountToken"
                    errors.append(f.forbidden(at, "must not be specified when serviceAccountName is not set"))
    for key in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            errors += validate_image_whitespace(container, f"{path}.{key}[{index}]")
    return errors


def _validate_all_containers(spec: dict[str, Any], path: str, volumes: dict[str, dict[str, Any]], claims: set[str]) -> list[FieldError]:
    grace = spec.get("terminationGracePeriodSeconds")
    pod = PodFacts(volumes, claims, 30 if grace is None else grace, spec.get("restartPolicy") or "", spec.get("hostUsers") is not False)
    errors = validate_containers(spec.get("containers"), f"{path}.containers", pod)
    if spec.get("initContainers"):
        errors += validate_init_containers(spec, f"{path}.initContainers", pod)
    if spec.get("ephemeralContainers"):
        errors += validate_ephemeral_containers(spec, f"{path}.ephemeralContainers", pod)
    return errors


def _validate_policies_and_placement(spec: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    policy = spec.get("restartPolicy") or ""
    if policy not in RESTART_POLICIES:
        errors.append(f.not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES) if policy else f.required(f"{path}.restartPolicy"))
    errors += validate_dns_policy(spec.get("dnsPolicy") or "", f"{path}.dnsPolicy")
    errors += validate_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    errors += validate_pod_security_context(spec, path)
    errors += validate_affinity(spec.get("affinity"), f"{path}.affinity")
    errors += validate_dns_config(spec, f"{path}.dnsConfig")
    errors += validate_readiness_gates(spec.get("readinessGates"), f"{path}.readinessGates")
    errors += validate_scheduling_gates(spec.get("schedulingGates"), f"{path}.schedulingGates")
    errors += validate_spread_constraints(spec.get("topologySpreadConstraints"), f"{path}.topologySpreadConstraints")
    return errors + validate_host_process(spec, path) + validate_host_users(spec, path)


def _named(spec: dict[str, Any], key: str, path: str) -> list[FieldError]:
    value = spec.get(key)
    return [f.invalid(f"{path}.{key}", value, m) for m in is_dns1123_subdomain(value)] if value else []


def _validate_references(spec: dict[str, Any], path: str) -> list[FieldError]:
    errors = _named(spec, "serviceAccountName", path) + _named(spec, "nodeName", path)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 2**31:
        errors.append(f.invalid(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive"))
    return errors


def _validate_classes(spec: dict[str, Any], path: str) -> list[FieldError]:
    errors = _named(spec, "priorityClassName", path)
    if spec.get("runtimeClassName") is not None:
        errors += [f.invalid(f"{path}.runtimeClassName", spec["runtimeClassName"], m) for m in is_dns1123_subdomain(spec["runtimeClassName"])]
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in _PREEMPTION:
        errors.append(f.not_supported(f"{path}.preemptionPolicy", preemption, _PREEMPTION) if preemption else f.required(f"{path}.preemptionPolicy"))
    if spec.get("overhead") is not None:
        errors += validate_requirements({"limits": spec["overhead"]}, set(), f"{path}.overhead")
    return errors


def _validate_resource_claims(claims: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, claim in enumerate(claims or ()):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if not name:
            errors.append(f.required(f"{at}.name"))
        elif name in names:
            errors.append(f.duplicate(f"{at}.name", name))
        else:
            errors += [f.invalid(f"{at}.name", name, m) for m in is_dns1123_label(name)]
            names.add(name)
        if (direct is None) == (template is None):
            shown = {"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template}
            errors.append(f.invalid(at, shown, _EITHER_CLAIM if direct is None else _BOTH_CLAIMS))
        for key, value in (("resourceClaimName", direct), ("resourceClaimTemplateName", template)):
            errors += [f.invalid(f"{at}.{key}", value, m) for m in is_dns1123_subdomain(value)] if value is not None else []
    return errors
