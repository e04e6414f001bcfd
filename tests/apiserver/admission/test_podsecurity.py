"""The Pod Security Standards and the plugin that keeps them."""

from __future__ import annotations

from typing import Any

import pytest
from admission_world import ADMIN, PODS, attributes, named

from tests.apiserver.inprocess import InProcess
from tiffin.apiserver.admission.namespace import NAMESPACES
from tiffin.apiserver.admission.podsecurity.levels import LATEST, Policy, Standard, policy_of
from tiffin.apiserver.admission.podsecurity.plugin import PodSecurity, PodSecurityConfiguration
from tiffin.apiserver.admission.podsecurity.standards import violations
from tiffin.apiserver.ports import MemoryReader
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource

GOOD: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
LABEL = "pod-security.kubernetes.io/"


def told(level: str, spec: Object, minor: int = LATEST, **annotations: str) -> str:
    return ", ".join(map(str, violations(Standard(level, minor), spec, annotations)))


def container(name: str = "c", **fields: Any) -> Object:
    return {"name": name, "image": "i", **fields}


def secured(**changes: Any) -> Object:
    """A container that restricted lets pass, but for changes of its security context."""
    return container(securityContext={**GOOD, **changes})


def pod(*containers: Object, **spec: Any) -> Object:
    return {"containers": list(containers) or [secured()], **spec}


BASELINE = [
    (pod(hostNetwork=True, hostPID=True, hostIPC=True), "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    (pod(container(ports=[{"hostPort": 81}, {"hostPort": 80}]), container("d", ports=[{"hostPort": 80}])), 'hostPort (containers "c", "d" use hostPorts 80, 81)'),
    (pod(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]), 'hostPath volumes (volumes "v", "w")'),
    (pod(secured(privileged=True)), 'privileged (container "c" must not set securityContext.privileged=true)'),
    (pod(secured(procMount="Unmasked")), 'procMount (container "c" must not set securityContext.procMount to "Unmasked")'),
    (pod(secured(capabilities={"add": ["SYS_ADMIN", "CHOWN", "BPF"]})),
     'non-default capabilities (container "c" must not include "BPF", "SYS_ADMIN" in securityContext.capabilities.add)'),
    (pod(container(), securityContext={"appArmorProfile": {"type": "Unconfined"}}),
     'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")'),
    (pod(secured(seLinuxOptions={"type": "spc_t", "user": "u"}), securityContext={"seLinuxOptions": {"role": "r"}}),
     'seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)'),
    (pod(secured(seccompProfile={"type": "Unconfined"})),
     'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")'),
    (pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}), "forbidden sysctls (kernel.msgmax)"),
    (pod(securityContext={"windowsOptions": {"hostProcess": True}}), "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"),
    (pod(container(livenessProbe={"httpGet": {"host": "10.0.0.1"}}, lifecycle={"preStop": {"tcpSocket": {"host": "a"}}})),
     'probe or lifecycle host (container "c" uses probe or lifecycle hosts "10.0.0.1", "a")'),
]  # fmt: skip
RESTRICTED = [
    (pod(secured(allowPrivilegeEscalation=None)), 'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)'),
    (pod(secured(capabilities={"drop": ["CHOWN"], "add": ["NET_BIND_SERVICE", "KILL"]})),
     'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; '
     'container "c" must not include "KILL" in securityContext.capabilities.add)'),
    (pod(volumes=[{"name": "n", "nfs": {}}, {"name": "o", "iscsi": {}}, {"name": "s", "secret": {}}]),
     'restricted volume types (volumes "n", "o" use restricted volume types "iscsi", "nfs")'),
    (pod(secured(runAsNonRoot=None)), 'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)'),
    (pod(secured(runAsNonRoot=None), securityContext={"runAsNonRoot": True}), ""),
    (pod(secured(runAsNonRoot=False), securityContext={"runAsNonRoot": False}),
     'runAsNonRoot != true (pod and container "c" must not set securityContext.runAsNonRoot=false)'),
    (pod(secured(runAsUser=0)), 'runAsUser=0 (container "c" must not set runAsUser=0)'),
    (pod(secured(seccompProfile=None)),
     'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "message"), BASELINE)
def test_baseline(spec: Object, message: str) -> None:
    assert told("baseline", spec) == message
    assert told("privileged", spec) == ""


@pytest.mark.parametrize(("spec", "message"), RESTRICTED)
def test_restricted(spec: Object, message: str) -> None:
    assert told("restricted", spec) == message


@pytest.mark.parametrize("kind", ["initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(("spec", "message"), [case for case in BASELINE + RESTRICTED if "container" in case[1]])
def test_attack_16_every_kind_of_container_is_walked(spec: Object, message: str, kind: str) -> None:
    """CVE-2023-2727: what is refused in a container is refused in an init container and in an ephemeral one."""
    level = "baseline" if (spec, message) in BASELINE else "restricted"
    moved = {**spec, "containers": [container("main", securityContext=GOOD)], kind: spec["containers"]}
    assert told(level, moved) == message


def test_older_versions_know_fewer_checks() -> None:
    bare = pod(container(livenessProbe={"httpGet": {"host": "h"}}))
    assert told("restricted", bare, 7) == 'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)'
    assert "allowPrivilegeEscalation" in told("restricted", bare, 8) and "capabilities" not in told("restricted", bare, 21)
    assert "probe" not in told("baseline", bare, 33) and "probe" in told("baseline", bare, 99)
    assert told("baseline", pod(), 18, **{"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}) == (
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")')


def test_user_namespaces_and_windows_are_exceptions() -> None:
    assert told("restricted", pod(secured(runAsNonRoot=False, runAsUser=0), hostUsers=False)) == ""
    assert told("restricted", pod(container(securityContext={"runAsNonRoot": True}), os={"name": "windows"})) == ""


@pytest.mark.parametrize(("labels", "policy", "errors"), [
    ({}, "", []),
    ({"enforce": "baseline"}, "enforce=baseline:latest, warn=baseline:latest", []),
    ({"enforce": "restricted", "enforce-version": "v1.30", "warn": "privileged"}, "enforce=restricted:v1.30", []),
    ({"audit": "restricted", "audit-version": "v1.9"}, "audit=restricted:v1.9", []),
    ({"enforce": "odd"}, "enforce=restricted:latest", ["enforce]: Invalid value: \"odd\": must be one of privileged, baseline, restricted"]),
    ({"warn": "odd", "warn-version": "v1.07"}, "", ["warn]: Invalid value: \"odd\": must be one of privileged, baseline, restricted",
                                                   "warn-version]: Invalid value: \"v1.07\": must be \"latest\" or \"v1.x\""]),
])  # fmt: skip
def test_labels(labels: dict[str, str], policy: str, errors: list[str]) -> None:
    found, problems = policy_of({f"{LABEL}{key}": value for key, value in labels.items()}, Policy())
    assert str(found) == policy
    assert [str(problem) for problem in problems] == [f"metadata.labels[{LABEL}{error}" for error in errors]


# the plugin


def run(labels: dict[str, str], obj: Object, old: Object | None = None, configuration: PodSecurityConfiguration | None = None, resource: Resource = PODS, sub: str = "") -> tuple[str, list[str]]:
    """The refusal ("" for none) and the warnings."""
    reader = MemoryReader()
    reader.put(NAMESPACES, named("a", metadata={"labels": {f"{LABEL}{key}": value for key, value in labels.items()}}))
    a = attributes("UPDATE" if old else "CREATE", resource, obj, old, ADMIN, sub)
    try:
        PodSecurity(reader, configuration or PodSecurityConfiguration()).validate(a, obj, old)
    except ApiError as error:
        return error.message, a.warnings
    return "", a.warnings


def a_pod(**spec: Any) -> Object:
    return {"metadata": {"name": "p", "namespace": "a"}, "spec": pod(container(), **spec)}


def test_what_is_enforced_is_refused_and_not_warned_of() -> None:
    refusal, warnings = run({"enforce": "baseline", "warn": "restricted"}, a_pod(hostPID=True))
    assert refusal == 'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)' and not warnings
    refusal, (warning,) = run({"enforce": "baseline", "warn": "restricted"}, a_pod())
    assert not refusal and warning.startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation')


def test_what_makes_pods_is_warned_of_only() -> None:
    jobs = Resource("batch", "v1", "cronjobs")
    job = {"metadata": {"name": "j", "namespace": "a"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod(hostIPC=True)}}}}}
    assert run({"enforce": "baseline"}, job, resource=jobs) == ("", ['would violate PodSecurity "baseline:latest": host namespaces (hostIPC=true)'])


def test_attack_16_an_ephemeral_container_added_to_a_running_pod_is_looked_at() -> None:
    old = a_pod()
    new = a_pod(ephemeralContainers=[container("debug", securityContext={"privileged": True})])
    refusal, _ = run({"enforce": "baseline"}, new, old, sub="ephemeralcontainers")
    assert refusal.endswith('privileged (container "debug" must not set securityContext.privileged=true)')


def test_updates_that_change_no_rights_are_left_alone() -> None:
    old = a_pod(hostPID=True)
    assert run({"enforce": "baseline"}, {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old) == ("", [])
    assert run({"enforce": "baseline"}, {**old, "spec": pod(container(image="new"), hostPID=True)}, old)[0]
    assert run({"enforce": "baseline"}, {**old, "status": {}}, old, sub="status") == ("", [])


@pytest.mark.parametrize("configuration", [
    PodSecurityConfiguration(usernames=frozenset(("admin",))), PodSecurityConfiguration(namespaces=frozenset("a")),
    PodSecurityConfiguration(runtime_classes=frozenset(("kata",))),
])  # fmt: skip
def test_exemptions(configuration: PodSecurityConfiguration) -> None:
    assert run({"enforce": "baseline"}, a_pod(hostPID=True, runtimeClassName="kata"), configuration=configuration) == ("", [])


async def test_namespaces_are_told_of_their_pods_and_labels_are_checked(api: InProcess) -> None:
    for name in ("b", "a", "c"):
        body = {"metadata": {"name": name}, "spec": pod(container(), **({"hostNetwork": True} if name != "c" else {}))}
        await api.made("/api/v1/namespaces/default/pods", body)
    answer = await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {f"{LABEL}enforce": "baseline"}}})
    assert answer.warnings == (
        '299 - "existing pods in namespace \\"default\\" violate the new PodSecurity enforce level \\"baseline:latest\\""',
        '299 - "a (and 1 other pod): host namespaces"')
    assert not (await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"x": "y"}}})).warnings
    answer = await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": {f"{LABEL}warn": "strict"}}})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message == (
        f'Namespace "default" is invalid: metadata.labels[{LABEL}warn]: Invalid value: "strict": must be one of privileged, baseline, restricted')
    answer = await api.post("/api/v1/namespaces/default/pods", {"metadata": {"name": "d"}, "spec": pod(hostPID=True)})
    assert answer.status == 403
