"""References to fields, resources and keys, as `env` and downward API volumes make them."""
from __future__ import annotations

from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_config_map_key, is_dns1123_subdomain, is_qualified_name
from tiffin.machinery.quantity import canonical, sign

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)

_KNOWN_FIELDS = {
    *ENV_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host",
}
_WITH_SUBSCRIPT = ("metadata.annotations", "metadata.labels")
_MEMORY_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_DIVISORS = {
    "cpu": (("1m", "1"), "only divisor's values 1m and 1 are supported with the cpu resource"),
    "memory": (_MEMORY_DIVISORS, f"only divisor's values {', '.join(_MEMORY_DIVISORS)} are supported with the memory resource"),
    "ephemeral-storage": (
        _MEMORY_DIVISORS, f"only divisor's values {', '.join(_MEMORY_DIVISORS)} are supported with the local ephemeral storage resource"),
    "hugepages": (_MEMORY_DIVISORS, f"only divisor's values {', '.join(_MEMORY_DIVISORS)} are supported with the hugepages resource"),
}


def split_subscript(field_path: str) -> tuple[str, str | None]:
    """`metadata.labels['app']` as ("metadata.labels", "app"); None where there is no subscript."""
    if field_path.endswith("']"):
        head, bracket, subscript = field_path[:-2].partition("['")
        if bracket and head:
            return head, subscript
    return field_path, None


def _conversion_error(reference: dict[str, Any], field_path: str) -> str:
    version = reference.get("apiVersion")
    if version != "v1":
        return f"unsupported pod version: {version}"
    head, subscript = split_subscript(field_path)
    if subscript is not None:
        return "" if head in _WITH_SUBSCRIPT else f"field label does not support subscript: {field_path}"
    return "" if field_path in _KNOWN_FIELDS else f"field label not supported: {field_path}"


def validate_field_reference(reference: dict[str, Any], allowed: tuple[str, ...], path: str) -> list[FieldError]:
    """Violations of an ObjectFieldSelector."""
    if not reference.get("apiVersion"):
        return [f.required(f"{path}.apiVersion")]
    field_path = reference.get("fieldPath") or ""
    if not field_path:
        return [f.required(f"{path}.fieldPath")]
    problem = _conversion_error(reference, field_path)
    if problem:
        return [f.invalid(f"{path}.fieldPath", field_path, f"error converting fieldPath: {problem}")]
    head, subscript = split_subscript("spec.nodeName" if field_path == "spec.host" else field_path)
    if subscript is not None:
        key = subscript.lower() if head == "metadata.annotations" else subscript
        return [f.invalid(path, subscript, m) for m in is_qualified_name(key)]
    return [] if head in allowed else [f.not_supported(f"{path}.fieldPath", head, allowed)]


def validate_resource_reference(reference: dict[str, Any], path: str, *, in_volume: bool) -> list[FieldError]:
    """Violations of a ResourceFieldSelector; volumes have to name the container."""
    errors: list[FieldError] = []
    resource = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        errors.append(f.required(f"{path}.containerName"))
    elif not resource:
        errors.append(f.required(f"{path}.resource"))
    elif resource not in RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        errors.append(f.not_supported(f"{path}.resource", resource, RESOURCES))
    return errors + _validate_divisor(resource, reference.get("divisor") or "0", path)


def _validate_divisor(resource: str, divisor: str, path: str) -> list[FieldError]:
    kind = resource.partition(".")[2]
    allowed, complaint = _DIVISORS.get("hugepages" if kind.startswith("hugepages-") else kind, ((), ""))
    if not complaint or sign(divisor) == 0 or canonical(divisor) in allowed:
        return []
    return [f.invalid(f"{path}.divisor", resource, complaint)]


def validate_key_reference(reference: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of a ConfigMapKeySelector or SecretKeySelector."""
    name, key = reference.get("name") or "", reference.get("key") or ""
    errors = [f.invalid(f"{path}.name", name, m) for m in is_dns1123_subdomain(name)]
    if not key:
        return [*errors, f.required(f"{path}.key")]
    return errors + [f.invalid(f"{path}.key", key, m) for m in is_config_map_key(key)]
