"""Validation of security contexts, of containers and of pods, for Linux and Windows."""
from __future__ import annotations

import re
from typing import Any

from tiffin.api.core.podspec.paths import descending
from tiffin.api.differences import go_name, go_names
from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_subdomain

_ID = "must be between 0 and 2147483647, inclusive"
_SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")
_GO_CONTEXT = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot",
    "readOnlyRootFilesystem", "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)
_APP_ARMOR_LIMIT = 4095
_CREDENTIAL_SPEC_LIMIT = 64 * 1024
_SYSCTL_PART = "[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?"
_SYSCTL_PATTERN = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_sysctl = re.compile(rf"{_SYSCTL_PART}(?:[./]{_SYSCTL_PART})*").fullmatch
_control = re.compile(r"[\x00-\x1f\x7f]").search
_net_bios = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}').fullmatch
_DOMAIN_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_user_domain = re.compile(rf"{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*").fullmatch
_only_dots = re.compile("[. ]+").fullmatch
_bad_user = re.compile(r'["/\\:;|=,+*?<>@\[\]]').search


def _shown_context(context: dict[str, Any]) -> dict[str, Any]:
    """A container's security context as messages show it: all fields, under their Go names."""
    shown = {go_name(key): go_names(context.get(key)) for key in _GO_CONTEXT}
    capabilities = context.get("capabilities")
    if capabilities is not None:
        shown["Capabilities"] = {"Add": capabilities.get("add"), "Drop": capabilities.get("drop")}
    return shown


def _validate_ids(context: dict[str, Any], fields: tuple[str, ...], path: str) -> list[FieldError]:
    return [f.invalid(f"{path}.{key}", context[key], _ID) for key in fields if context.get(key) is not None and not 0 <= context[key] < 2**31]


def _one_of(context: dict[str, Any], key: str, supported: tuple[str, ...], path: str) -> list[FieldError]:
    value = context.get(key)
    return [f.not_supported(f"{path}.{key}", value, supported)] if value is not None and value not in supported else []


def validate_security_context(context: dict[str, Any] | None, path: str, host_users: bool) -> list[FieldError]:
    """Violations of a container's security context; `host_users` as the pod has it."""
    if not context:
        return []
    errors = _validate_ids(context, ("runAsUser", "runAsGroup"), path)
    errors += _one_of(context, "procMount", ("Default", "Unmasked"), path)
    if host_users and context.get("procMount") == "Unmasked":
        errors.append(f.invalid(f"{path}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"))
    errors += validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(f.invalid(path, _shown_context(context), detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(f.invalid(path, _shown_context(context), detail))
    errors += validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return errors + validate_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def validate_seccomp(profile: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Violations of a seccomp profile."""
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    errors = []
    if not kind:
        errors.append(f.required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _SECCOMP:
        errors.append(f.not_supported(f"{path}.type", kind, _SECCOMP))
    if kind == "Localhost":
        if local is None:
            errors.append(f.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            errors += descending(local, f"{path}.localhostProfile")
    elif local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        errors.append(f.invalid(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost"))
    return errors


def validate_app_armor(profile: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Violations of an AppArmor profile."""
    if profile is None:
        return []
    kind, local, at = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [f.required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _SECCOMP:
        return [f.not_supported(f"{path}.type", kind, _SECCOMP)]
    if kind != "Localhost":
        return [] if local is None else [f.invalid(at, local, "can only be set when AppArmor type is Localhost")]
    if local is None:
        return [f.required(at, "must be set when AppArmor type is Localhost")]
    errors = []
    if local.strip() != local:
        errors.append(f.invalid(at, local, "must not be padded with whitespace"))
    elif not local:
        errors.append(f.required(at, "must be set when AppArmor type is Localhost"))
    if len(local) > _APP_ARMOR_LIMIT:
        errors.append(f.too_long(at, _APP_ARMOR_LIMIT))
    return errors


def validate_windows_options(options: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Violations of Windows options."""
    if not options:
        return []
    errors: list[FieldError] = []
    name, spec, user = options.get("gmsaCredentialSpecName"), options.get("gmsaCredentialSpec"), options.get("runAsUserName")
    if name is not None:
        errors += [f.invalid(f"{path}.gmsaCredentialSpecName", name, m) for m in is_dns1123_subdomain(name)]
    if spec == "":
        errors.append(f.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string"))
    elif spec and len(spec.encode()) > _CREDENTIAL_SPEC_LIMIT:
        errors.append(f.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec size must be under 64 KiB"))
    if user is not None:
        errors += [f.invalid(f"{path}.runAsUserName", user, m) for m in _windows_user_complaints(user)]
    return errors


def _windows_user_complaints(name: str) -> list[str]:
    if not name:
        return ["runAsUserName cannot be an empty string"]
    if _control(name):
        return ["runAsUserName cannot contain control characters"]
    parts = name.split("\\")
    if len(parts) > 2:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, user = parts if len(parts) == 2 else (None, parts[0])
    found = []
    if domain is not None:
        if len(domain) >= 256:
            found.append("runAsUserName's Domain length must be under 256 characters")
        if not _net_bios(domain) and not _user_domain(domain):
            found.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        found.append("runAsUserName's User cannot be empty")
    elif len(user) > 104:
        found.append("runAsUserName's User length must not be longer than 104 characters")
    if _only_dots(user):
        found.append("runAsUserName's User cannot contain only periods or spaces")
    if _bad_user(user):
        found.append('runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]')
    return found


def validate_pod_security_context(spec: dict[str, Any], path: str) -> list[FieldError]:
    """Violations of the pod's security context and of the host namespaces it goes with; `path` is that of the spec."""
    context, at = spec.get("securityContext") or {}, f"{path}.securityContext"
    errors = _validate_ids(context, ("fsGroup", "runAsUser", "runAsGroup"), at)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= group < 2**31:
            errors.append(f.invalid(f"{at}.supplementalGroups[{index}]", group, _ID))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        errors.append(f.invalid(f"{at}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"))
    errors += _validate_sysctls(context.get("sysctls") or (), spec, f"{at}.sysctls")
    errors += _one_of(context, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), at)
    errors += validate_seccomp(context.get("seccompProfile"), f"{at}.seccompProfile")
    errors += validate_windows_options(context.get("windowsOptions"), f"{at}.windowsOptions")
    errors += validate_app_armor(context.get("appArmorProfile"), f"{at}.appArmorProfile")
    errors += _one_of(context, "supplementalGroupsPolicy", ("Merge", "Strict"), at)
    return errors + _one_of(context, "seLinuxChangePolicy", ("MountOption", "Recursive"), at)


def validate_host_network(spec: dict[str, Any], path: str) -> list[FieldError]:
    """On the host's network a port is the host's; templates may leave it out."""
    errors: list[FieldError] = []
    if not spec.get("hostNetwork"):
        return errors
    for c, container in enumerate(spec.get("containers") or ()):
        for p, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if host and host != (port.get("containerPort") or 0):
                detail = "must match `containerPort` when `hostNetwork` is true"
                errors.append(f.invalid(f"{path}.containers[{c}].ports[{p}].hostPort", host, detail))
    return errors


def _validate_sysctls(sysctls: Any, spec: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name, at = sysctl.get("name") or "", f"{path}[{index}].name"
        dotted = name.replace("/", ".")
        if not name:
            errors.append(f.required(at))
        elif len(name) > 253 or not _sysctl(name):
            errors.append(f.invalid(at, name, f"must have at most 253 characters and match regex {_SYSCTL_PATTERN}"))
        elif name in seen:
            errors.append(f.duplicate(at, name))
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(f.invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.append(f.invalid(at, name, "may not be specified when 'hostIPC' is true"))
        seen.add(name)
    return errors
