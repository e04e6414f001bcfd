"""The process of one node: its kubelet, its proxy and its name server, around one set of watches.

Two identities. The kubelet is `system:node:NAME` and sees only what is its own; what the network parts need to know of the whole
cluster they read as `system:kube-proxy`, which may change nothing. The kubelet needs Services too, for environments, and reads
the network parts' copy.
"""
from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.kubelet.agent import run_agent
from tiffin.kubelet.config import AgentConfig
from tiffin.machinery.object import Resource
from tiffin.runtime.clock import SystemClock

SERVICES = Resource("", "v1", "services")


@dataclass(frozen=True)
class NodeClients:
    """The same server, as the node and as its network parts."""

    node: Client
    network: Client


async def run_node(config: AgentConfig, clients: NodeClients) -> None:
    """Be the node `config.node_name` until cancelled, or until a part of it fails for good."""
    clock = SystemClock()
    shared = Caches(clients.network, clock.now, clock.sleep)
    services = shared.add(SERVICES)
    async with asyncio.TaskGroup() as parts:
        parts.create_task(shared.run(), name="watches of the network parts")
        parts.create_task(run_agent(config, clients.node, services), name="kubelet")
