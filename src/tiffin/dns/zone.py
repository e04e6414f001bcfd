"""What the names of the cluster are made from: indexed views of Services, EndpointSlices and Namespaces, nothing copied.

`Zone` is the port that `records.py` reads; `CachedZone` is it over the node's caches. It also says what an event may have changed,
so that answers kept in bytes are dropped when they cease to be true: the name of a Service, or everything.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, Protocol

from tiffin.client.cache import Caches
from tiffin.machinery.object import Object, Resource, dig, meta, name_of, namespace_of

SERVICES = Resource("", "v1", "services")
NAMESPACES = Resource("", "v1", "namespaces")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")

SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"

Address = IPv4Address | IPv6Address


class Port(NamedTuple):
    name: str
    protocol: str
    """In lower case."""
    number: int


class Endpoint(NamedTuple):
    """One ready address of a Service."""

    address: Address
    hostname: str
    """The endpoint's own, or its address with dashes."""
    ports: Sequence[Port]
    named: bool
    """Whether the hostname is the endpoint's own."""


class Zone(Protocol):
    """What is known of the cluster."""

    @property
    def synced(self) -> bool:
        """Whether it is the whole truth; before, a name that is not found may exist all the same."""
        ...

    def namespace(self, name: str) -> bool: ...

    def service(self, namespace: str, name: str) -> Object | None: ...

    def endpoints(self, service: Object) -> Iterable[Endpoint]:
        """The ready ones."""
        ...

    def services_at(self, address: Address) -> Sequence[Object]:
        """Services with this cluster IP."""
        ...

    def endpoints_at(self, address: Address) -> Iterator[tuple[Object, Endpoint]]:
        """Endpoints of headless Services with this address, each with its Service."""
        ...


class CachedZone:
    """`changed` is called with namespace and name of the Service whose names may have changed, and with None when any may have."""

    def __init__(self, caches: Caches, changed: Callable[[tuple[str, str] | None], None]) -> None:
        self._services, self._slices, self._namespaces = (caches.add(resource) for resource in (SERVICES, SLICES, NAMESPACES))
        self._changed = changed
        self._services.add_index("dns/address", _cluster_addresses)
        self._slices.add_index("service", _service_of)
        self._slices.add_index("dns/address", _named_addresses)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._namespaces.subscribe(self._namespace_changed)

    @property
    def synced(self) -> bool:
        return self._services.synced.is_set() and self._slices.synced.is_set() and self._namespaces.synced.is_set()

    def namespace(self, name: str) -> bool:
        return self._namespaces.get("", name) is not None

    def service(self, namespace: str, name: str) -> Object | None:
        return self._services.get(namespace, name)

    def endpoints(self, service: Object) -> Iterator[Endpoint]:
        for slice in self._slices.by_index("service", f"{namespace_of(service)}/{name_of(service)}"):
            yield from _ready(slice, service)

    def services_at(self, address: Address) -> Sequence[Object]:
        return self._services.by_index("dns/address", str(address))

    def endpoints_at(self, address: Address) -> Iterator[tuple[Object, Endpoint]]:
        for slice in self._slices.by_index("dns/address", str(address)):
            service = self._services.get(namespace_of(slice), meta(slice)["labels"][SERVICE_NAME])
            if service is not None and is_headless(service):
                yield from ((service, endpoint) for endpoint in _ready(slice, service) if endpoint.address == address)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        self._changed((namespace_of(new or old or {}), name_of(new or old or {})))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for service in {value for obj in (old, new) if obj is not None for value in _service_of(obj)}:
            namespace, _, name = service.partition("/")
            self._changed((namespace, name))

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            self._changed(None)


def is_headless(service: Object) -> bool:
    spec = service.get("spec") or {}
    return spec.get("clusterIP") == "None" and spec.get("type") != "ExternalName"


def cluster_addresses(service: Object) -> Iterator[Address]:
    """The Service's own addresses; a headless one has none."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return
    for text in spec.get("clusterIPs") or [spec.get("clusterIP") or ""]:
        if (address := parsed(text)) is not None:
            yield address


def service_ports(service: Object) -> list[Port]:
    return [Port(p.get("name") or "", p.get("protocol", "TCP").lower(), p["port"]) for p in dig(service, "spec", "ports", default=[])]


def parsed(text: str) -> Address | None:
    """None when it is no address, as "None" and "" are not."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _ready(slice: Object, service: Object) -> Iterator[Endpoint]:
    """The slice's endpoints that are ready, or any if the Service publishes those that are not. What is not said counts as ready."""
    every = dig(service, "spec", "publishNotReadyAddresses", default=False)
    ports = [Port(p.get("name") or "", (p.get("protocol") or "TCP").lower(), p["port"]) for p in slice.get("ports") or () if p.get("port")]
    for endpoint in slice.get("endpoints") or ():
        if every or (endpoint.get("conditions") or {}).get("ready") is not False:
            for text in endpoint.get("addresses") or ():
                if (address := parsed(text)) is not None:
                    yield Endpoint(address, endpoint.get("hostname") or dashed(address), ports, bool(endpoint.get("hostname")))


def dashed(address: Address) -> str:
    """10.1.2.3 as 10-1-2-3, 2001:db8::1 as 2001-db8--1; one that would begin or end with a dash gets a zero there."""
    text = str(address).replace(".", "-").replace(":", "-")
    return ("0" if text.startswith("-") else "") + text + ("0" if text.endswith("-") else "")


def _cluster_addresses(service: Object) -> Iterable[str]:
    return map(str, cluster_addresses(service))


def _service_of(slice: Object) -> Iterable[str]:
    name = (meta(slice).get("labels") or {}).get(SERVICE_NAME)
    return (f"{namespace_of(slice)}/{name}",) if name else ()


def _named_addresses(slice: Object) -> Iterable[str]:
    """The addresses that may need a name: those of headless Services, as the slice's label says, and those with a hostname."""
    labels = meta(slice).get("labels") or {}
    if SERVICE_NAME not in labels:
        return
    for endpoint in slice.get("endpoints") or ():
        if HEADLESS in labels or endpoint.get("hostname"):
            for text in endpoint.get("addresses") or ():
                if (address := parsed(text)) is not None:
                    yield str(address)
