"""Validation of what depends on the operating system: `os`, host-process pods, user namespaces."""
from __future__ import annotations

from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError

_WINDOWS = "cannot be set for a windows pod"
_LINUX = "windows options cannot be set for a linux pod"
_POD_CONTEXT_NOT_ON_WINDOWS = (
    "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "shareProcessNamespace", "runAsUser", "runAsGroup", "supplementalGroups",
    "supplementalGroupsPolicy", "seLinuxChangePolicy",
)
"""In the order in which they are looked at, after the first two and the namespaces of the host."""
_CONTEXT_NOT_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)


def visited(spec: dict[str, Any], path: str) -> list[tuple[dict[str, Any], str]]:
    """Every container with its path: init, regular, ephemeral."""
    return [
        (container, f"{path}.{field}[{index}]")
        for field in ("initContainers", "containers", "ephemeralContainers") if spec.get(field)
        for index, container in enumerate(spec[field])
    ]


def validate_os(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of `os`, and of what the named system cannot do; `path` is that of the spec."""
    if spec.get("os") is None:
        return []
    name = spec["os"].get("name") or ""
    if not name:
        return [f.required(f"{path}.os.name", "cannot be empty")]
    if name == "linux":
        return _validate_linux(spec, path)
    return _validate_windows(spec, path) if name == "windows" else [f.not_supported(f"{path}.os", name, ("linux", "windows"))]


def _validate_linux(spec: dict[str, Any], path: str) -> list[FieldError]:
    errors = []
    if (spec.get("securityContext") or {}).get("windowsOptions") is not None:
        errors.append(f.forbidden(f"{path}.securityContext.windowsOptions", _LINUX))
    for container, at in visited(spec, path):
        if (container.get("securityContext") or {}).get("windowsOptions") is not None:
            errors.append(f.forbidden(f"{at}.securityContext.windowsOptions", _LINUX))
    return errors


def _validate_windows(spec: dict[str, Any], path: str) -> list[FieldError]:
    context = spec.get("securityContext") or {}
    errors = [f.forbidden(f"{path}.securityContext.{key}", _WINDOWS) for key in ("appArmorProfile", "seLinuxOptions") if context.get(key) is not None]
    if spec.get("hostUsers") is not None:
        errors.append(f.forbidden(f"{path}.hostUsers", _WINDOWS))
    errors += [f.forbidden(f"{path}.{key}", _WINDOWS) for key in ("hostPID", "hostIPC") if spec.get(key)]
    for key in _POD_CONTEXT_NOT_ON_WINDOWS:
        if key == "shareProcessNamespace":
            if spec.get(key) is not None:
                errors.append(f.forbidden(f"{path}.{key}", _WINDOWS))
        elif context.get(key) is not None:
            errors.append(f.forbidden(f"{path}.securityContext.{key}", _WINDOWS))
    for container, at in visited(spec, path):
        own = container.get("securityContext") or {}
        errors += [f.forbidden(f"{at}.securityContext.{key}", _WINDOWS) for key in _CONTEXT_NOT_ON_WINDOWS if own.get(key) is not None]
    return errors


def _host_process(context: dict[str, Any] | None) -> bool | None:
    return ((context or {}).get("windowsOptions") or {}).get("hostProcess")


def validate_host_process(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Host-process containers come all together, and on the host network."""
    errors = []
    of_pod = _host_process(spec.get("securityContext"))
    count = total = 0
    for container, at in visited(spec, path):
        total += 1
        own = _host_process(container.get("securityContext"))
        if of_pod is not None and own is not None and of_pod != own:
            detail = f"pod hostProcess value must be identical if both are specified, was {f.shown(of_pod)}"
            errors.append(f.invalid(f"{at}.securityContext.windowsOptions.hostProcess", own, detail))
        count += bool(own if own is not None else of_pod)
    if count:
        if count != total:
            errors.append(f.invalid(path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"))
        if not spec.get("hostNetwork"):
            errors.append(f.invalid(f"{path}.hostNetwork", False, "hostNetwork must be true if pod contains any hostProcess containers"))
    return errors


def validate_host_users(spec: dict[str, Any], path: str) -> list[FieldError]:
    """A user namespace of its own excludes the namespaces of the host."""
    if spec.get("hostUsers") is not False:
        return []
    return [f.forbidden(f"{path}.{key}", "when `hostUsers` is false") for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
