"""Validation of probes and lifecycle hooks: the handlers they share and what each allows."""
from __future__ import annotations

from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_http_header_name, is_valid_port_name, is_valid_port_num
from tiffin.machinery.validation import validate_nonnegative

_SCHEMES = ("HTTP", "HTTPS")


def validate_port(port: int | str | None, path: str) -> list[FieldError]:
    """A port by number or by name."""
    if isinstance(port, str):
        return [f.invalid(path, port, m) for m in is_valid_port_name(port)]
    return [f.invalid(path, port or 0, m) for m in is_valid_port_num(port or 0)]


def _validate_exec(action: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    return [] if action.get("command") else [f.required(f"{path}.command")]


def _validate_http(action: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    errors = [] if action.get("path") else [f.required(f"{path}.path")]
    errors += validate_port(action.get("port"), f"{path}.port")
    if action.get("scheme") not in _SCHEMES:
        errors.append(f.not_supported(f"{path}.scheme", action.get("scheme") or "", _SCHEMES))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        errors += [f.invalid(f"{path}.httpHeaders", name, m) for m in is_http_header_name(name)]
    return errors


def _validate_tcp(action: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    return validate_port(action.get("port"), f"{path}.port")


def _validate_sleep(action: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    seconds = action.get("seconds") or 0
    if 0 <= seconds <= grace:
        return []
    return [f.invalid(path, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})")]


_HANDLERS = (("exec", _validate_exec), ("httpGet", _validate_http), ("tcpSocket", _validate_tcp), ("grpc", _validate_tcp), ("sleep", _validate_sleep))


def validate_handler(handler: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    """Exactly one of exec, httpGet, tcpSocket, grpc and sleep; `grace` is the pod's terminationGracePeriodSeconds."""
    errors: list[FieldError] = []
    found = False
    for name, validate in _HANDLERS:
        action = handler.get(name)
        if action is None:
            continue
        if found:
            errors.append(f.forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
        else:
            errors += validate(action, f"{path}.{name}", grace)
        found = True
    return errors if found else [f.required(path, "must specify a handler type")]


def _validate_probe(probe: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    errors = validate_handler(probe, path, grace)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        errors += validate_nonnegative(probe.get(field) or 0, f"{path}.{field}")
    own_grace = probe.get("terminationGracePeriodSeconds")
    if own_grace is not None and own_grace <= 0:
        errors.append(f.invalid(f"{path}.terminationGracePeriodSeconds", own_grace, "must be greater than 0"))
    return errors


def validate_probes(container: dict[str, Any], path: str, grace: int) -> list[FieldError]:
    """Liveness, readiness and startup probe of a container."""
    errors: list[FieldError] = []
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if probe is None:
            continue
        at = f"{path}.{field}"
        errors += _validate_probe(probe, at, grace)
        if field != "readinessProbe" and probe.get("successThreshold") != 1:
            errors.append(f.invalid(f"{at}.successThreshold", probe.get("successThreshold") or 0, "must be 1"))
        if field == "readinessProbe" and probe.get("terminationGracePeriodSeconds") is not None:
            detail = "must not be set for readinessProbes"
            errors.append(f.invalid(f"{at}.terminationGracePeriodSeconds", probe["terminationGracePeriodSeconds"], detail))
    return errors


def validate_lifecycle(lifecycle: dict[str, Any] | None, path: str, grace: int) -> list[FieldError]:
    """postStart and preStop hooks."""
    errors: list[FieldError] = []
    for hook in ("postStart", "preStop"):
        handler = (lifecycle or {}).get(hook)
        if handler is not None:
            errors += validate_handler(handler, f"{path}.{hook}", grace)
    return errors
