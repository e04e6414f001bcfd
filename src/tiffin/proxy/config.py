"""What the proxy of a node is told when it starts."""
from __future__ import annotations

from dataclasses import dataclass, field

#: The kubelet's port: a LoadBalancer service must not take the node away from the control plane.
KUBELET_PORT = ("TCP", 10250)


@dataclass(frozen=True)
class ProxyConfig:
    """One node. Addresses are numeric, networks in CIDR notation."""

    node_name: str
    service_cidrs: tuple[str, ...] = ()
    """What is sent to an address in here that no service has is dropped, not routed away."""
    node_local_addresses: tuple[str, ...] = ()
    """Service addresses that the node answers itself (the cluster's DNS): never programmed."""
    reserved_ports: frozenset[tuple[str, int]] = field(default=frozenset({KUBELET_PORT}))
    """(protocol, port) on the node's own addresses that no LoadBalancer service gets."""
    load_balancer_class: str = "tiffin.dev/host"
    """Services of this class, and of none, answer on their ports at the node's own addresses; others belong to another load balancer."""
    trusted_forwarders: tuple[str, ...] = ()
    """Sources that check loadBalancerSourceRanges themselves, such as the host's listener on the bridge."""
    coalesce_seconds: float = 0.003
    """How long a change waits for others."""
    check_seconds: float = 10.0
    """How often to ask whether somebody else has changed any table; the answer is one number."""
