"""Which endpoints of a service's port this node sends packets to.

Source: the service traffic policies, KEP-1669 (serving while terminating), KEP-2433 and KEP-3015 (hints by zone and by node), as
kube-proxy decides them: ready endpoints where hints allow; without any, those still serving while they terminate.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any, NamedTuple

from tiffin.machinery.object import Object
from tiffin.proxy.state import NodeView


class Target(NamedTuple):
    """Where a packet may go."""

    ip: str
    port: int


class Endpoint(NamedTuple):
    """One endpoint of one port. `zones` and `nodes` are its hints, empty without."""

    target: Target
    local: bool
    ready: bool
    serving: bool
    terminating: bool
    zones: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()

    @property
    def fallback(self) -> bool:
        return self.serving and self.terminating


class Chosen(NamedTuple):
    """Targets for packets that may go anywhere and for those that must stay on the node, each in order; `exists` says whether there
    is any usable endpoint in the cluster, here or elsewhere."""

    everywhere: tuple[Target, ...]
    here: tuple[Target, ...]
    exists: bool


def endpoints(slices: Iterable[Object], address_type: str, port_name: str, protocol: str, node: str) -> list[Endpoint]:
    """Those of one port and family (`IPv4`, `IPv6`), each target once, without the addresses that no endpoint may have."""
    found: dict[Target, Endpoint] = {}
    for slice in slices:
        if slice.get("addressType") != address_type:
            continue
        for port in slice.get("ports") or ():
            if (port.get("name") or "") == port_name and (port.get("protocol") or "TCP") == protocol and port.get("port"):
                for endpoint in _of_slice(slice, int(port["port"]), node):
                    if endpoint.local or endpoint.target not in found:
                        found[endpoint.target] = endpoint
    return [found[target] for target in sorted(found)]


def refused_addresses(slices: Iterable[Object]) -> Iterator[tuple[str, str]]:
    """Slice name and address of endpoints that are left out: loopback, link-local, unspecified, multicast, or no address at all."""
    for slice in slices:
        if slice.get("addressType") != "FQDN":
            for endpoint in slice.get("endpoints") or ():
                for address in endpoint.get("addresses") or ():
                    if not _is_usable(address):
                        yield (slice.get("metadata") or {}).get("name", ""), address


def choose(found: list[Endpoint], node: NodeView) -> Chosen:
    """By readiness and hints; policies decide which of the two lists is used."""
    fits = _topology(found, node)
    everywhere = [endpoint for endpoint in found if endpoint.ready and fits(endpoint)] or [endpoint for endpoint in found if endpoint.fallback]
    local = [endpoint for endpoint in found if endpoint.local]
    here = [endpoint for endpoint in local if endpoint.ready] or [endpoint for endpoint in local if endpoint.fallback]
    return Chosen(tuple(endpoint.target for endpoint in everywhere), tuple(endpoint.target for endpoint in here), bool(everywhere or here))


def _of_slice(slice: Object, port: int, node: str) -> Iterator[Endpoint]:
    for endpoint in slice.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        hints = endpoint.get("hints") or {}
        addresses = endpoint.get("addresses") or ()
        # Further addresses of an endpoint have never had a meaning (KEP-752): the first is it.
        if addresses and _is_usable(addresses[0]):
            yield Endpoint(
                Target(addresses[0], port),
                local=endpoint.get("nodeName") == node,
                ready=conditions.get("ready") is not False,
                serving=conditions.get("serving") is not False,
                terminating=conditions.get("terminating") is True,
                zones=_names(hints.get("forZones")),
                nodes=_names(hints.get("forNodes")),
            )


def _topology(found: list[Endpoint], node: NodeView) -> Any:
    """Hints count only when every ready endpoint has them and one of them is for this node or zone."""
    ready = [endpoint for endpoint in found if endpoint.ready]
    if ready and all(endpoint.nodes for endpoint in ready) and any(node.name in endpoint.nodes for endpoint in ready):
        return lambda endpoint: node.name in endpoint.nodes
    if node.zone and ready and all(endpoint.zones for endpoint in ready) and any(node.zone in endpoint.zones for endpoint in ready):
        return lambda endpoint: node.zone in endpoint.zones
    return lambda endpoint: True


def _names(hints: Any) -> frozenset[str]:
    return frozenset(hint.get("name") or "" for hint in hints or ())


def _is_usable(address: str) -> bool:
    # Nearly all addresses are plain IPv4; `ip_address` costs microseconds, and there may be 100,000 of them.
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast)
