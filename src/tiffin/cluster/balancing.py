"""Which ports of this machine Services of type LoadBalancer get, and which nodes answer there: a pure plan.

Rules
* A Service is ours when its class is `tiffin.dev/host` or it names none.
* A port and protocol belong to one Service, the oldest that asks; another waits for it as a whole, and is told for whom.
* Nodes with a kubelet of their own answer at their address, if they are ready; where the traffic policy is Local, those with a
  ready endpoint. Without any such Node object, ready or not, nothing could ever answer, and nothing is opened.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, key_of, labels_of, meta, name_of

CLASS = "tiffin.dev/host"
SIMULATED = "tiffin.dev/simulated"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_NAME = "kubernetes.io/service-name"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"

Network = IPv4Network | IPv6Network


class Slot(NamedTuple):
    """A port of this machine."""

    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where traffic of a Service goes, and whose is taken (anybody's without ranges)."""

    nodes: tuple[str, ...]
    sources: tuple[Network, ...] = ()
    sticky: bool = False
    """One client's connections go to one node."""


@dataclass(slots=True)
class Plan:
    """`routes` are of Services that can be served; `waiting` says of the others why not, as reason and sentence."""

    slots: dict[Key, list[Slot]] = field(default_factory=dict)
    routes: dict[Key, Route] = field(default_factory=dict)
    waiting: dict[Key, tuple[str, str]] = field(default_factory=dict)


def is_ours(service: Object) -> bool:
    return dig(service, "spec", "type") == "LoadBalancer" and dig(service, "spec", "loadBalancerClass", default=CLASS) == CLASS and not is_deleting(service)


def is_local(service: Object) -> bool:
    return dig(service, "spec", "externalTrafficPolicy") == "Local"


def plan(services: Iterable[Object], nodes: Sequence[Object], slices: Sequence[Object]) -> Plan:
    """What there should be. `slices` need hold those of Services with a Local policy only."""
    result = Plan()
    real = [node for node in nodes if SIMULATED not in labels_of(node) and SIMULATED not in annotations_of(node)]
    taken: dict[Slot, Key] = {}
    for service in sorted(filter(is_ours, services), key=lambda s: (meta(s).get("creationTimestamp") or "", key_of(s))):
        key, slots = key_of(service), slots_of(service)
        obstacle = _obstacle(slots, taken, bool(real))
        if obstacle:
            result.waiting[key] = obstacle
            continue
        taken |= dict.fromkeys(slots, key)
        result.slots[key] = slots
        result.routes[key] = Route(_answering(service, real, slices), sources(service), dig(service, "spec", "sessionAffinity") == "ClientIP")
    return result


def slots_of(service: Object) -> list[Slot]:
    return [Slot(port.get("protocol") or "TCP", port["port"]) for port in dig(service, "spec", "ports", default=())]


def _obstacle(slots: Sequence[Slot], taken: dict[Slot, Key], has_nodes: bool) -> tuple[str, str] | None:
    if not has_nodes:
        return "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer: simulated nodes run no containers that could answer"
    for slot in slots:
        if slot.protocol not in ("TCP", "UDP"):
            return "SyncLoadBalancerFailed", f"Error syncing load balancer: port {slot} cannot be opened on this machine, which forwards TCP and UDP only"
        if slot in taken:
            return "SyncLoadBalancerFailed", f"Error syncing load balancer: port {slot} of this machine is taken by the service {'/'.join(taken[slot])}"
    return None


def sources(service: Object) -> tuple[Network, ...]:
    """The ranges clients may come from."""
    given = dig(service, "spec", "loadBalancerSourceRanges") or annotations_of(service).get(SOURCE_RANGES, "").split(",")
    return tuple(ip_network(cidr.strip(), strict=False) for cidr in given if cidr.strip())


def _answering(service: Object, nodes: Iterable[Object], slices: Iterable[Object]) -> tuple[str, ...]:
    ready = {name_of(node): _address(node) for node in nodes if _is_ready(node) and EXCLUDED not in labels_of(node)}
    if is_local(service):
        key = key_of(service)
        own = [each for each in slices if key_of(each).namespace == key.namespace and labels_of(each).get(SERVICE_NAME) == key.name]
        here = {e.get("nodeName") for each in own for e in each.get("endpoints") or () if dig(e, "conditions", "ready", default=True)}
        ready = {name: address for name, address in ready.items() if name in here}
    return tuple(sorted(address for address in ready.values() if address))


def _is_ready(node: Object) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in dig(node, "status", "conditions", default=()))


def _address(node: Object) -> str:
    return next((a["address"] for a in dig(node, "status", "addresses", default=()) if a.get("type") == "InternalIP"), "")
