"""The checks of the Pod Security Standards. Pure.

Each is a function of a pod's spec and annotations that gives what it found, or None. All of them walk init containers, containers and
ephemeral containers alike (CVE-2023-2727). Which check counts from which version on says `standards.py`.
Source: Kubernetes documentation "Pod Security Standards"; messages as a reference server gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tiffin.machinery.field import quoted
from tiffin.machinery.object import dig

Spec = Mapping[str, Any]
Annotations = Mapping[str, str]


class Violation(NamedTuple):
    """Why a pod is outside of a standard."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Spec, Annotations], Violation | None]

_KINDS = ("initContainers", "containers", "ephemeralContainers")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD, _SECCOMP_CONTAINER = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
_PROFILES = ("RuntimeDefault", "Localhost")
_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
    "SYS_CHROOT",
))  # fmt: skip
_VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")
_RESTRICTED_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd", "flexVolume", "cinder", "cephfs",
    "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def containers(spec: Spec) -> list[Mapping[str, Any]]:
    """Every container of a pod, of whichever kind."""
    return [container for kind in _KINDS for container in spec.get(kind) or ()]


def _security(part: Mapping[str, Any], *path: str) -> Any:
    return dig(part, "securityContext", *path)


def _named(found: Iterable[Mapping[str, Any]]) -> list[str]:
    return [container.get("name", "") for container in found]


def _list(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _these(word: str, names: Collection[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{word}{'' if len(names) == 1 else 's'} {_list(names)}"


def _uses(names: Collection[str]) -> str:
    return "uses" if len(names) == 1 else "use"


def _setters(pod: bool, names: list[str]) -> str:
    """Who has set something: `pod and container "a"`."""
    return " and ".join((["pod"] if pod else []) + ([_these("container", names)] if names else []))


def relaxed_in_user_namespace(check: Check) -> Check:
    """The check for pods that share the host's users; within a user namespace it does not matter."""
    return lambda spec, annotations: None if spec.get("hostUsers") is False else check(spec, annotations)


def not_on_windows(check: Check) -> Check:
    return lambda spec, annotations: None if dig(spec, "os", "name") == "windows" else check(spec, annotations)


# baseline


def apparmor(spec: Spec, annotations: Annotations) -> Violation | None:
    values: set[str] = set()

    def is_bad(part: Mapping[str, Any]) -> bool:
        profile = _security(part, "appArmorProfile")
        if profile is None or profile.get("type") in _PROFILES:
            return False
        values.add(profile.get("type") or "")
        return True

    setters = [text for text in (_setters(is_bad(spec), _named(c for c in containers(spec) if is_bad(c))),) if text]
    forbidden = [
        f"{key}={quoted(value)}"
        for key, value in sorted(annotations.items())
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    if forbidden:
        setters.append("annotation" if len(forbidden) == 1 else "annotations")
    if not setters:
        return None
    shown = [*sorted(values), *forbidden]
    reason = f"forbidden AppArmor profile{'' if len(shown) == 1 else 's'}"
    return Violation(reason, f"{' and '.join(setters)} must not set AppArmor profile type to {_list(shown)}")


def _added(spec: Spec, allowed: Collection[str]) -> str:
    """Says which containers add other capabilities than those allowed."""
    found = {c.get("name", ""): bad for c in containers(spec) if (bad := set(_security(c, "capabilities", "add") or ()) - set(allowed))}
    if not found:
        return ""
    return f"{_these('container', found)} must not include {_list(sorted(set().union(*found.values())))} in securityContext.capabilities.add"


def default_capabilities(spec: Spec, annotations: Annotations) -> Violation | None:
    added = _added(spec, _CAPABILITIES)
    return Violation("non-default capabilities", added) if added else None


def host_namespaces(spec: Spec, annotations: Annotations) -> Violation | None:
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def host_path_volumes(spec: Spec, annotations: Annotations) -> Violation | None:
    names = [v.get("name", "") for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return Violation("hostPath volumes", _these("volume", names)) if names else None


def host_ports(spec: Spec, annotations: Annotations) -> Violation | None:
    found = {c.get("name", ""): used for c in containers(spec) if (used := [p["hostPort"] for p in c.get("ports") or () if p.get("hostPort")])}
    ports = sorted({str(port) for used in found.values() for port in used})
    if not found:
        return None
    word = "hostPort" if len(ports) == 1 else "hostPorts"
    return Violation("hostPort", f"{_these('container', found)} {_uses(found)} {word} {', '.join(ports)}")


def host_probes(spec: Spec, annotations: Annotations) -> Violation | None:
    found: dict[str, set[str]] = {}
    for container in containers(spec):
        probes = [container.get(field) for field in ("livenessProbe", "readinessProbe", "startupProbe")]
        hooks = [dig(container, "lifecycle", field) for field in ("postStart", "preStop")]
        hosts = {host for handler in probes + hooks for kind in ("httpGet", "tcpSocket") if (host := dig(handler, kind, "host"))}
        if hosts:
            found.setdefault(container.get("name", ""), set()).update(hosts)
    if not found:
        return None
    detail = f"{_these('container', sorted(found))} {_uses(found)} {_these('probe or lifecycle host', sorted(set().union(*found.values())))}"
    return Violation("probe or lifecycle host", detail)


def privileged(spec: Spec, annotations: Annotations) -> Violation | None:
    names = _named(c for c in containers(spec) if _security(c, "privileged"))
    return Violation("privileged", f"{_these('container', names)} must not set securityContext.privileged=true") if names else None


def proc_mount(spec: Spec, annotations: Annotations) -> Violation | None:
    found = [(c.get("name", ""), mount) for c in containers(spec) if (mount := _security(c, "procMount")) not in (None, "Default")]
    if not found:
        return None
    names, mounts = [name for name, _ in found], sorted({mount for _, mount in found})
    return Violation("procMount", f"{_these('container', names)} must not set securityContext.procMount to {_list(mounts)}")


def selinux(*types: str) -> Check:
    """`types` are allowed beside none."""

    def check(spec: Spec, annotations: Annotations) -> Violation | None:
        options = [(part, found) for part in (spec, *containers(spec)) if (found := _security(part, "seLinuxOptions")) is not None]
        bad = [(part, o) for part, o in options if (o.get("type") or "") not in ("", *types) or o.get("user") or o.get("role")]
        if not bad:
            return None
        wrong = sorted({o["type"] for _, o in bad if (o.get("type") or "") not in ("", *types)})
        data = [_these("type", wrong)] if wrong else []
        data += [f"{field} may not be set" for field in ("user", "role") if any(o.get(field) for _, o in bad)]
        setters = _setters(any(part is spec for part, _ in bad), _named(part for part, _ in bad if part is not spec))
        return Violation("seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")

    return check


def seccomp_annotations(spec: Spec, annotations: Annotations) -> Violation | None:
    keys = [_SECCOMP_POD, *(f"{_SECCOMP_CONTAINER}{name}" for name in _named(containers(spec)))]
    found = {
        f"{key}={quoted(annotations[key])}"
        for key in keys
        if key in annotations and annotations[key] not in ("runtime/default", "docker/default") and not annotations[key].startswith("localhost/")
    }
    if not found:
        return None
    return Violation("seccompProfile", f"forbidden annotation{'' if len(found) == 1 else 's'} {', '.join(sorted(found))}")


def seccomp_unconfined(spec: Spec, annotations: Annotations) -> Violation | None:
    bad = [(p, t) for p in (spec, *containers(spec)) if (t := _seccomp(p)) is not None and t not in _PROFILES]
    if not bad:
        return None
    setters = _setters(any(part is spec for part, _ in bad), _named(part for part, _ in bad if part is not spec))
    values = _list(sorted({value for _, value in bad}))
    return Violation("seccompProfile", f"{setters} must not set securityContext.seccompProfile.type to {values}")


def _seccomp(part: Mapping[str, Any]) -> str | None:
    """The profile's type, "" for one without, None where there is no profile."""
    profile = _security(part, "seccompProfile")
    return None if profile is None else profile.get("type") or ""


def sysctls(*allowed: str) -> Check:
    def check(spec: Spec, annotations: Annotations) -> Violation | None:
        names = [s.get("name", "") for s in _security(spec, "sysctls") or () if s.get("name") not in allowed]
        return Violation("forbidden sysctls", ", ".join(names)) if names else None

    return check


def host_process(spec: Spec, annotations: Annotations) -> Violation | None:
    pod, names = bool(_host_process(spec)), _named(c for c in containers(spec) if _host_process(c))
    if not pod and not names:
        return None
    return Violation("hostProcess", f"{_setters(pod, names)} must not set securityContext.windowsOptions.hostProcess=true")


def _host_process(part: Mapping[str, Any]) -> Any:
    return _security(part, "windowsOptions", "hostProcess")


# restricted


def privilege_escalation(spec: Spec, annotations: Annotations) -> Violation | None:
    names = _named(c for c in containers(spec) if _security(c, "allowPrivilegeEscalation") is not False)
    detail = f"{_these('container', names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if names else None


def no_capabilities(spec: Spec, annotations: Annotations) -> Violation | None:
    keeping = _named(c for c in containers(spec) if "ALL" not in (_security(c, "capabilities", "drop") or ()))
    details = [f'{_these("container", keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    details += [added] if (added := _added(spec, ("NET_BIND_SERVICE",))) else []
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volume_types(spec: Spec, annotations: Annotations) -> Violation | None:
    bad = [v for v in spec.get("volumes") or () if all(v.get(source) is None for source in _VOLUMES)]
    if not bad:
        return None
    names = [v.get("name", "") for v in bad]
    types = sorted({next((t for t in _RESTRICTED_VOLUMES if v.get(t) is not None), "unknown") for v in bad})
    return Violation("restricted volume types", f"{_these('volume', names)} {_uses(names)} {_these('restricted volume type', types)}")


def non_root(spec: Spec, annotations: Annotations) -> Violation | None:
    pod, reason = _security(spec, "runAsNonRoot"), "runAsNonRoot != true"
    explicit = _named(c for c in containers(spec) if _security(c, "runAsNonRoot") is False)
    if pod is False or explicit:
        return Violation(reason, f"{_setters(pod is False, explicit)} must not set securityContext.runAsNonRoot=false")
    implicit = _named(c for c in containers(spec) if not pod and _security(c, "runAsNonRoot") is None)
    return Violation(reason, f"pod or {_these('container', implicit)} must set securityContext.runAsNonRoot=true") if implicit else None


def root_user(spec: Spec, annotations: Annotations) -> Violation | None:
    pod, names = _security(spec, "runAsUser") == 0, _named(c for c in containers(spec) if _security(c, "runAsUser") == 0)
    return Violation("runAsUser=0", f"{_setters(pod, names)} must not set runAsUser=0") if pod or names else None


def seccomp_confined(spec: Spec, annotations: Annotations) -> Violation | None:
    if found := seccomp_unconfined(spec, annotations):
        return found
    names = _named(c for c in containers(spec) if _seccomp(c) is None) if _seccomp(spec) is None else []
    words = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_these('container', names)} {words}") if names else None
