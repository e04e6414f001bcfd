"""The process of one node: its kubelet, its proxy and its name server, around one set of watches.

Two identities. The kubelet is `system:node:NAME` and sees only what is its own; what the network parts need to know of the whole
cluster they read as `system:kube-proxy`, which may change nothing. The kubelet needs Services too, for environments, and reads
the network parts' copy.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiffin.client.cache import Caches
from tiffin.client.client import Client
from tiffin.cluster.routes import Routes, Site
from tiffin.dns.config import DnsConfig
from tiffin.dns.run import NameServer
from tiffin.kubelet.agent import run_agent
from tiffin.kubelet.config import AgentConfig
from tiffin.machinery.object import Resource
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.nftables import Nft
from tiffin.proxy.run import Proxy
from tiffin.runtime.clock import Clock, SystemClock

log = logging.getLogger(__name__)

SERVICES = Resource("", "v1", "services")
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds before a part that failed is run again; twice as many each time."""


@dataclass(frozen=True)
class NodeClients:
    """The same server, as the node and as its network parts."""

    node: Client
    network: Client


@dataclass(frozen=True)
class NodeNetwork:
    """The cluster's ranges, in CIDR notation."""

    services: str
    pods: str


async def run_node(config: AgentConfig, clients: NodeClients, network: NodeNetwork, site: Site) -> None:
    """Be the node `config.node_name` until cancelled, or until a part of it fails for good."""
    clock = SystemClock()
    shared = Caches(clients.network, clock.now, clock.sleep)
    services = shared.add(SERVICES)
    names = NameServer(dns_config(config, network), shared, clock)
    proxy = Proxy(proxy_config(config, network, site), shared, clock, Nft())
    async with asyncio.TaskGroup() as parts:
        parts.create_task(shared.run(), name="watches of the network parts")
        parts.create_task(run_agent(config, clients.node, services, [names.metrics.text]), name="kubelet")
        parts.create_task(_keep_running("the proxy", proxy.run, clock), name="proxy")
        parts.create_task(_keep_running("the routes", Routes(site, clients.network, clock).run, clock), name="routes")
        parts.create_task(_keep_running("the name server", names.run, clock), name="name server")


def dns_config(config: AgentConfig, network: NodeNetwork) -> DnsConfig:
    """The name server's part of what the node is told."""
    return DnsConfig(
        node_name=config.node_name, addresses=config.cluster_dns, node_ips=config.node_ips, resolv_conf=config.resolv_conf,
        ranges=(network.services, network.pods), domain=config.cluster_domain,
    )


def proxy_config(config: AgentConfig, network: NodeNetwork, site: Site) -> ProxyConfig:
    """The proxy's part of what the node is told. The host's own listener asks whom a service lets in before it calls a node."""
    return ProxyConfig(
        node_name=config.node_name, service_cidrs=(network.services,), node_local_addresses=config.cluster_dns, trusted_forwarders=(site.router,),
    )


async def _keep_running(what: str, run: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run a part again whenever it fails: its faults are not the other parts'."""
    wait = FIRST_WAIT
    while True:
        began = clock.now()
        try:
            await run()
        except Exception:
            if (clock.now() - began).total_seconds() > LONGEST_WAIT:
                wait = FIRST_WAIT
            log.exception("%s failed, it is run again in %.0f s", what, wait)
        await clock.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
