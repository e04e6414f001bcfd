"""One policy against one pod: what it fills in, and what it forbids. Pure.

The order of what is forbidden is that of Kubernetes: the pod's groups, seccomp, SELinux, host namespaces, sysctls and volumes, its runtime
class, then container by container.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiffin.apiserver.admission.podsecuritypolicy import identities, profiles
from tiffin.apiserver.admission.podsecuritypolicy.volumes import volume_errors
from tiffin.machinery.field import FieldError, forbidden, invalid, not_supported
from tiffin.machinery.object import Object

Spec = dict[str, Any]
SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range",
    "net.ipv4.tcp_syncookies",
)
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_HOST = (("hostNetwork", "Host network"), ("hostPID", "Host PID"), ("hostIPC", "Host IPC"))


def containers(pod: Object) -> Iterator[tuple[str, Spec]]:
    """Every container with its path."""
    for field in _CONTAINERS:
        for index, container in enumerate(pod["spec"].get(field) or ()):
            yield f"spec.{field}[{index}]", container


def effective(pod: Object, container: Spec, field: str) -> Any:
    """What counts for a container: its own word, or else the pod's."""
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(field)


# what a policy fills in

def complete(policy: Object, pod: Object) -> None:
    """Fills in, in place, what the policy demands and the pod leaves open."""
    rules, context = policy["spec"], pod["spec"].setdefault("securityContext", {})
    extra, fs = (identities.first(rules.get(field)) for field in ("supplementalGroups", "fsGroup"))
    if context.get("supplementalGroups") is None and extra is not None:
        context["supplementalGroups"] = [extra]
    if context.get("fsGroup") is None and fs is not None:
        context["fsGroup"] = fs
    if context.get("seLinuxOptions") is None and (label := _label(rules)) is not None:
        context["seLinuxOptions"] = label
    profiles.complete_seccomp(policy, pod)
    usual = (rules.get("runtimeClass") or {}).get("defaultRuntimeClassName")
    if usual is not None and pod["spec"].get("runtimeClassName") is None:
        pod["spec"]["runtimeClassName"] = usual
    for _, container in containers(pod):
        _complete_container(policy, pod, container)


def _label(rules: Spec) -> Spec | None:
    strategy = rules.get("seLinux") or {}
    return dict(strategy.get("seLinuxOptions") or {}) if strategy.get("rule") == "MustRunAs" else None


def _complete_container(policy: Object, pod: Object, container: Spec) -> None:
    rules: Spec = policy["spec"]
    wanted: Spec = {}
    for field in ("runAsUser", "runAsGroup"):
        if effective(pod, container, field) is None and (number := identities.first(rules.get(field))) is not None:
            wanted[field] = number
    if effective(pod, container, "seLinuxOptions") is None and (label := _label(rules)) is not None:
        wanted["seLinuxOptions"] = label
    profiles.complete_apparmor(policy, pod, container)
    user = wanted.get("runAsUser", effective(pod, container, "runAsUser"))
    if effective(pod, container, "runAsNonRoot") is None and user is None and (rules.get("runAsUser") or {}).get("rule") == "MustRunAsNonRoot":
        wanted["runAsNonRoot"] = True
    own = container.get("securityContext") or {}
    capabilities = _capabilities(rules, own.get("capabilities"))
    if capabilities != own.get("capabilities"):
        wanted["capabilities"] = capabilities
    if rules.get("readOnlyRootFilesystem") and own.get("readOnlyRootFilesystem") is None:
        wanted["readOnlyRootFilesystem"] = True
    if own.get("allowPrivilegeEscalation") is None and (escalates := _escalation(rules, own, capabilities)) is not None:
        wanted["allowPrivilegeEscalation"] = escalates
    if wanted:
        container["securityContext"] = {**own, **wanted}


def _capabilities(rules: Spec, own: Spec | None) -> Spec | None:
    """The container's capabilities with the policy's default additions and the ones that must be dropped."""
    adds, drops = ((own or {}).get(field) or [] for field in ("add", "drop"))
    added = (set(rules.get("defaultAddCapabilities") or ()) - set(drops)) | set(adds)
    dropped = set(rules.get("requiredDropCapabilities") or ()) | set(drops)
    if (len(added), len(dropped)) == (len(set(adds)), len(set(drops))):
        return own
    return {field: sorted(names) for field, names in (("add", added), ("drop", dropped)) if names}


def _escalation(rules: Spec, own: Spec, capabilities: Spec | None) -> bool | None:
    usual: bool | None = rules.get("defaultAllowPrivilegeEscalation")
    if usual is not None:
        return usual
    powerful = own.get("privileged") or "CAP_SYS_ADMIN" in ((capabilities or {}).get("add") or ())
    return False if rules.get("allowPrivilegeEscalation") is False and not powerful else None


# what it forbids

def violations(policy: Object, pod: Object) -> list[FieldError]:
    rules, spec = policy["spec"], pod["spec"]
    context, path = spec.get("securityContext") or {}, "spec.securityContext"
    groups = [context["fsGroup"]] if context.get("fsGroup") is not None else []
    errors = identities.group_errors(rules.get("fsGroup"), groups, f"{path}.fsGroup")
    errors += identities.group_errors(rules.get("supplementalGroups"), context.get("supplementalGroups") or [], f"{path}.supplementalGroups")
    errors += profiles.pod_seccomp_errors(policy, pod)
    errors += identities.label_errors(rules.get("seLinux") or {}, context.get("seLinuxOptions"), f"{path}.seLinuxOptions")
    errors += [invalid(f"{path}.{field}", True, f"{words} is not allowed to be used") for field, words in _HOST if spec.get(field) and not rules.get(field)]
    errors += _sysctl_errors(rules, context.get("sysctls") or [])
    errors += volume_errors(rules, spec) + _runtime_class_errors(rules, spec.get("runtimeClassName"))
    for here, container in containers(pod):
        errors += _container_errors(policy, pod, container, here)
    return errors


def _sysctl_errors(rules: Spec, sysctls: list[Spec]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, sysctl in enumerate(sysctls):
        name, path = sysctl.get("name") or "", f"pod.spec.securityContext.sysctls[{index}]"
        if _matches(name, rules.get("forbiddenSysctls")):
            errors.append(forbidden(path, f'sysctl "{name}" is not allowed'))
        elif name not in SAFE_SYSCTLS and not _matches(name, rules.get("allowedUnsafeSysctls")):
            errors.append(forbidden(path, f'unsafe sysctl "{name}" is not allowed'))
    return errors


def _matches(name: str, patterns: list[str] | None) -> bool:
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in patterns or ())


def _runtime_class_errors(rules: Spec, name: str | None) -> list[FieldError]:
    allowed = (rules.get("runtimeClass") or {}).get("allowedRuntimeClassNames") or []
    if rules.get("runtimeClass") is None or not name or "*" in allowed or name in allowed:
        return []
    return [not_supported("spec.runtimeClassName", name, allowed)]


def _container_errors(policy: Object, pod: Object, container: Spec, path: str) -> list[FieldError]:
    rules, own, here = policy["spec"], container.get("securityContext") or {}, f"{path}.securityContext"
    group = effective(pod, container, "runAsGroup")
    errors = identities.user_errors(
        rules.get("runAsUser") or {}, effective(pod, container, "runAsUser"), effective(pod, container, "runAsNonRoot"), here)
    errors += identities.group_errors(rules.get("runAsGroup"), [] if group is None else [group], f"{here}.runAsGroup")
    errors += identities.label_errors(rules.get("seLinux") or {}, effective(pod, container, "seLinuxOptions"), f"{here}.seLinuxOptions")
    errors += profiles.apparmor_errors(policy, pod, container) + profiles.container_seccomp_errors(policy, pod, container)
    if own.get("privileged") and not rules.get("privileged"):
        errors.append(invalid(f"{here}.privileged", True, "Privileged containers are not allowed"))
    mount, allowed = own.get("procMount") or "Default", rules.get("allowedProcMountTypes") or ["Default"]
    if mount not in allowed and "*" not in allowed:
        errors.append(invalid(f"{here}.procMount", mount, "ProcMountType is not allowed"))
    errors += _capability_errors(rules, own.get("capabilities"), f"{here}.capabilities")
    errors += _port_errors(rules.get("hostPorts") or [], container, path)
    return errors + _root_errors(rules, own, here)


def _capability_errors(rules: Spec, own: Spec | None, path: str) -> list[FieldError]:
    usual, dropped = rules.get("defaultAddCapabilities") or [], rules.get("requiredDropCapabilities") or []
    allowed = rules.get("allowedCapabilities") or []
    if own is None:
        return [invalid(path, None, "required capabilities are not set on the securityContext")] if usual or dropped else []
    if "*" in allowed:
        return []
    errors = [invalid(f"{path}.add", name, "capability may not be added") for name in own.get("add") or () if name not in usual and name not in allowed]
    drops = own.get("drop") or []
    return errors + [invalid(f"{path}.drop", drops, f"{name} is required to be dropped but was not found") for name in dropped if name not in drops]


def _port_errors(ranges: list[Spec], container: Spec, path: str) -> list[FieldError]:
    bounds = [(r.get("min", 0), r.get("max", 0)) for r in ranges]
    told = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in bounds)
    wanted = [port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")]
    return [
        invalid(f"{path}.hostPort", port, f"Host port {port} is not allowed to be used. Allowed ports: [{told}]")
        for port in wanted if not any(low <= port <= high for low, high in bounds)]


def _root_errors(rules: Spec, own: Spec, path: str) -> list[FieldError]:
    """A root file system that must not be written, and rights that must not grow."""
    errors: list[FieldError] = []
    read_only, escalates = own.get("readOnlyRootFilesystem"), own.get("allowPrivilegeEscalation")
    if rules.get("readOnlyRootFilesystem") and not read_only:
        words = "may not be nil and must be set to true" if read_only is None else "must be set to true"
        errors.append(invalid(f"{path}.readOnlyRootFilesystem", read_only, f"ReadOnlyRootFilesystem {words}"))
    if rules.get("allowPrivilegeEscalation") is False and escalates is not False:
        errors.append(invalid(f"{path}.allowPrivilegeEscalation", escalates, "Allowing privilege escalation for containers is not allowed"))
    return errors
