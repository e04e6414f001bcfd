"""The chains verdicts lead to. A chain's name says what it does; equal names have equal rules, so services share them.

    endpoint-0              endpoint number 0 of whichever service the packet is for: the map `endpoints-0` knows it
    pick-3, pick-3-1        one of 3 endpoints, of those from number 1 on
    open-pick-3             the same, and whoever is no pod of this node is masqueraded
    outside-pick-3-pick-1   external traffic policy Local: pods and the node itself to any endpoint, others to those of this node
    guarded-...             only from the sources the service allows
    sticky-HASH             session affinity: chains of one service, a set of clients for each endpoint

A `port-` before it all: found by a port of the node.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from tiffin.proxy.endpoints import Target
from tiffin.proxy.ledger import Item, chain, declared_set
from tiffin.proxy.skeleton import MASQUERADE, Front

_PROTOCOLS = "meta l4proto { tcp, udp, sctp }"
_MARK = f"meta mark set meta mark | {MASQUERADE:#x}"
_CLIENTS = 65536


class Goto(NamedTuple):
    """A verdict, and the chains and sets it needs."""

    verdict: str
    needs: dict[Item, str]

    @property
    def name(self) -> str:
        return self.verdict.removeprefix("goto ")


#: What happens to packets that a policy keeps on a node without endpoints.
DROP = Goto("drop", {})


class Span(NamedTuple):
    """`size` endpoints of a list from `offset` on."""

    offset: int
    size: int


def endpoints_map(front: Front, number: int) -> str:
    """The map that holds endpoint `number` of every service that has so many."""
    return f"{front.value}endpoints-{number}"


@lru_cache(maxsize=4096)
def pick(family: str, front: Front, span: Span) -> Goto:
    """One endpoint of the span, at random.

    One map for each number, since a map whose key holds the drawn number itself is more than nft 1.0 can read back."""
    if not span.size:
        return DROP
    if span.size == 1:
        return _endpoint(family, front, span.offset)
    name = f"{front.value}pick-{span.size}" + (f"-{span.offset}" if span.offset else "")
    each = [_endpoint(family, front, span.offset + number) for number in range(span.size)]
    choices = ", ".join(f"{number} : {to.verdict}" for number, to in enumerate(each))
    return _chain(family, name, [f"numgen random mod {span.size} vmap {{ {choices} }}"], *each)


def _endpoint(family: str, front: Front, number: int) -> Goto:
    endpoints = endpoints_map(front, number)
    to = _chain(family, f"{front.value}endpoint-{number}", [f"{_PROTOCOLS} dnat to {front.key(family)} map @{endpoints}"])
    address = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}[family]
    return to._replace(needs=to.needs | {declared_set(family, endpoints): f"type {front.type(family)} : {address} . inet_service;"})


def opened(family: str, inner: Goto) -> Goto:
    """To anywhere in the cluster: who is no pod of this node gets its answers through this node."""
    if inner.verdict == "drop":
        return inner
    return _chain(family, f"open-{inner.name}", [f"{family} saddr != @pods {_MARK}", inner.verdict], inner)


def outside(family: str, anywhere: Goto, here: Goto) -> Goto:
    """External traffic policy Local: clients keep their address, so they reach this node's endpoints only."""
    rules = [f"{family} saddr @pods {anywhere.verdict}", f"fib saddr type local {anywhere.verdict}", here.verdict]
    return _chain(family, f"outside-{anywhere.name}-{here.name}", rules, anywhere, here)


def guarded(family: str, front: Front, inner: Goto) -> Goto:
    """From the sources in the service's load balancer ranges only."""
    rules = [f"{front.key(family)} . {family} saddr != @{front.sources} drop", inner.verdict]
    prefix = "" if inner.name.startswith(front.value) else front.value
    return _chain(family, f"{prefix}guarded-{inner.name}", rules, inner)


def sticky(family: str, service: str, protocol: str, targets: Sequence[Target], timeout: int) -> Goto:
    """Clients return to the endpoint they were sent to less than `timeout` seconds ago. `service` names service and port."""
    if not targets:
        return DROP
    needs: dict[Item, str] = {}
    rules, choices = [], []
    for number, target in enumerate(targets):
        own = _hash(service, protocol, *map(str, target), str(timeout))
        clients, to = f"clients-{own}", f"to-{own}"
        address = f"[{target.ip}]:{target.port}" if family == "ip6" else f"{target.ip}:{target.port}"
        type = "ipv6_addr" if family == "ip6" else "ipv4_addr"
        needs[declared_set(family, clients)] = f"type {type}; size {_CLIENTS}; flags dynamic,timeout; timeout {timeout}s;"
        needs[chain(family, to)] = f"update @{clients} {{ {family} saddr }}\nmeta l4proto {protocol} dnat to {address}"
        rules.append(f"{family} saddr @{clients} goto {to}")
        choices.append(f"{number} : goto {to}")
    rules.append(f"numgen random mod {len(targets)} vmap {{ {', '.join(choices)} }}")
    name = f"sticky-{_hash(service, protocol, str(timeout), *map(repr, targets))}"
    needs[chain(family, name)] = "\n".join(rules)
    return Goto(f"goto {name}", needs)


def _chain(family: str, name: str, rules: Sequence[str], *inner: Goto) -> Goto:
    needs: dict[Item, str] = {chain(family, name): "\n".join(rules)}
    for other in inner:
        needs.update(other.needs)
    return Goto(f"goto {name}", needs)


def _hash(*words: str) -> str:
    return sha256("\0".join(words).encode()).hexdigest()[:16]

