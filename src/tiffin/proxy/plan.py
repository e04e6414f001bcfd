"""What one service needs in the table of one node, as a pure function of service, slices and node.

    cluster address                  internal policy Cluster: any endpoint; Local: this node's, or drop
    external and load balancer       external policy Cluster: any endpoint, masqueraded; Local: this node's with the client's own
      addresses, node port,          address, or drop; pods and the node itself reach any endpoint in both
      port on the node's addresses

* Without any endpoint there is no verdict: what still has the service's address is refused (`cluster-ips`, `refused`), and a port of
  the node answers as the kernel answers for a closed port.
* A load balancer service answers on its ports at the node's own addresses, where the host's listener sends what it takes.
* Endpoints of one front are numbered once. Where a policy is Local, first come those on this node only, then those in both lists, then
  the others; so both lists are a span of numbers. Elsewhere an endpoint keeps its number while others come and go, and only the last
  ones fill the gaps: with a thousand endpoints, too, a change is a few elements.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Any, NamedTuple

from tiffin.machinery.object import Key, Object, meta, uid_of
from tiffin.proxy.chains import Goto, Span, endpoints_map, guarded, opened, outside, pick, sticky
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.endpoints import Chosen, Target, choose, endpoints
from tiffin.proxy.ledger import Item, Rank, declared_set, element
from tiffin.proxy.skeleton import FAMILIES, Front
from tiffin.proxy.state import NodeView

_ADDRESS_TYPES = {"ip": "IPv4", "ip6": "IPv6"}
_DEFAULT_AFFINITY_SECONDS = 10800


class FrontKey(NamedTuple):
    """Where clients call: an address and port, or, without an address, a port of the node."""

    family: str
    address: str
    protocol: str
    port: int

    @property
    def front(self) -> Front:
        return Front.ADDRESS if self.address else Front.PORT

    @property
    def text(self) -> str:
        port = f"{self.protocol.lower()} . {self.port}"
        return f"{self.address} . {port}" if self.address else port


@dataclass
class ServicePlan:
    """What a service needs. `udp` are its UDP fronts with the targets their flows may have; `local_targets` the usable endpoints on this
    node, which the health check node port tells of."""

    items: dict[Item, str] = field(default_factory=dict)
    udp: dict[FrontKey, frozenset[Target]] = field(default_factory=dict)
    local_targets: frozenset[str] = frozenset()
    health_port: int = 0
    orders: dict[tuple[str, str, str], tuple[Target, ...]] = field(default_factory=dict)
    """By family, port name and protocol, the targets as they are numbered."""


class _Lists(NamedTuple):
    """The targets of a port in the order of their numbers, and which of them may be used where."""

    targets: tuple[Target, ...]
    everywhere: Span
    here: Span


def plan(service: Object, slices: Sequence[Object], node: NodeView, config: ProxyConfig, before: ServicePlan | None = None) -> ServicePlan:
    """The whole of one service; what stands from `before` keeps its numbers."""
    result = ServicePlan()
    orders = before.orders if before else {}
    local: set[str] = set()
    spec = service["spec"]
    has_local_policy = "Local" in (spec.get("internalTrafficPolicy"), spec.get("externalTrafficPolicy"))
    for family in FAMILIES:
        cluster_ips = [address for address in spec.get("clusterIPs") or [spec["clusterIP"]] if _family(address) == family and address not in config.node_local_addresses]
        if not cluster_ips:
            continue
        for port in spec.get("ports") or ():
            chosen = choose(endpoints(slices, _ADDRESS_TYPES[family], port.get("name") or "", _protocol(port), node.name), node)
            local.update(target.ip for target in chosen.here)
            which = family, port.get("name") or "", _protocol(port)
            lists = _numbered(chosen, orders.get(which, ()), has_local_policy)
            result.orders[which] = lists.targets
            _Port(service, port, family, chosen, lists, config, result).add(cluster_ips[0])
    result.local_targets = frozenset(local)
    if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
        result.health_port = int(spec.get("healthCheckNodePort") or 0)
    return result


def rank(service: Object) -> Rank:
    """Who gets an address and port that several services claim: one that has an ingress address, then the older one."""
    has_ingress = bool(((service.get("status") or {}).get("loadBalancer") or {}).get("ingress"))
    return (not has_ingress, meta(service).get("creationTimestamp") or "", uid_of(service))


def node_items(node: NodeView, config: ProxyConfig, bridge_is_seen: bool) -> dict[Item, str]:
    """What the table needs whatever the services: the node's pods, the service ranges, the addresses that are nobody's. When the kernel
    does not look at frames that stay on the pods' bridge, answers must come back through the node: `unseen`."""
    families = {"ip", *map(_family, (*node.pod_ranges, *config.service_cidrs))}
    networks = {
        "pods": node.pod_ranges,
        "unseen": () if bridge_is_seen else node.pod_ranges,
        "service-ranges": config.service_cidrs,
        "exempt": ("127.0.0.0/8", "::1", *config.node_local_addresses),
    }
    return {element(_family(network), name, _shown(ip_network(network, strict=False))): "" for name, each in networks.items() for network in each if _family(network) in families}


class _Port:
    """One port of a service in one family."""

    def __init__(self, service: Object, port: Mapping[str, Any], family: str, chosen: Chosen, lists: _Lists, config: ProxyConfig, result: ServicePlan) -> None:
        self._service, self._spec, self._port, self._family = service, service["spec"], port, family
        self._chosen, self._config, self._items, self._udp = chosen, config, result.items, result.udp
        self._lists = lists

    def add(self, cluster_ip: str) -> None:
        internal = self._front(cluster_ip, self._port["port"])
        self._items[element(self._family, "cluster-ips", cluster_ip)] = ""
        self._serve(internal, self._internal(internal.front))
        for address in sorted(self._external_addresses() - {cluster_ip}):
            if self._chosen.exists:
                key = self._front(address, self._port["port"])
                self._serve(key, self._guarded(key) if address in self._ingress_addresses() else self._external(key.front))
            else:
                self._items[element(self._family, "refused", self._front(address, self._port["port"]).text)] = ""
        if self._port.get("nodePort"):
            self._serve(key := self._front("", self._port["nodePort"]), self._external(key.front))
        if self._is_ours_to_balance():
            self._serve(key := self._front("", self._port["port"]), self._guarded(key))
        for target in set(self._chosen.here):
            self._items[element(self._family, "hairpin", f"{target.ip} . {target.ip}")] = ""

    def _serve(self, key: FrontKey, verdict: Goto) -> None:
        """Nothing is served without endpoints. They go into those of the numbered maps that the verdict leads to."""
        if key.protocol == "UDP":
            self._udp[key] = frozenset(self._lists.targets)
        if not self._chosen.exists:
            return
        self._items[element(self._family, key.front.verdicts, key.text)] = verdict.verdict
        self._items.update(verdict.needs)
        for number, target in enumerate(self._lists.targets):
            name = endpoints_map(key.front, number)
            if declared_set(self._family, name) in verdict.needs:
                self._items[element(self._family, name, key.text)] = f"{target.ip} . {target.port}"

    def _internal(self, front: Front) -> Goto:
        return opened(self._family, self._here(front) if self._spec.get("internalTrafficPolicy") == "Local" else self._everywhere(front))

    def _external(self, front: Front) -> Goto:
        anywhere = opened(self._family, self._everywhere(front))
        return outside(self._family, anywhere, self._here(front)) if self._spec.get("externalTrafficPolicy") == "Local" else anywhere

    def _guarded(self, key: FrontKey) -> Goto:
        verdict = self._external(key.front)
        ranges = self._source_ranges()
        if ranges is None or not self._chosen.exists:
            return verdict
        for network in ranges:
            self._items[element(self._family, key.front.sources, f"{key.text} . {network}")] = ""
        return guarded(self._family, key.front, verdict)

    def _everywhere(self, front: Front) -> Goto:
        return self._to(front, self._lists.everywhere)

    def _here(self, front: Front) -> Goto:
        return self._to(front, self._lists.here)

    def _to(self, front: Front, span: Span) -> Goto:
        if self._affinity is None:
            return pick(self._family, front, span)
        name = "/".join((*Key(meta(self._service).get("namespace", ""), meta(self._service).get("name", "")), self._port.get("name") or ""))
        return sticky(self._family, name, _protocol(self._port).lower(), sorted(self._lists.targets[span.offset:span.offset + span.size]), self._affinity)

    @property
    def _affinity(self) -> int | None:
        """Seconds that a client belongs to its endpoint; None without affinity."""
        if self._spec.get("sessionAffinity") != "ClientIP":
            return None
        return int(((self._spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or _DEFAULT_AFFINITY_SECONDS)

    def _front(self, address: str, port: int) -> FrontKey:
        return FrontKey(self._family, address, _protocol(self._port), int(port))

    def _external_addresses(self) -> set[str]:
        given = {address for address in self._spec.get("externalIPs") or () if _family(address) == self._family}
        return {address for address in given | self._ingress_addresses() if not _is_loopback(address)} - set(self._config.node_local_addresses)

    def _is_ours_to_balance(self) -> bool:
        """Whether the port is to answer on the node's own addresses."""
        ours = self._spec.get("type") == "LoadBalancer" and self._spec.get("loadBalancerClass") in (None, self._config.load_balancer_class)
        return ours and (_protocol(self._port), self._port["port"]) not in self._config.reserved_ports

    def _ingress_addresses(self) -> set[str]:
        """Of the status, without those whose packets come through a proxy in front of the node (ipMode Proxy)."""
        ingress = ((self._service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        if self._spec.get("type") != "LoadBalancer":
            return set()
        return {one["ip"] for one in ingress if one.get("ip") and one.get("ipMode") != "Proxy" and _family(one["ip"]) == self._family}

    def _source_ranges(self) -> list[str] | None:
        """Networks that may call, without overlaps; None when everybody may."""
        ranges = [word.strip() for word in self._spec.get("loadBalancerSourceRanges") or ()]
        networks = [ip_network(word, strict=False) for word in ranges if _family(word) == self._family]
        if not ranges or any(not network.prefixlen for network in networks):
            return None
        networks += [ip_network(address) for address in self._config.trusted_forwarders if _family(address) == self._family]
        return [_shown(network) for network in collapse_addresses(networks)]  # type: ignore[type-var]


def _numbered(chosen: Chosen, before: Sequence[Target], has_local_policy: bool) -> _Lists:
    if not has_local_policy or not chosen.here or chosen.here == chosen.everywhere:
        order = arranged(chosen.everywhere, before)
        return _Lists(order, Span(0, len(order)), Span(0, len(chosen.here)))
    everywhere, here = set(chosen.everywhere), set(chosen.here)
    order = (*sorted(here - everywhere), *sorted(here & everywhere), *sorted(everywhere - here))
    return _Lists(order, Span(len(here - everywhere), len(everywhere)), Span(0, len(here)))


def arranged(wanted: Sequence[Target], before: Sequence[Target]) -> tuple[Target, ...]:
    """The wanted targets, each in its place of before; free places are taken by new ones and by those whose place is no more."""
    found = set(wanted)
    places = [target if target in found else None for target in before[:len(found)]]
    places += [None] * (len(found) - len(places))
    others = iter(sorted(found.difference(places)))
    return tuple(next(others) if target is None else target for target in places)


def _protocol(port: Mapping[str, Any]) -> str:
    return port.get("protocol") or "TCP"


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def _shown(network: IPv4Network | IPv6Network) -> str:
    """As nft lists it: one address without its length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _is_loopback(address: str) -> bool:
    return ip_address(address).is_loopback


def udp_changes(old: Mapping[FrontKey, frozenset[Target]], new: Mapping[FrontKey, frozenset[Target]]) -> Iterator[tuple[FrontKey, frozenset[Target]]]:
    """UDP fronts whose flows may lead to where they no longer should, with the targets that are right: those that lost a target, and
    those that had none, whose clients' packets went nowhere."""
    for key, before in old.items():
        after = new.get(key, frozenset())
        if before - after or (after and not before):
            yield key, after
    for key in new.keys() - old.keys():
        if new[key]:
            yield key, new[key]
