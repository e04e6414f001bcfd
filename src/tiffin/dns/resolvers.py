"""Which name servers are asked for what is not the cluster's: those of the node's resolv.conf, read again when it has changed.

It is looked at when there is something to ask, so an idle server does nothing. A server that did not answer goes to the end of the
line for a while. Our own addresses are left out: asking oneself never ends.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

MAX_SERVERS = 3
"""As many as the C library takes."""
AVOIDED = timedelta(seconds=10)


class Server(NamedTuple):
    address: str
    port: int = 53


class Resolvers:
    """The servers named by `file`, but those of `own`."""

    def __init__(self, file: Path, own: Collection[str], now: Callable[[], datetime], port: int = 53) -> None:
        self._file, self._own, self._now, self._port = file, {ip_address(address) for address in own}, now, port
        self._stamp: tuple[int, int, int] | None = None
        self._servers: list[Server] = []
        self._avoided: dict[Server, datetime] = {}
        self.generation = 0
        """Rises when the servers change."""

    def servers(self) -> list[Server]:
        """In the order in which they are to be asked."""
        self._look()
        now = self._now()
        return sorted(self._servers, key=lambda server: self._avoided.get(server, now) > now)

    def silent(self, server: Server) -> None:
        self._avoided[server] = self._now() + AVOIDED

    def answered(self, server: Server) -> None:
        self._avoided.pop(server, None)

    def _look(self) -> None:
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._take(self._file.read_text(errors="replace"))
                self._stamp = stamp
        except OSError as error:
            if self._stamp is not None or not self.generation:
                log.warning("%s cannot be read, names outside the cluster have no answer: %s", self._file, error)
                self._stamp = None
                self._take("")

    def _take(self, text: str) -> None:
        words = (line.split() for line in text.splitlines())
        named = [parts[1] for parts in words if len(parts) > 1 and parts[0] == "nameserver"]
        servers = [Server(address, self._port) for address in dict.fromkeys(named) if self._usable(address)][:MAX_SERVERS]
        if servers != self._servers or not self.generation:
            self._servers, self._avoided = servers, {}
            self.generation += 1
            log.info("names outside the cluster are asked of %s", ", ".join(server.address for server in servers) or "nobody")

    def _usable(self, address: str) -> bool:
        try:
            return ip_address(address.partition("%")[0]) not in self._own
        except ValueError:
            return False
