"""The ranges that cluster addresses of Services come from, and the IPAddress objects that say who has one.

Rules
* A ServiceCIDR counts from its creation on unless its condition Ready is false or it is being deleted. The range the server was
  configured with counts while no ServiceCIDR object exists at all, that is in the first moments of a cluster.
* The network address of a range and the last address of an IPv4 range are nobody's.
* The lower part of a range is given out last, so that addresses somebody wants to choose are free more often.

Source: KEP-1880 (ServiceCIDR), KEP-3070 (reserved ranges).
"""
from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from tiffin.api.core.service_fields import CLUSTER_FAMILIES
from tiffin.apiserver.ordering import ordered
from tiffin.machinery.object import Object, Resource, dig, is_deleting, name_of, namespace_of
from tiffin.machinery.timestamps import format_time
from tiffin.store.mvcc import Event
from tiffin.store.store import Store

SERVICE_CIDRS = "servicecidrs.networking.k8s.io"
IP_ADDRESSES = Resource("networking.k8s.io", "v1", "ipaddresses")
FAMILY_LABEL, MANAGED_BY_LABEL, MANAGER = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
RANDOM_TRIES = 32

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class ServiceRanges:
    """The ranges of one store, kept current."""

    def __init__(self, store: Store, configured: str) -> None:
        self._store, self._configured = store, ip_network(configured)
        self.networks: Sequence[Network] = ()
        self._load()
        store.watch(SERVICE_CIDRS, store.revision, self._seen)

    def _seen(self, events: Sequence[Event]) -> None:
        self._load()

    def _load(self) -> None:
        objects = [entry.object for entry in self._store.entries(SERVICE_CIDRS)]
        cidrs = [cidr for obj in objects if _serves(obj) for cidr in dig(obj, "spec", "cidrs", default=())]
        found = [ip_network(cidr) for cidr in cidrs] if objects else [self._configured]
        self.networks = [network for network in found if f"IPv{network.version}" in CLUSTER_FAMILIES]

    def holds(self, address: Address) -> bool:
        """Whether a Service may have this address."""
        return any(address in network and _usable(address, network) for network in self.networks)

    def free(self, taken: Container[str]) -> str | None:
        """An address nobody has, None when every range is full."""
        return next((ip for network in self.networks for ip in _candidates(network) if ip not in taken), None)


def _serves(obj: Object) -> bool:
    ready = next((c for c in dig(obj, "status", "conditions", default=()) if c.get("type") == "Ready"), None)
    return not is_deleting(obj) and (ready is None or ready.get("status") == "True")


def _usable(address: Address, network: Network) -> bool:
    return address != network.network_address and (network.version == 6 or address != network.broadcast_address)


def reserved(size: int) -> int:
    """How many addresses at the beginning of a range are given out last."""
    return 0 if size < 16 else min(max(16, size // 16), 256)


def _candidates(network: Network) -> Iterator[str]:
    """Addresses of a range to be tried: some at random places, then all in order, the reserved ones at the end."""
    first, last = 1, network.num_addresses - (2 if network.version == 4 else 1)
    dynamic = reserved(last) + first
    base = int(network.network_address)
    kind = type(network.network_address)
    if dynamic <= last:
        for _ in range(RANDOM_TRIES):
            yield str(kind(base + dynamic + int.from_bytes(os.urandom(8), "big") % (last - dynamic + 1)))
    for offset in (*range(dynamic, last + 1), *range(first, min(dynamic, last + 1))) if last < 1 << 20 else ():
        yield str(kind(base + offset))


def ip_address_object(ip: str, service: Object, uid: str) -> Object:
    """The IPAddress that says that this Service has `ip`."""
    return ordered({
        "metadata": {
            "name": ip, "uid": uid, "creationTimestamp": format_time(datetime.now(UTC)),
            "labels": {FAMILY_LABEL: f"IPv{ip_address(ip).version}", MANAGED_BY_LABEL: MANAGER}},
        "spec": {"parentRef": {"resource": "services", "namespace": namespace_of(service), "name": name_of(service)}},
    }, "IPAddress", IP_ADDRESSES.api_version)  # fmt: skip


def belongs_to(obj: Object, service: Object) -> bool:
    """Whether this IPAddress names the Service."""
    parent = dig(obj, "spec", "parentRef", default={})
    return (parent.get("group") or "", parent.get("resource"), parent.get("namespace"), parent.get("name")) == (
        "", "services", namespace_of(service), name_of(service))  # fmt: skip
