"""CRI's configurations of sandboxes and containers, made from a pod: no IO, no clock.

Labels and annotations carry what an agent needs to know its pods again after a restart.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tiffin.kubelet import dns, resources, runtime, security
from tiffin.kubelet.env import expand
from tiffin.kubelet.proto import cri_pb2 as cri
from tiffin.kubelet.state import regular_containers, sidecars, spec_hash, uses_host_network
from tiffin.machinery.object import Object, annotations_of, dig, labels_of, name_of, namespace_of, uid_of

PROPAGATION = {"HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER, "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL}
PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}


class Mounted(NamedTuple):
    """A path of the node shown in a container."""

    container_path: str
    host_path: str
    read_only: bool = False
    propagation: str = ""
    recursive_read_only: bool = False


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What of the node goes into configurations."""

    cluster_domain: str
    cluster_dns: Sequence[str]
    resolver: dns.Resolver
    cgroup_root: str
    seccomp_default: bool
    seccomp_root: str
    memory_capacity: int
    cgroup_v2: bool


def log_directory_name(pod: Object) -> str:
    """The pod's directory beneath the log root."""
    return f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"


def log_path(container_name: str, attempt: int) -> str:
    """A run's log, relative to the pod's directory."""
    return f"{container_name}/{attempt}.log"


def _pod_labels(pod: Object) -> dict[str, str]:
    return {runtime.POD_NAME: name_of(pod), runtime.POD_NAMESPACE: namespace_of(pod), runtime.POD_UID: uid_of(pod)}


def sandbox_config(pod: Object, attempt: int, settings: NodeSettings, log_root: str) -> cri.PodSandboxConfig:
    """The configuration of a pod's sandbox. Raises ConfigError."""
    host = uses_host_network(pod)
    annotations = dict(annotations_of(pod)) | ({runtime.HOST_NETWORK: "true"} if host else {})
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(name=name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod), attempt=attempt),
        hostname="" if host else dns.shown_hostname(pod, settings.cluster_domain),
        log_directory=f"{log_root}/{log_directory_name(pod)}",
        dns_config=dns.resolver(pod, settings.resolver, settings.cluster_dns, settings.cluster_domain),
        port_mappings=[] if host else _port_mappings(pod),
        labels=dict(labels_of(pod)) | _pod_labels(pod),
        annotations=annotations,
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=resources.cgroup_parent(settings.cgroup_root, pod),
            security_context=security.of_sandbox(pod, seccomp_default=settings.seccomp_default, seccomp_root=settings.seccomp_root),
            sysctls={s["name"]: s["value"] for s in dig(pod, "spec", "securityContext", "sysctls", default=[])},
            resources=cri.LinuxContainerResources(
                cpu_shares=resources.shares(resources.pod_amount(pod, "requests", "cpu")), cpu_period=resources.PERIOD,
                cpu_quota=resources.quota(resources.pod_amount(pod, "limits", "cpu")),
                memory_limit_in_bytes=resources.pod_amount(pod, "limits", "memory"),
            ),
        ),
    )


def _port_mappings(pod: Object) -> list[cri.PortMapping]:
    return [
        cri.PortMapping(protocol=PROTOCOLS[p.get("protocol") or "TCP"], container_port=p["containerPort"], host_port=p["hostPort"], host_ip=p.get("hostIP") or "")
        for c in [*regular_containers(pod), *sidecars(pod)] for p in c.get("ports") or () if p.get("hostPort")
    ]


def container_config(
    pod: Object, container: Object, attempt: int, *, image: str, image_info: cri.Image | None, environment: Mapping[str, str],
    mounts: Sequence[Mounted], termination_file: str, settings: NodeSettings, target_id: str = "",
) -> cri.ContainerConfig:
    """The configuration of one run. `image` is the reference to run, `target_id` another container whose processes it joins. Raises ConfigError."""
    security.check_non_root(pod, container, image_info)
    context = security.of_container(
        pod, container, seccomp_default=settings.seccomp_default, seccomp_root=settings.seccomp_root, target_id=target_id
    )
    name = container["name"]
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name, attempt=attempt),
        image=cri.ImageSpec(image=image, user_specified_image=container.get("image", "")),
        command=[expand(word, environment) for word in container.get("command") or ()],
        args=[expand(word, environment) for word in container.get("args") or ()],
        working_dir=container.get("workingDir") or "",
        envs=[cri.KeyValue(key=k, value=v) for k, v in environment.items()],
        mounts=[_mount(m) for m in mounts],
        labels=_pod_labels(pod) | {runtime.CONTAINER_NAME: name},
        annotations=_annotations(pod, container, attempt, termination_file),
        log_path=log_path(name, attempt),
        stdin=bool(container.get("stdin")), stdin_once=bool(container.get("stdinOnce")), tty=bool(container.get("tty")),
        linux=cri.LinuxContainerConfig(
            resources=resources.linux_resources(pod, container, settings.memory_capacity, settings.cgroup_v2), security_context=context
        ),
    )


def _annotations(pod: Object, container: Object, attempt: int, termination_file: str) -> dict[str, str]:
    annotations = {
        runtime.CONTAINER_HASH: spec_hash(container),
        runtime.RESTART_COUNT: str(attempt),
        runtime.TERMINATION_MESSAGE_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        runtime.TERMINATION_MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
        runtime.TERMINATION_MESSAGE_FILE: termination_file,
    }
    grace = dig(pod, "spec", "terminationGracePeriodSeconds")
    return annotations if grace is None else annotations | {runtime.TERMINATION_GRACE: str(grace)}


def _mount(mount: Mounted) -> cri.Mount:
    return cri.Mount(
        container_path=mount.container_path, host_path=mount.host_path, readonly=mount.read_only,
        propagation=PROPAGATION.get(mount.propagation, cri.PROPAGATION_PRIVATE), recursive_read_only=mount.recursive_read_only,
    )
