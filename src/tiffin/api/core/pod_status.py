"""Validation of updates of a pod's status."""
from __future__ import annotations

from typing import Any

from tiffin.api.core.pod_update import validate_annotation_updates
from tiffin.api.kind import Context
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_subdomain, is_qualified_name, is_valid_ip, parse_ip
from tiffin.machinery.object import Object
from tiffin.machinery.validation import validate_immutable_field

_STATES = (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers"), ("ephemeralContainerStatuses", "ephemeralContainers"))
_GENERATION = "must be a non-negative integer"
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
    errors += _validate_addresses(status.get("podIPs") or [], "status.podIPs")
    return errors + _validate_host_addresses(status)


def _validate_conditions(status: dict[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type") or ""
        errors += [f.invalid(f"status.conditions[{index}].Type", kind, m) for m in is_qualified_name(kind)]
        if (condition.get("observedGeneration") or 0) < 0:
            errors.append(f.invalid(f"status.conditions[{index}].observedGeneration", condition["observedGeneration"], _GENERATION))
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
    states = {s.get("name"): (i, s.get("state") or {}) for i, s in enumerate(statuses)}
    for known in before:
        ended = (known.get("state") or {}).get("terminated")
        found = states.get(known.get("name"))
        if ended is None or found is None or found[1].get("terminated") is not None:
            continue
        if not _restarts(spec, field, known.get("name") or "", ended.get("exitCode") or 0):
            errors.append(f.forbidden(f"{path}[{found[0]}].state", "may not be transitioned to non-terminated state"))
    return errors


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


def _validate_addresses(entries: list[dict[str, Any]], path: str) -> list[FieldError]:
    addresses = [entry.get("ip") or "" for entry in entries]
    errors = [f.invalid(f"{path}[{i}]", a, m) for i, a in enumerate(addresses) for m in is_valid_ip(a)]
    families = [parsed.version for parsed in map(parse_ip, addresses) if parsed is not None]
    if len(families) != len(set(families)):
        errors.append(f.invalid(path, [{"IP": a} for a in addresses], _ONE_PER_FAMILY))
    errors += [f.duplicate(f"{path}[{i}]", {"IP": a}) for i, a in enumerate(addresses) if a in addresses[:i]]
    return errors


def _validate_host_addresses(status: dict[str, Any]) -> list[FieldError]:
    entries = status.get("hostIPs") or []
    if not entries:
        return []
    first = entries[0].get("ip") or ""
    errors = [f.invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`")] if first != (status.get("hostIP") or "") else []
    return errors + _validate_addresses(entries, "status.hostIPs")
