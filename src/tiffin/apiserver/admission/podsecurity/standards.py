"""The Pod Security Standards: which checks belong to which level, from which Kubernetes version on. Pure.

Checks run in the order of their names, those of baseline first. Restricted includes baseline, but where one of its checks says the same
more strictly, the weaker one is left out.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tiffin.apiserver.admission.podsecurity import checks
from tiffin.apiserver.admission.podsecurity.checks import Annotations, Check, Spec, Violation, not_on_windows, relaxed_in_user_namespace
from tiffin.apiserver.admission.podsecurity.levels import Standard


class Rule(NamedTuple):
    """A check by name; `since` has its forms by the minor version they count from; `replaces` is the baseline check it includes."""

    name: str
    since: dict[int, Check]
    replaces: str = ""


_SELINUX = ("container_t", "container_init_t", "container_kvm_t")
_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
)  # fmt: skip
_SYSCTLS_27 = (*_SYSCTLS, "net.ipv4.ip_local_reserved_ports")
_SYSCTLS_29 = (
    *_SYSCTLS_27, "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
)  # fmt: skip
_SYSCTLS_32 = (*_SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")

BASELINE = (
    Rule("appArmorProfile", {0: checks.apparmor}),
    Rule("capabilities_baseline", {0: checks.default_capabilities}),
    Rule("hostNamespaces", {0: checks.host_namespaces}),
    Rule("hostPathVolumes", {0: checks.host_path_volumes}),
    Rule("hostPorts", {0: checks.host_ports}),
    Rule("hostProbesAndHostLifecycle", {34: checks.host_probes}),
    Rule("privileged", {0: checks.privileged}),
    Rule("procMount", {0: checks.proc_mount, 35: relaxed_in_user_namespace(checks.proc_mount)}),
    Rule("seLinuxOptions", {0: checks.selinux(*_SELINUX), 31: checks.selinux(*_SELINUX, "container_engine_t")}),
    Rule("seccompProfile_baseline", {0: checks.seccomp_annotations, 19: checks.seccomp_unconfined}),
    Rule("sysctls", {0: checks.sysctls(*_SYSCTLS), 27: checks.sysctls(*_SYSCTLS_27), 29: checks.sysctls(*_SYSCTLS_29), 32: checks.sysctls(*_SYSCTLS_32)}),
    Rule("windowsHostProcess", {0: checks.host_process}),
)
RESTRICTED = (
    Rule("allowPrivilegeEscalation", {8: checks.privilege_escalation, 25: not_on_windows(checks.privilege_escalation)}),
    Rule("capabilities_restricted", {22: checks.no_capabilities, 25: not_on_windows(checks.no_capabilities)}, "capabilities_baseline"),
    Rule("procMount_restricted", {35: checks.proc_mount}, "procMount"),
    Rule("restrictedVolumes", {0: checks.volume_types}, "hostPathVolumes"),
    Rule("runAsNonRoot", {0: checks.non_root, 35: relaxed_in_user_namespace(checks.non_root)}),
    Rule("runAsUser", {23: checks.root_user, 35: relaxed_in_user_namespace(checks.root_user)}),
    Rule("seccompProfile_restricted", {19: checks.seccomp_confined, 25: not_on_windows(checks.seccomp_confined)}, "seccompProfile_baseline"),
)


@cache
def checks_of(standard: Standard) -> tuple[Check, ...]:
    """The checks of a level in a version, in their order."""
    if standard.level == "privileged":
        return ()
    strict = [rule for rule in RESTRICTED if min(rule.since) <= standard.minor] if standard.level == "restricted" else []
    replaced = {rule.replaces for rule in strict}
    rules = [rule for rule in BASELINE if rule.name not in replaced and min(rule.since) <= standard.minor]
    return tuple(rule.since[max(minor for minor in rule.since if minor <= standard.minor)] for rule in rules + strict)


def violations(standard: Standard, spec: Spec, annotations: Annotations) -> list[Violation]:
    """All that puts a pod outside of the standard."""
    return [found for check in checks_of(standard) if (found := check(spec, annotations)) is not None]
