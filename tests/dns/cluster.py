"""A cluster in caches filled by hand, its name server without sockets, and dnspython as the judge of its bytes."""
from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from tiffin.client.cache import Caches
from tiffin.client.memory import MemoryClient
from tiffin.client.watcher import Applied, Removed, Replaced
from tiffin.dns.answers import Answers, Elsewhere
from tiffin.dns.metrics import Metrics
from tiffin.dns.records import Records
from tiffin.dns.sources import NODES
from tiffin.dns.zone import NAMESPACES, SERVICES, SLICES, CachedZone
from tiffin.machinery.object import Object, Resource
from tiffin.runtime.clock import FakeClock

RANGES = ("10.96.0.0/16", "10.244.0.0/16", "fd00:1::/64")


def namespace(name: str) -> Object:
    return {"metadata": {"name": name, "resourceVersion": "1"}}


def service(name: str, ip: str = "", namespace: str = "default", **spec: Any) -> Object:
    """`ip` of None or an address, several with a comma between them; `ports` as name/protocol/number."""
    ports = [dict(zip(("name", "protocol", "port"), (n, p, int(number)))) for n, p, number in (t.split("/") for t in spec.pop("ports", ()))]
    addresses = {"clusterIP": ip.split(",")[0], "clusterIPs": ip.split(",")} if ip else {}
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": "1"}, "spec": {"type": "ClusterIP", **addresses, "ports": ports, **spec}}


def external(name: str, target: str) -> Object:
    return service(name, type="ExternalName", externalName=target)


def slice(name: str, *endpoints: Object, service: str = "", namespace: str = "default", ports: tuple[str, ...] = (), headless: bool = True) -> Object:
    labels = {"kubernetes.io/service-name": service or name} | ({"service.kubernetes.io/headless": ""} if headless else {})
    made = [dict(zip(("name", "protocol", "port"), (n, p, int(number)))) for n, p, number in (t.split("/") for t in ports)]
    metadata = {"name": name, "namespace": namespace, "labels": labels, "resourceVersion": "1"}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": list(endpoints), "ports": made}


def endpoint(address: str, hostname: str = "", ready: bool | None = True) -> Object:
    conditions = {} if ready is None else {"ready": ready}
    return {"addresses": [address], "conditions": conditions} | ({"hostname": hostname} if hostname else {})


class Cluster:
    """`synced` by default; `objects` by their kind's own shape."""

    def __init__(self, *objects: Object, synced: bool = True) -> None:
        self.clock = FakeClock()
        self.caches = Caches(MemoryClient(), self.clock.now, self.clock.sleep)
        self.metrics = Metrics()
        self.answers = Answers(self.metrics)
        self.records = Records("cluster.local", ("10.96.0.10",), RANGES, CachedZone(self.caches, self.answers.changed))
        self.caches.add(NODES)
        if synced:
            for resource in (SERVICES, SLICES, NAMESPACES, NODES):
                self.caches[resource].deliver(Replaced([], "1"))
        for obj in (namespace("default"), namespace("kube-system"), *objects):
            self.put(obj)

    def put(self, obj: Object) -> None:
        self.caches[_kind(obj)].deliver(Applied(obj))

    def remove(self, obj: Object) -> None:
        self.caches[_kind(obj)].deliver(Removed(obj))

    def packet(self, data: bytes, stream: bool = False) -> bytes | Elsewhere:
        """As the sockets do it."""
        return self.answers.kept(data, stream) or self.answers.find(data, self.records, stream=stream)

    def ask(self, name: str, type: str = "A", *, stream: bool = False, payload: int | None = None, **options: Any) -> dns.message.Message:
        """The answer as dnspython reads it; asked twice, the answer that was kept must be the same."""
        query = dns.message.make_query(name, type, use_edns=0 if payload else -1, payload=payload, **options)
        first = self.packet(query.to_wire(), stream)
        assert isinstance(first, bytes), first
        self.answers._turn -= 1
        assert self.packet(query.to_wire(), stream) == first
        found = dns.message.from_wire(first, ignore_trailing=False)
        assert found.id == query.id and found.flags & dns.flags.QR and found.question == query.question
        return found


def shown(message: dns.message.Message) -> tuple[str, list[str]]:
    """The code, and the answers as `TYPE data` in order; the names of CNAMEs too."""
    records = [f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text()}" for rrset in message.answer for rdata in rrset]
    return dns.rcode.to_text(message.rcode()), records


def _kind(obj: Object) -> Resource:
    if "addressType" in obj:
        return SLICES
    if "clusterIP" in (obj.get("spec") or {}) or "type" in (obj.get("spec") or {}):
        return SERVICES
    return NODES if "podCIDRs" in (obj.get("spec") or {}) else NAMESPACES
