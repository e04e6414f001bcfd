"""What a node agent is told when it starts. Nothing here changes while it runs, and nothing is read from the environment."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiffin.machinery.object import Object


@dataclass(frozen=True)
class AgentConfig:
    """One node. Paths are absolute; addresses numeric, the primary family first."""

    node_name: str
    node_ips: tuple[str, ...]
    runtime_socket: str
    """Path of the CRI v1 socket."""
    root_dir: Path
    """Where pods' volumes and files live: `root_dir/pods/<uid>/…`."""
    pod_log_dir: Path
    """Logs of pods: `<namespace>_<name>_<uid>/<container>/<attempt>.log` beneath it."""
    static_pod_dir: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    """Addresses of the cluster's DNS; without them ClusterFirst means what Default does."""
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    cgroup_root: str = "/kubepods"
    """Parent of all pods' cgroups, in cgroupfs notation; its own for every node of a machine."""
    cgroup_mount: Path = Path("/sys/fs/cgroup")
    cgroup_driver: str = "cgroupfs"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Object, ...] = ()
    max_pods: int = 110
    parallel_starts: int = 0
    """Sandboxes and containers being started at once; 0 leaves it to the number of CPUs."""
    kubelet_port: int = 10250
    """Port of the node's own HTTPS server; 0 means any free one."""
    serving_certificate: Path | None = None
    serving_key: Path | None = None
    client_ca: Path | None = None
    """What that server shows, and whose client certificates it knows; without a certificate there is no server."""
    capacity: Mapping[str, str] = field(default_factory=dict)
    """Overrides of what the machine itself offers, such as {"cpu": "2"}."""
    reserved: Mapping[str, str] = field(default_factory=dict)
    """What of the capacity is not allocatable to pods."""
    eviction_hard: Mapping[str, str] = field(default_factory=lambda: {"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"})
    image_gc_high: int = 85
    image_gc_low: int = 80
    """Percent of the image file system in use at which images are removed, and down to which."""
    container_log_max_size: int = 10 * 1024 * 1024
    container_log_max_files: int = 5
    lease_seconds: int = 40
    node_status_interval: float = 10.0
    seccomp_default: bool = False
    network_namespace: str = ""
    """The network namespace the agent runs in, for the record of `tiffin status`; empty for the host's."""
