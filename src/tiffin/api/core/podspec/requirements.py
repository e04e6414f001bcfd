"""Validation of resource requirements: of containers, of the whole pod, and the policy for changing them in place."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiffin.api.core.podspec import resources as r
from tiffin.api.core.resources import HUGE_PAGES, REQUESTS_HUGE_PAGES, STANDARD, container_name_errors, name_errors, quantity_errors
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label
from tiffin.machinery.quantity import QuantityError, canonical, compare, to_int, to_milli

_POD_LEVEL = ("cpu", "hugepages-", "memory")
_RESIZABLE = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def _validate_container_resource_name(name: str, path: str) -> list[FieldError]:
    errors = container_name_errors(name, path)
    if "/" not in name and name not in STANDARD and len(errors) == 1 and not name.startswith((HUGE_PAGES, REQUESTS_HUGE_PAGES)):
        errors.insert(0, f.invalid(path, name, "must be a standard resource type or fully qualified"))
    return errors


def _validate_pod_resource_name(name: str, path: str) -> list[FieldError]:
    errors = name_errors(name, path)
    if errors:
        return errors
    return [] if r.is_pod_level_resource(name) else [f.not_supported(path, name, _POD_LEVEL)]


def validate_requirements(
    requirements: Mapping[str, Any], claims: set[str], path: str,
    validate_name: Callable[[str, str], list[FieldError]] = _validate_container_resource_name,
) -> list[FieldError]:
    """Violations of ResourceRequirements; `claims` are the names of the pod's resource claims."""
    errors: list[FieldError] = []
    limits, requests = requirements.get("limits") or {}, requirements.get("requests") or {}
    for name, value in sorted(limits.items()):
        errors += validate_name(name, f"{path}.limits[{name}]")
        errors += quantity_errors(name, value, f"{path}.limits[{name}]") + _validate_pages(name, value, f"{path}.limits[{name}]")
    for name, value in sorted(requests.items()):
        errors += validate_name(name, f"{path}.requests[{name}]")
        errors += quantity_errors(name, value, f"{path}.requests[{name}]")
        errors += _validate_request_within(name, value, limits, path) + _validate_pages(name, value, f"{path}.requests[{name}]")
    names = {*limits, *requests}
    if any(map(r.is_hugepages, names)) and not names & {"cpu", "memory"}:
        errors.append(f.forbidden(path, "HugePages require cpu or memory"))
    return errors + _validate_claims(requirements.get("claims") or (), claims, f"{path}.claims")


def _validate_pages(name: str, value: str, path: str) -> list[FieldError]:
    """Huge pages come whole."""
    if not r.is_hugepages(name):
        return []
    try:
        size = to_milli(name.removeprefix(HUGE_PAGES))
    except QuantityError:
        size = 0
    if size > 0 and size % 1000 == 0 and to_int(value) % (size // 1000) == 0:
        return []
    return [f.invalid(path, canonical(value), f"{canonical(value)} is not positive integer multiple of {name}")]


def _validate_request_within(name: str, value: str, limits: Mapping[str, str], path: str) -> list[FieldError]:
    limit = limits.get(name)
    if limit is None:
        return [] if r.may_be_overcommitted(name) else [f.required(f"{path}.limits", "Limit must be set for non overcommitable resources")]
    difference = compare(value, limit)
    if difference and not r.may_be_overcommitted(name):
        return [f.invalid(f"{path}.requests", canonical(value), f"must be equal to {name} limit of {canonical(limit)}")]
    if difference > 0:
        return [f.invalid(f"{path}.requests", canonical(value), f"must be less than or equal to {name} limit of {canonical(limit)}")]
    return []


def _validate_claims(claims: Any, known: set[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        name, request = claim.get("name") or "", claim.get("request") or ""
        at = f"{path}[{index}]"
        if not name:
            errors.append(f.required(at))
            continue
        if name in seen:
            errors.append(f.duplicate(at, name))
        else:
            errors += [f.invalid(f"{at}.request", request, m) for m in is_dns1123_label(request)] if request else []
            key = f"{name}/{request}" if request else name
            if key in seen:
                errors.append(f.duplicate(at, key))
            elif not request:
                errors += [f.duplicate(at, name) for other in seen if other.partition("/")[0] == name]
            seen.add(key)
        if name not in known:
            missing = f.not_found(at, name)
            listed = f": {', '.join(sorted(known))}" if known else " which is empty"
            errors.append(missing._replace(message=f"{missing.message}: must be one of the names in pod.spec.resourceClaims{listed}"))
    return errors


def validate_resize_policy(policies: list[dict[str, Any]] | None, path: str, restart_policy: str) -> list[FieldError]:
    """Violations in a container's resizePolicy."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, policy in enumerate(policies or ()):
        name, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            errors.append(f.duplicate(f"{path}[{index}]", name))
        seen.add(name)
        for value, supported in ((name, _RESIZABLE), (restart, _RESIZE_POLICIES)):
            if not value:
                errors.append(f.required(path))
            elif value not in supported:
                errors.append(f.not_supported(path, value, supported))
        if restart_policy == "Never" and restart != "NotRequired":
            errors.append(f.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return errors


def validate_pod_resources(spec: dict[str, Any], claims: set[str], path: str) -> list[FieldError]:
    """Violations of the resources of the whole pod, against themselves and against those of the containers."""
    requirements = spec.get("resources")
    if not requirements:
        return []
    errors = []
    if requirements.get("claims") is not None:
        errors.append(f.forbidden(f"{path}.claims", "claims may not be set for Resources at pod-level"))
    errors += validate_requirements(requirements, claims, path, _validate_pod_resource_name)
    requests, limits = requirements.get("requests") or {}, requirements.get("limits") or {}
    for name, value in sorted(r.container_requests(spec).items()):
        if name in requests and compare(value, requests[name]) > 0:
            detail = f"must be greater than or equal to aggregate container requests of {canonical(value)}"
            errors.append(f.invalid(f"{path}.requests[{name}]", canonical(requests[name]), detail))
    for name, value in sorted(r.container_limits(spec).items()):
        if r.is_hugepages(name) and name in limits and compare(value, limits[name]) > 0:
            detail = f"must be greater than or equal to aggregate container limits of {canonical(value)}"
            errors.append(f.invalid(f"{path}.limits[{name}]", canonical(limits[name]), detail))
    for index, container in enumerate(spec.get("containers") or ()):
        for name, value in sorted(((container.get("resources") or {}).get("limits") or {}).items()):
            if name in limits and compare(value, limits[name]) > 0:
                at = f"{path}.containers[{index}][{name}].limits"
                errors.append(f.invalid(at, canonical(value), f"must be less than or equal to pod limits of {canonical(limits[name])}"))
    return errors
