"""The health check node port: load balancers ask which nodes have endpoints of a service with external traffic policy Local.

200 with endpoints on this node, 503 without, and the answer kube-proxy gives in both cases.
"""
from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import NamedTuple

from tiffin.machinery.object import Key

log = logging.getLogger(__name__)

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 8192
MOST_CALLERS = 64
"""Connections of all ports together; whoever comes beyond is turned away, for anybody may come."""


class Health(NamedTuple):
    """A service and how many of its endpoints are on this node."""

    service: Key
    endpoints: int


class HealthPorts:
    """One small HTTP server for each such service."""

    def __init__(self) -> None:
        self._health: dict[int, Health] = {}
        self._servers: dict[int, asyncio.Server] = {}
        self._failed: set[int] = set()
        self._callers = 0

    async def update(self, wanted: Mapping[int, Health]) -> None:
        """From now on these ports answer. A port that cannot be had is told of once and tried again at the next update."""
        self._health = dict(wanted)
        for port in self._servers.keys() - wanted.keys():
            self._servers.pop(port).close()
        self._failed &= wanted.keys()
        for port in wanted.keys() - self._servers.keys():
            try:
                self._servers[port] = await asyncio.start_server(lambda reader, writer, port=port: self._serve(port, reader, writer), port=port, limit=_REQUEST_BYTES)  # type: ignore[misc]
                self._failed.discard(port)
            except OSError as error:
                if port not in self._failed:
                    log.warning("health check node port %d of service %s cannot be opened: %s", port, "/".join(wanted[port].service), error)
                self._failed.add(port)

    async def close(self) -> None:
        await self.update({})

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers += 1
        try:
            if self._callers > MOST_CALLERS:
                return
            async with asyncio.timeout(_REQUEST_SECONDS):
                await reader.readuntil(b"\r\n\r\n")
                if health := self._health.get(port):
                    writer.write(answer(health))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("a load balancer went away, or asked in no words we know")
        finally:
            self._callers -= 1
            writer.close()


def answer(health: Health) -> bytes:
    """The whole HTTP answer."""
    about = {"service": {"namespace": health.service.namespace, "name": health.service.name}, "localEndpoints": health.endpoints, "serviceProxyHealthy": True}
    body = json.dumps(about, indent="\t").encode()
    status = "200 OK" if health.endpoints else "503 Service Unavailable"
    headers = ("Content-Type: application/json", "X-Content-Type-Options: nosniff", f"X-Load-Balancing-Endpoint-Weight: {health.endpoints}", f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode() + body
