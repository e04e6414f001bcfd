"""Where the server reaches a node, and which addresses it may reach at all for others.

Node and pod addresses come from statuses that nodes write, so they are believed only as literal addresses: nothing here
resolves a name, and what was checked is what is dialled (CVE-2020-8562). A node may name any address as its own, this server's too: who
answers there must have the certificate of that very node.
"""
from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from functools import cache

from tiffin.apiserver.ports import Reader
from tiffin.apiserver.user import NODE_PREFIX
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, annotations_of, dig, labels_of
from tiffin.net.httpclient import Origin, Pool

NODES = Resource("", "v1", "nodes")
KUBELET_PORT = 10250
SIMULATED = "tiffin.dev/simulated"
"""The label of nodes whose addresses are made up, and so may be somebody else's: they are never dialled."""
PREFERRED = ("InternalIP", "ExternalIP")


def checked_address(address: str) -> str:
    """A literal address that is neither loopback, link-local, multicast nor unspecified; raises ApiError 400."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise errors.bad_request("address not allowed") from None
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    if mapped.is_loopback or mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified or mapped == ipaddress.ip_address("255.255.255.255"):
        raise errors.bad_request("address not allowed")
    return str(ip)


def is_simulated(node: Object) -> bool:
    """The annotation says the same as the label, so that taking one away is not enough."""
    return SIMULATED in labels_of(node) or SIMULATED in annotations_of(node)


class NodeDirectory:
    """Connections to the nodes' own servers, one pool for each address and port."""

    def __init__(self, reader: Reader, tls: Callable[[], ssl.SSLContext]) -> None:
        """`tls` is asked once, when the first node is dialled."""
        self._reader, self._tls = reader, cache(tls)
        self._pools: dict[str, Pool] = {}

    def node(self, name: str) -> Object:
        """The node; raises ApiError 404."""
        node = self._reader.get(NODES, "", name)
        if node is None:
            raise errors.not_found("nodes", name)
        return node

    def address(self, node: Object) -> str:
        """The node's literal address; raises ApiError 500 where it has none."""
        known = dig(node, "status", "addresses", default=[])
        for type in PREFERRED:
            for entry in known:
                if entry.get("type") == type:
                    try:
                        return str(ipaddress.ip_address(entry.get("address") or ""))
                    except ValueError:
                        continue
        raise ApiError(500, "", f"no preferred addresses found; known addresses: [{' '.join(str(e.get('address')) for e in known)}]")

    def port(self, node: Object) -> int:
        return dig(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port", default=0) or KUBELET_PORT

    def refuse_simulated(self, name: str, why: str) -> None:
        """Raises ApiError 503 where the node of that name is a simulated one."""
        node = self._reader.get(NODES, "", name) if name else None
        if node is not None and is_simulated(node):
            raise errors.service_unavailable(f"node {name} is simulated: {why}")

    def pool(self, name: str) -> Pool:
        """Connections to a node's own server, none kept: a POST on one that has died could not be repeated."""
        node = self.node(name)
        self.refuse_simulated(name, "its containers have no logs and take no commands")
        origin = Origin(self.address(node), self.port(node), self._tls(), common_name=f"{NODE_PREFIX}{name}")
        pool = self._pools.get(name)
        if pool is None or pool.origin != origin:
            if pool is not None:
                pool.retire()
            pool = self._pools[name] = Pool(origin, idle=0)
        return pool
