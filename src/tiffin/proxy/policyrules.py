"""NetworkPolicies as rules of nft: pure, and of one policy at a time.

A policy's rule is one line for each pair of a peer and a port, and each line ends in `return`: the packet may pass this direction. What no
line of any policy lets pass is dropped by the chain's last line, which the caller adds. Peers are named sets of addresses, so that pods
come and go without a rule being changed; a port with a name is a set of address, protocol and number, as each pod has its own.
Source: Kubernetes documentation, "Network Policies".
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_network
from typing import Any, NamedTuple

import orjson

from tiffin.machinery.object import Key, Object, dig, key_of, labels_of, namespace_of
from tiffin.machinery.selectors import EVERYTHING, Selector, from_label_selector

INGRESS, EGRESS = "Ingress", "Egress"
_OTHER_SIDE = {INGRESS: "saddr", EGRESS: "daddr"}
_RULES = {INGRESS: ("ingress", "from"), EGRESS: ("egress", "to")}


class Port(NamedTuple):
    """A named port of a container."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class PodView:
    """What of a pod matters to policies. Pods in the node's own network are no pods in this sense."""

    key: Key
    labels: Mapping[str, str]
    node: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...] = ()


def pod_view(pod: Object) -> PodView | None:
    """None for pods that have no address of their own, yet or any more."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    addresses = tuple(entry["ip"] for entry in status.get("podIPs") or ())
    if not addresses or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    sidecars = (c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always")
    containers = (*(spec.get("containers") or ()), *sidecars)
    ports = tuple(Port(p["name"], (p.get("protocol") or "TCP").lower(), p["containerPort"]) for c in containers for p in c.get("ports") or () if p.get("name"))
    return PodView(key_of(pod), labels_of(pod), spec.get("nodeName") or "", addresses, ports)


@dataclass(frozen=True)
class Members:
    """A set of pods, by selectors, that rules refer to; with `port`, the pods' ports of that protocol and name."""

    namespace: str
    """The only namespace, or "" where `namespaces` selects them."""
    selectors: str
    """Both selectors as text: what two sets that mean the same have in common."""
    namespaces: Selector = field(compare=False)
    pods: Selector = field(compare=False)
    port: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The set's name in the table."""
        text = "\0".join((self.namespace, self.selectors, *(self.port or ())))
        return f"{'named' if self.port else 'peers'}-{sha256(text.encode()).hexdigest()[:16]}"

    def declaration(self, family: str) -> str:
        address = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}[family]
        return f"type {address} . inet_proto . inet_service;" if self.port else f"type {address};"

    def include(self, pod: PodView, namespace_labels: Mapping[str, str]) -> bool:
        if self.namespace:
            return pod.key.namespace == self.namespace and self.pods.matches(pod.labels)
        return self.namespaces.matches(namespace_labels) and self.pods.matches(pod.labels)

    def keys(self, pod: PodView, address: str) -> Sequence[str]:
        """What stands in the set for one address of a pod that is included."""
        if self.port is None:
            return (address,)
        protocol, name = self.port
        return [f"{address} . {protocol} . {port.number}" for port in pod.ports if (port.protocol, port.name) == (protocol, name)]


@dataclass(frozen=True)
class Direction:
    """One direction of a policy: its lines by family, and the sets they refer to."""

    lines: Mapping[str, tuple[str, ...]]
    members: tuple[Members, ...]


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy, read. A direction that it does not restrict is not there."""

    key: Key
    pods: Selector
    directions: Mapping[str, Direction]


def read_policy(policy: Object) -> Policy:
    """Raises SelectorError for selectors that validation should have refused."""
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes") or ([INGRESS, EGRESS] if spec.get("egress") else [INGRESS])
    return Policy(key_of(policy), from_label_selector(spec.get("podSelector") or {}), {type: _direction(policy, type) for type in types})


def _direction(policy: Object, type: str) -> Direction:
    rules, peers = _RULES[type]
    lines: dict[str, dict[str, None]] = {"ip": {}, "ip6": {}}
    members: dict[str, Members] = {}
    for rule in dig(policy, "spec", rules, default=()):
        for line in _lines(policy, type, rule.get(peers) or (), rule.get("ports") or ()):
            members.update((each.name, each) for each in line.members)
            for family in line.families:
                lines[family][line.text.replace(_FAMILY, family)] = None
    return Direction({family: tuple(found) for family, found in lines.items()}, tuple(members.values()))


_FAMILY = "%family%"


class _Line(NamedTuple):
    """One rule, with a stand-in for the family, and where it applies."""

    text: str
    members: tuple[Members, ...] = ()
    families: tuple[str, ...] = ("ip", "ip6")


def _lines(policy: Object, type: str, peers: Sequence[Mapping[str, Any]], ports: Sequence[Mapping[str, Any]]) -> Iterator[_Line]:
    for port in ports or ({},):
        for peer in peers or ({},):
            if isinstance(port.get("port"), str):
                yield from _named(policy, type, peer, port)
            else:
                base = _peer(policy, type, peer)
                yield base._replace(text=" ".join(part for part in (base.text, _port(port), "return") if part))


def _peer(policy: Object, type: str, peer: Mapping[str, Any]) -> _Line:
    """The part of a line that says who is on the other side."""
    side = f"{_FAMILY} {_OTHER_SIDE[type]}"
    if block := peer.get("ipBlock"):
        tests = [f"{side} {_network(block['cidr'])}", *(f"{side} != {_network(hole)}" for hole in block.get("except") or ())]
        return _Line(" ".join(tests), (), ("ip" if ip_network(block["cidr"], strict=False).version == 4 else "ip6",))
    if not peer:
        return _Line("")
    chosen = _members(policy, peer)
    return _Line(f"{side} @{chosen.name}", (chosen,))


def _named(policy: Object, type: str, peer: Mapping[str, Any], port: Mapping[str, Any]) -> Iterator[_Line]:
    """A port with a name is a port of the pod that receives: the policy's own for ingress, the peer's for egress."""
    named = ((port.get("protocol") or "TCP").lower(), port["port"])
    target = f"{_FAMILY} daddr . meta l4proto . th dport"
    if type == INGRESS:
        own = _members(policy, {"podSelector": dig(policy, "spec", "podSelector", default={})}, named)
        base = _peer(policy, type, peer)
        yield base._replace(text=" ".join(part for part in (base.text, f"{target} @{own.name} return") if part), members=(*base.members, own))
    elif "ipBlock" not in peer:
        theirs = _members(policy, peer or {"namespaceSelector": {}}, named)
        yield _Line(f"{target} @{theirs.name} return", (theirs,))


def _members(policy: Object, peer: Mapping[str, Any], port: tuple[str, str] | None = None) -> Members:
    namespaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    selectors = orjson.dumps([namespaces, pods], option=orjson.OPT_SORT_KEYS).decode()
    return Members(
        namespace_of(policy) if namespaces is None else "", selectors, from_label_selector(namespaces),
        EVERYTHING if pods is None else from_label_selector(pods), port,
    )


def _port(port: Mapping[str, Any]) -> str:
    """The part of a line that says where to."""
    if not port:
        return ""
    protocol, number, last = (port.get("protocol") or "TCP").lower(), port.get("port"), port.get("endPort")
    if number is None:
        return f"meta l4proto {protocol}"
    return f"meta l4proto {protocol} th dport {number}" + (f"-{last}" if last and last != number else "")


def _network(text: str) -> str:
    """A range as nft takes it: without bits beyond its length."""
    return str(ip_network(text, strict=False))
