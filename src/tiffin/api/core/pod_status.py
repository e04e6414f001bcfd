"""Validation of updates of a pod's status."""
from __future__ import annotations

from typing import Any

from tiffin.api.checks import ip
from tiffin.api.core.pod_update import validate_annotation_updates
from tiffin.api.kind import Context
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_subdomain, is_qualified_name, parse_ip
from tiffin.machinery.object import Object
from tiffin.machinery.validation import validate_immutable_field

_STATES = (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers"), ("ephemeralContainerStatuses", "ephemeralContainers"))
_GENERATION = "must be a non-negative integer"
_ID = "must be between 0 and 2147483647, inclusive"
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_CLAIMED = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
)
_ONE_PER_FAMILY = "may specify no more than one IP for each IP family"


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Violations of a status, against the one before where it matters."""
    status, before = new.get("status") or {}, old.get("status") or {}
    errors = validate_annotation_updates(new, old) + _validate_conditions(status)
    nominated = status.get("nominatedNodeName") or ""
    if nominated and nominated != before.get("nominatedNodeName"):
        errors += [f.invalid("status.nominatedNodeName", nominated, m) for m in is_dns1123_subdomain(nominated)]
    if (status.get("observedGeneration") or 0) < 0:
        errors.append(f.invalid("status.observedGeneration", status["observedGeneration"], _GENERATION))
    errors += validate_immutable_field(status.get("qosClass") or "", before.get("qosClass") or "", "status.qosClass")
    for field, containers in _STATES:
        errors += _validate_transitions(status.get(field) or (), before.get(field) or (), f"status.{field}", new.get("spec") or {}, containers)
    errors += _validate_claims(status, new.get("spec") or {})
    errors += _validate_addresses(status, before, "podIPs") + _validate_host_addresses(status, before)
    return errors + _validate_container_statuses(status, new.get("spec") or {})


def _validate_container_statuses(status: dict[str, Any], spec: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, _ in _STATES:
        errors += _validate_users(status.get(field) or (), f"status.{field}", spec)
    for field, containers in _STATES[:2]:
        errors += _validate_health(status.get(field) or (), f"status.{field}", spec.get(containers))
    for index, ephemeral in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if ephemeral.get("allocatedResourcesStatus"):
            at = f"status.ephemeralContainerStatuses[{index}].allocatedResourcesStatus"
            errors.append(f.forbidden(at, "must not be specified in container status"))
    return errors


def _validate_conditions(status: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        if (condition.get("observedGeneration") or 0) < 0:
            errors.append(f.invalid(f"status.conditions[{index}].observedGeneration", condition["observedGeneration"], _GENERATION))
        errors += [f.invalid(f"status.conditions[{index}].Type", kind, m) for m in is_qualified_name(kind)]
    return errors


def _restarts(spec: dict[str, Any], field: str, name: str, exit_code: int) -> bool:
    """Whether a container that ended with this code may run again."""
    if field == "ephemeralContainers":
        return False
    container: dict[str, Any] = next((c for c in spec.get(field) or () if c.get("name") == name), {})
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (exit_code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy") or spec.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _validate_transitions(statuses: Any, before: Any, path: str, spec: dict[str, Any], field: str) -> list[FieldError]:
    """A container that ended for good does not come back."""
    errors = []
    states = {s.get("name"): s.get("state") or {} for s in statuses}
    for index, known in enumerate(before):  # the one before is named, wherever it is now
        ended = (known.get("state") or {}).get("terminated")
        state = states.get(known.get("name"))
        if ended is None or state is None or state.get("terminated") is not None:
            continue
        if not _restarts(spec, field, known.get("name") or "", ended.get("exitCode") or 0):
            errors.append(f.forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state"))
    return errors


def _validate_users(statuses: Any, path: str, spec: dict[str, Any]) -> list[FieldError]:
    """As whom containers run: on Linux by numbers, on Windows not."""
    system = (spec.get("os") or {}).get("name") or "linux"
    errors: list[FieldError] = []
    for index, status in enumerate(statuses):
        user, at = (status.get("user") or {}).get("linux"), f"{path}[{index}].user.linux"
        if user is None:
            continue
        if system == "windows":
            errors.append(f.forbidden(at, "cannot be set for a windows pod"))
            continue
        numbers = [("uid", user.get("uid") or 0), ("gid", user.get("gid") or 0)]
        numbers += [(f"supplementalGroups[{g}]", group) for g, group in enumerate(user.get("supplementalGroups") or ())]
        errors += [f.invalid(f"{at}.{field}", number, _ID) for field, number in numbers if not 0 <= number < 2**31]
    return errors


def _validate_health(statuses: Any, path: str, containers: Any) -> list[FieldError]:
    """The health of devices: of those that the container asks for, each once."""
    errors: list[FieldError] = []
    by_name = {container.get("name"): container.get("resources") or {} for container in containers or ()}
    for index, status in enumerate(statuses):
        for j, allocated in enumerate(status.get("allocatedResourcesStatus") or ()):
            at, called = f"{path}[{index}].allocatedResourcesStatus[{j}]", allocated.get("name") or ""
            resources = by_name.get(status.get("name"))
            if resources is not None:
                errors += _validate_allocated(called, resources, f"{at}.name")
            seen: set[str] = set()
            for k, device in enumerate(allocated.get("resources") or ()):
                health, identity = device.get("health") or "", device.get("resourceID") or ""
                if health not in _HEALTH:
                    errors.append(f.not_supported(f"{at}.resources[{k}].health", health, _HEALTH))
                if identity in seen:
                    errors.append(f.duplicate(f"{at}.resources[{k}].resourceID", identity))
                seen.add(identity)
    return errors


def _validate_allocated(called: str, resources: dict[str, Any], path: str) -> list[FieldError]:
    if not called.startswith("claim:"):
        return [] if called in (resources.get("requests") or {}) else [f.invalid(path, called, "must match one of the container's resource requests")]
    claims = ("/".join(filter(None, (claim.get("name"), claim.get("request")))) for claim in resources.get("claims") or ())
    return [] if called.removeprefix("claim:") in claims else [f.invalid(path, called, _CLAIMED)]


def _validate_claims(status: dict[str, Any], spec: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        path, name, referred = f"status.resourceClaimStatuses[{index}]", claim.get("name") or "", claim.get("resourceClaimName")
        if name not in known:
            errors.append(f.invalid(f"{path}.name", name, "must match the name of an entry in `spec.resourceClaims`"))
        if name in seen:
            errors.append(f.duplicate(f"{path}.name", name))
        seen.add(name)
        if referred is not None:
            errors += [f.invalid(f"{path}.name", referred, m) for m in is_dns1123_subdomain(referred)]
    return errors


def _validate_addresses(status: dict[str, Any], before: dict[str, Any], field: str) -> list[FieldError]:
    """Addresses of a pod or its node: one of each family; those that were there before are not looked at again."""
    path = f"status.{field}"
    addresses = [entry.get("ip") or "" for entry in status.get(field) or ()]
    known = [entry.get("ip") or "" for entry in before.get(field) or ()]
    errors = [e for i, address in enumerate(addresses) for e in ip(address, f"{path}[{i}]", known)]
    if len(addresses) < 2:
        return errors
    parsed = [parse_ip(address) for address in addresses]
    invalid = next((address for address, value in zip(addresses, parsed) if value is None), None)
    if invalid is not None:
        errors.append(f.internal(path, f"failed to check for dual stack with error:invalid IP: {invalid}"))
    if invalid is not None or len(addresses) > 2 or len({value.version for value in parsed if value is not None}) < 2:
        errors.append(f.invalid(path, [{"IP": address} for address in addresses], _ONE_PER_FAMILY))
    return errors


def _validate_host_addresses(status: dict[str, Any], before: dict[str, Any]) -> list[FieldError]:
    entries = status.get("hostIPs") or []
    if not entries:
        return []
    first = entries[0].get("ip") or ""
    errors = [f.invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`")] if first != (status.get("hostIP") or "") else []
    return errors + _validate_addresses(status, before, "hostIPs")
