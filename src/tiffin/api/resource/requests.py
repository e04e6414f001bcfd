"""What a claim asks for: requests, constraints between them, configuration. Templates hold the same.

Source: API reference "resource.k8s.io/v1"; Kubernetes' validation of that group.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from tiffin.api.checks import named
from tiffin.api.resource.identifiers import (
    driver_errors,
    each,
    each_of_set,
    fully_qualified_errors,
    itself,
    label,
    label_name,
)
from tiffin.api.resource.selectors import selector_errors
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, not_supported, required, too_long

MAX_REQUESTS, MAX_CONSTRAINTS, MAX_CONFIGURATIONS, MAX_ALTERNATIVES, MAX_TOLERATIONS = 32, 32, 32, 8, 16
LONGEST_PARAMETERS = 10 * 1024
EFFECTS = ("NoExecute", "NoSchedule", "None")
_OPERATORS, _MODES = ("Equal", "Exists"), ("All", "ExactCount")
_NO_SUCH_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"

RequestNames = Mapping[str, Set[str]]
"""The requests of a claim, each with the names of its alternatives."""


def default_claim_spec(spec: dict[str, Any]) -> None:
    """One device of each request, unless it says otherwise; tolerations compare values."""
    devices = spec.setdefault("devices", {})
    devices.setdefault("requests", None)
    for request in devices["requests"] or ():
        for part in [request.get("exactly"), *(request.get("firstAvailable") or ())]:
            if part is not None:
                part["allocationMode"] = part.get("allocationMode") or "ExactCount"
                if part["allocationMode"] == "ExactCount" and not part.get("count"):
                    part["count"] = 1
                default_tolerations(part.get("tolerations"))


def default_tolerations(tolerations: list[dict[str, Any]] | None) -> None:
    for toleration in tolerations or ():
        toleration["operator"] = toleration.get("operator") or "Equal"


def request_names(spec: dict[str, Any]) -> RequestNames:
    requests = (spec.get("devices") or {}).get("requests") or ()
    return {r.get("name", ""): {part.get("name", "") for part in r.get("firstAvailable") or ()} for r in requests}


def claim_spec_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    devices, known = spec.get("devices") or {}, request_names(spec)
    path = f"{path}.devices"
    errors = each_of_set(devices.get("requests"), MAX_REQUESTS, _request_errors, _name_of, f"{path}.requests")
    errors += each(devices.get("constraints"), MAX_CONSTRAINTS, lambda c, at: _constraint_errors(c, at, known), f"{path}.constraints")
    return errors + each(devices.get("config"), MAX_CONFIGURATIONS, lambda c, at: claim_configuration_errors(c, at, known), f"{path}.config")


def _name_of(item: dict[str, Any]) -> str:
    return item.get("name") or ""


def _request_errors(request: dict[str, Any], path: str) -> list[FieldError]:
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    errors = label(request.get("name"), f"{path}.name")
    if exactly is None and not alternatives:
        errors.append(required(path, "exactly one of `exactly` or `firstAvailable` is required"))
    elif exactly is not None and alternatives:
        errors.append(invalid(path, None, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"))
    elif exactly is None:
        errors += each_of_set(alternatives, MAX_ALTERNATIVES, _alternative_errors, _name_of, f"{path}.firstAvailable")
    else:
        errors += _device_errors(exactly, f"{path}.exactly")
    return errors


def _alternative_errors(request: dict[str, Any], path: str) -> list[FieldError]:
    return label(request.get("name"), f"{path}.name") + _device_errors(request, path)


def _device_errors(request: dict[str, Any], path: str) -> list[FieldError]:
    called = request.get("deviceClassName")
    here = f"{path}.deviceClassName"
    errors = named(called, here, names.is_dns1123_subdomain) if called else [required(here)]
    errors += selector_errors(request.get("selectors"), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode not in _MODES:
        errors.append(not_supported(f"{path}.allocationMode", mode, _MODES))
    elif mode == "All" and count:
        errors.append(invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount" and count <= 0:
        errors.append(invalid(f"{path}.count", count, "must be greater than zero"))
    return errors + toleration_errors(request.get("tolerations"), f"{path}.tolerations")


def toleration_errors(tolerations: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    return each(tolerations, MAX_TOLERATIONS, _toleration_errors, path)


def _toleration_errors(toleration: dict[str, Any], path: str) -> list[FieldError]:
    operator, value, effect = (toleration.get(field) or "" for field in ("operator", "value", "effect"))
    errors = label_name(toleration["key"], f"{path}.key") if toleration.get("key") else []
    if operator == "Exists":
        errors += [invalid(f"{path}.value", value, "must be empty for operator `Exists`")] if value else []
    elif operator == "Equal":
        errors += named(value, f"{path}.value", names.is_label_value)
    else:
        errors.append(not_supported(f"{path}.operator", operator, _OPERATORS) if operator else required(f"{path}.operator"))
    return errors + ([not_supported(f"{path}.effect", effect, EFFECTS)] if effect and effect not in EFFECTS else [])


def _constraint_errors(constraint: dict[str, Any], path: str, known: RequestNames) -> list[FieldError]:
    errors = request_list_errors(constraint.get("requests"), f"{path}.requests", known)
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            return errors + fully_qualified_errors(constraint[field], f"{path}.{field}")
    words = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
    return [*errors, required(path, words)]


def request_list_errors(requests: list[str] | None, path: str, known: RequestNames) -> list[FieldError]:
    return each_of_set(requests, MAX_REQUESTS, lambda name, at: request_reference_errors(name, at, known), itself, path)


def request_reference_errors(name: str, path: str, known: RequestNames) -> list[FieldError]:
    """The name of a request, or of a request and one of its alternatives."""
    parts = name.split("/")
    if len(parts) > 2:
        return [invalid(path, name, _NO_SUCH_REQUEST)]
    errors = [error for part in parts for error in label(part, path)]
    found = parts[0] in known and (len(parts) == 1 or parts[1] in known[parts[0]])
    return errors if found else [*errors, invalid(path, name, _NO_SUCH_REQUEST)]


def claim_configuration_errors(configuration: dict[str, Any], path: str, known: RequestNames) -> list[FieldError]:
    return request_list_errors(configuration.get("requests"), f"{path}.requests", known) + configuration_errors(configuration, path)


def configuration_errors(configuration: dict[str, Any], path: str, *, stored: bool = False) -> list[FieldError]:
    opaque = configuration.get("opaque")
    if opaque is None:
        return [required(f"{path}.opaque")]
    errors = driver_errors(opaque.get("driver"), f"{path}.opaque.driver")
    return errors + parameters_errors(opaque.get("parameters"), f"{path}.opaque.parameters", stored=stored)


def parameters_errors(parameters: Any, path: str, *, stored: bool = False) -> list[FieldError]:
    """An object of any shape; how large it is does not matter once it is `stored`."""
    if parameters is None:
        return [required(path)]
    if not stored and len(json.dumps(parameters, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")) > LONGEST_PARAMETERS:
        return [too_long(path, LONGEST_PARAMETERS)]
    return [] if isinstance(parameters, dict) else [invalid(path, "<value omitted>", "must be a valid JSON object")]
