"""What claims, templates and classes of devices share: requests, selectors, configuration.

Expressions are only required to be there; whether they compile is found where they are run.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.checks import named, needed
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, required

MAX_REQUESTS = 32


def default_claim_spec(spec: dict[str, Any]) -> None:
    """One device of each request, unless it says otherwise."""
    devices = spec.setdefault("devices", {})
    devices.setdefault("requests", None)
    for request in devices["requests"] or ():
        for part in [request.get("exactly"), *(request.get("firstAvailable") or ())]:
            if part is not None:
                part["allocationMode"] = part.get("allocationMode") or "ExactCount"
                if part["allocationMode"] == "ExactCount" and not part.get("count"):
                    part["count"] = 1


def selector_errors(selectors: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, selector in enumerate(selectors or ()):
        cel, here = selector.get("cel"), f"{path}[{index}].cel"
        errors += [required(here)] if cel is None else needed(cel.get("expression"), f"{here}.expression")
    return errors


def configuration_errors(configuration: dict[str, Any], path: str) -> list[FieldError]:
    opaque = configuration.get("opaque")
    if opaque is None:
        return [required(f"{path}.opaque")]
    errors = named(opaque.get("driver"), f"{path}.opaque.driver", names.is_dns1123_subdomain)
    parameters = opaque.get("parameters")
    if parameters is None:
        errors.append(required(f"{path}.opaque.parameters"))
    elif not isinstance(parameters, dict):
        errors.append(invalid(f"{path}.opaque.parameters", "<value omitted>", "must be a valid JSON object"))
    return errors


def claim_spec_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    devices = spec.get("devices") or {}
    errors: list[FieldError] = []
    for index, request in enumerate(devices.get("requests") or ()):
        here, exactly = f"{path}.devices.requests[{index}]", request.get("exactly")
        errors += named(request.get("name"), f"{here}.name", names.is_dns1123_label) if request.get("name") else [required(f"{here}.name")]
        if exactly is not None:
            errors += _request_errors(exactly, f"{here}.exactly")
        elif not request.get("firstAvailable"):
            errors.append(required(here, "exactly one of `exactly` or `firstAvailable` is required"))
        for at, part in enumerate(request.get("firstAvailable") or ()):
            errors += _request_errors(part, f"{here}.firstAvailable[{at}]")
    for index, configuration in enumerate(devices.get("config") or ()):
        errors += configuration_errors(configuration, f"{path}.devices.config[{index}]")
    return errors


def _request_errors(request: dict[str, Any], path: str) -> list[FieldError]:
    called = request.get("deviceClassName") or ""
    errors = named(called, f"{path}.deviceClassName", names.is_dns1123_subdomain) if called else [required(f"{path}.deviceClassName")]
    return errors + selector_errors(request.get("selectors"), f"{path}.selectors")
