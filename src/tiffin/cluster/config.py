"""What a `tiffin server` process is told when it starts.

Everything is decided by whoever starts the process (`tiffin up`, or a test) and never changes while it runs: a new value means
a new process. Paths are absolute. Nothing here is read from the environment.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tiffin.cluster.accessfiles import NO_FILES, AccessFiles

#: The version of the state layout in a data directory. Raised when an older tiffin could not read what a newer one wrote.
STATE_VERSION = 2

SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
CLUSTER_DOMAIN = "cluster.local"
LOAD_BALANCER_ADDRESSES = "127.0.0.1,::1"
#: The tenth address of SERVICE_CIDR, by custom: every node answers for it.
CLUSTER_DNS = "10.96.0.10"
#: Seconds, as kube-controller-manager and kube-apiserver have them.
NODE_MONITOR_GRACE, TOLERATION_SECONDS = 50.0, 300


@dataclass(frozen=True)
class ServerConfig:
    """One control plane: API server, controllers and scheduler in one process.

    `bind_addresses` are numeric; the first one that is not a loopback address is what nodes and pods use, and so what the
    endpoints of the `kubernetes` Service name. `ready_fd`, when it is not negative, is an inherited pipe: the server writes one
    line to it and closes it once `/readyz` answers 200. A port of 0 means any free port; the line is `ready PORT` in every
    case, so that whoever started the server learns it.
    """

    data_dir: Path
    port: int = 6443
    bind_addresses: tuple[str, ...] = ("127.0.0.1",)
    store: str = "sqlite"
    """`sqlite` (durable, in `data_dir`) or `memory`."""
    cluster_name: str = "tiffin"
    service_cidr: str = SERVICE_CIDR
    pod_cidr: str = POD_CIDR
    node_cidr_mask_size: int = 24
    cluster_domain: str = CLUSTER_DOMAIN
    pki_dir: Path = field(default=Path())
    """Keys and certificates, made by `net.pki.ensure_pki`; `data_dir/pki` unless given."""
    admin_token_file: Path = field(default=Path())
    """One line: a bearer token of user `kubernetes-admin` in group `system:masters`; `data_dir/admin.token` unless given."""
    node_monitor_grace: float = NODE_MONITOR_GRACE
    """Seconds that a node may be silent before it counts as unreachable."""
    not_ready_toleration: int = TOLERATION_SECONDS
    unreachable_toleration: int = TOLERATION_SECONDS
    """Seconds that pods which say nothing of it stay on a node that is not ready, or unreachable."""
    allow_external_ips: bool = False
    """Whether Services may name external IPs: who may, can take over other people's traffic (CVE-2020-8554)."""
    legacy_apis: bool = False
    """Whether the API versions that Kubernetes has retired are served, too."""
    pod_security_policy: bool = False
    """Whether PodSecurityPolicies are enforced; they exist with `legacy_apis` only."""
    load_balancer_addresses: tuple[str, ...] = tuple(LOAD_BALANCER_ADDRESSES.split(","))
    """Where the ports of Services of type LoadBalancer are opened on this machine; none: such Services stay pending."""
    keep_routes: bool = False
    """Whether this host gets routes to the pods of machines that joined; takes root."""
    bridged_cidr: str = ""
    """The network of the nodes behind this host's bridge."""
    access: AccessFiles = NO_FILES
    """Files about who may come, what is noted of it, and how objects are encrypted."""
    ready_fd: int = -1
    request_log: bool = False

    def __post_init__(self) -> None:
        if self.pki_dir == Path():
            object.__setattr__(self, "pki_dir", self.data_dir / "pki")
        if self.admin_token_file == Path():
            object.__setattr__(self, "admin_token_file", self.data_dir / "admin.token")

    @property
    def advertise_address(self) -> str:
        """The address by which nodes and pods reach this server."""
        return next((a for a in self.bind_addresses if not a.startswith("127.") and a not in ("0.0.0.0", "::", "::1")), self.bind_addresses[0])
