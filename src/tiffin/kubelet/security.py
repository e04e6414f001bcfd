"""Security contexts of pods and containers as CRI states them. Container fields win over pod fields; what is unsure is refused."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from tiffin.kubelet.env import ConfigError
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.state import all_containers
from tiffin.machinery.object import Object, dig, name_of, namespace_of, uid_of

SHARED = ("runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions", "seccompProfile", "appArmorProfile")
"""Fields that a container takes from its pod when it has none of its own."""
MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def effective(pod: Object, container: Object) -> dict[str, Any]:
    """The container's security context completed from its pod's."""
    of_pod = dig(pod, "spec", "securityContext", default={})
    own = container.get("securityContext") or {}
    return {k: of_pod[k] for k in SHARED if of_pod.get(k) is not None} | {k: v for k, v in own.items() if v is not None}


def check_non_root(pod: Object, container: Object, image: cri.Image | None) -> None:
    """Refuse a container that promises not to run as root and would. Raises ConfigError."""
    context = effective(pod, container)
    if not context.get("runAsNonRoot"):
        return
    where = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {container["name"]})'
    user = context.get("runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is not None and image.HasField("uid"):
        if image.uid.value == 0:
            raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
        return
    if image is not None and image.username and image.username != "root":
        raise ConfigError(f"container has runAsNonRoot and image has non-numeric user ({image.username}), cannot verify user is non-root {where}")
    raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def seccomp(profile: dict[str, Any] | None, default: bool, root: str) -> cri.SecurityProfile:
    """A seccomp profile; `Localhost` ones lie beneath `root`. Without one: unconfined, unless the node says otherwise. Raises ConfigError."""
    kind = (profile or {}).get("type") or ("RuntimeDefault" if default else "Unconfined")
    if kind == "Localhost":
        name = (profile or {}).get("localhostProfile") or ""
        if not name or ".." in PurePosixPath(name).parts:
            raise ConfigError("localhostProfile must be set if seccompProfile type is Localhost.")
        return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=f"{root}/{name}")
    if kind not in ("RuntimeDefault", "Unconfined"):  # of a static pod, say, which no API server has looked at
        raise ConfigError(f"seccompProfile type {kind} is not known")
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault if kind == "RuntimeDefault" else cri.SecurityProfile.Unconfined)


def _integer(value: int | None) -> cri.Int64Value | None:
    return None if value is None else cri.Int64Value(value=value)


def _selinux(options: dict[str, str] | None) -> cri.SELinuxOption | None:
    return cri.SELinuxOption(**{k: options[k] for k in ("user", "role", "type", "level") if options.get(k)}) if options else None


def supplemental_groups(pod: Object) -> Sequence[int]:
    """Extra groups of every process: those listed and the group that owns the volumes."""
    context = dig(pod, "spec", "securityContext", default={})
    groups = list(context.get("supplementalGroups") or ())
    if context.get("fsGroup") is not None:
        groups.append(context["fsGroup"])
    return groups


def namespaces(pod: Object, target_id: str = "") -> cri.NamespaceOption:
    """Which namespaces are the pod's, the container's own or the node's; `target_id` joins another container's processes."""
    spec = pod.get("spec") or {}
    pid = cri.NODE if spec.get("hostPID") else cri.POD if spec.get("shareProcessNamespace") else cri.CONTAINER
    if target_id:
        pid = cri.TARGET
    return cri.NamespaceOption(
        network=cri.NODE if spec.get("hostNetwork") else cri.POD, pid=pid, ipc=cri.NODE if spec.get("hostIPC") else cri.POD, target_id=target_id,
    )


def of_container(pod: Object, container: Object, *, seccomp_default: bool, seccomp_root: str, target_id: str = "") -> cri.LinuxContainerSecurityContext:
    """CRI's security context of a container. Raises ConfigError."""
    context = effective(pod, container)
    privileged = bool(context.get("privileged"))
    capabilities = context.get("capabilities") or {}
    unmasked = context.get("procMount") == "Unmasked" or privileged
    return cri.LinuxContainerSecurityContext(
        privileged=privileged,
        capabilities=cri.Capability(add_capabilities=capabilities.get("add") or (), drop_capabilities=capabilities.get("drop") or ()),
        namespace_options=namespaces(pod, target_id),
        selinux_options=_selinux(context.get("seLinuxOptions")),
        run_as_user=_integer(context.get("runAsUser")),
        run_as_group=_integer(context.get("runAsGroup")),
        readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        no_new_privs=context.get("allowPrivilegeEscalation") is False,
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
        seccomp=seccomp(context.get("seccompProfile"), seccomp_default and not privileged, seccomp_root),
        apparmor=_apparmor(context.get("appArmorProfile")),
    )


def _apparmor(profile: dict[str, Any] | None) -> cri.SecurityProfile | None:
    if not profile:
        return None
    kind = getattr(cri.SecurityProfile, profile.get("type") or "RuntimeDefault")
    return cri.SecurityProfile(profile_type=kind, localhost_ref=profile.get("localhostProfile") or "")


def of_sandbox(pod: Object, *, seccomp_default: bool, seccomp_root: str) -> cri.LinuxSandboxSecurityContext:
    """CRI's security context of a sandbox; it always runs under the runtime's own seccomp profile unless one is asked for."""
    context = dig(pod, "spec", "securityContext", default={})
    privileged = any(dig(c, "securityContext", "privileged") for c in all_containers(pod))
    return cri.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        selinux_options=_selinux(context.get("seLinuxOptions")),
        run_as_user=_integer(context.get("runAsUser")),
        run_as_group=_integer(context.get("runAsGroup")) if context.get("runAsUser") is not None else None,
        supplemental_groups=supplemental_groups(pod),
        privileged=privileged,
        seccomp=seccomp(context.get("seccompProfile") or {"type": "RuntimeDefault"}, seccomp_default, seccomp_root),
    )
