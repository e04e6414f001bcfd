"""Whom the server answers: the pods of its own node, and the node itself. To anybody else it is silent, so nobody can make it send
answers to a third party.
"""
from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from tiffin.client.cache import Caches
from tiffin.machinery.object import Object, Resource, dig, name_of

NODES = Resource("", "v1", "nodes")
REMEMBERED = 4096


class Sources:
    """`own` are the node's addresses; the range of its pods is in its Node object."""

    def __init__(self, caches: Caches, node: str, own: Iterable[str]) -> None:
        self._node = node
        self._own = {ip_address(address) for address in own}
        self._ranges = [ip_network(text) for text in ("127.0.0.0/8", "::1/128")]
        self._pods = self._ranges[:0]
        self._known: dict[str, bool] = {}
        self._nodes = caches.add(NODES, fields=f"metadata.name={node}")
        self._nodes.subscribe(self._node_changed)

    def allowed(self, source: str) -> bool:
        """`source` is a numeric address, as the kernel gives it."""
        known = self._known.get(source)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[source] = self._is_ours(source)
        return known

    def _is_ours(self, source: str) -> bool:
        address = ip_address(source.partition("%")[0])
        return address in self._own or any(address in network for network in (*self._ranges, *self._pods))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and name_of(new) == self._node:
            ranges = dig(new, "spec", "podCIDRs", default=None) or [dig(new, "spec", "podCIDR", default="")]
            self._pods = [ip_network(text) for text in ranges if text]
            self._known.clear()
