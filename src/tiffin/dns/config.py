"""What a node's name server is told when it starts. Nothing here changes while it runs."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DnsConfig:
    """Addresses are numeric."""

    node_name: str
    addresses: tuple[str, ...]
    """The cluster's DNS addresses, where the server listens."""
    node_ips: tuple[str, ...]
    resolv_conf: Path
    """Names the resolvers that are asked for all that is not the cluster's."""
    ranges: tuple[str, ...]
    """The cluster's own networks, in CIDR notation: their addresses have names here or none at all."""
    domain: str = "cluster.local"
    port: int = 53
