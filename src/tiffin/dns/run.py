"""The name server of one node, put together: bound to the cluster's DNS addresses inside the node's network namespace."""
from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AsyncExitStack

from tiffin.client.cache import Caches
from tiffin.dns import loopback, udp
from tiffin.dns.answers import Answers
from tiffin.dns.config import DnsConfig
from tiffin.dns.forward import Forwarder
from tiffin.dns.metrics import Metrics
from tiffin.dns.records import Records
from tiffin.dns.resolvers import Resolvers
from tiffin.dns.service import Service
from tiffin.dns.sources import Sources
from tiffin.dns.tcp import TcpServer
from tiffin.dns.udp import UdpServer
from tiffin.dns.zone import CachedZone
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

BACKLOG = 128


class NameServer:
    """`caches` are kept true by the caller; what is needed of them is added here, so one is made before they run."""

    def __init__(self, config: DnsConfig, caches: Caches, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self.metrics = Metrics()
        self._answers = Answers(self.metrics)
        zone = CachedZone(caches, self._answers.changed)
        self._records = Records(config.domain, config.addresses, config.ranges, zone)
        self._sources = Sources(caches, config.node_name, (*config.node_ips, *config.addresses))

    async def run(self) -> None:
        """Answers until cancelled; may be called again after it ended. Raises OSError when an address or port cannot be had."""
        async with AsyncExitStack() as stack:
            service = Service(self._answers, self._records, self._forwarder(), self.metrics)
            stack.push_async_callback(service.close)
            for address in self._config.addresses:
                await self._listen(address, service, stack)
            log.info("answering for %s at %s", self._config.domain, ", ".join(self._config.addresses))
            await asyncio.get_running_loop().create_future()

    def _forwarder(self) -> Forwarder:
        config = self._config
        return Forwarder(Resolvers(config.resolv_conf, (*config.addresses, *config.node_ips), self._clock.now), self._clock, self.metrics)

    async def _listen(self, address: str, service: Service, stack: AsyncExitStack) -> None:
        loopback.add(address)
        packets = UdpServer(udp.bind(address, self._config.port), self._answers, service, self._sources, self.metrics)
        stack.callback(packets.close)
        packets.start()
        streams = TcpServer(service, self._sources, self.metrics, self._clock)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = await asyncio.get_running_loop().create_server(streams, address, self._config.port, family=family, backlog=BACKLOG, reuse_address=True)
        stack.callback(streams.close)
        stack.callback(server.close)
