"""Every node gets a range of pod addresses of its own, out of the cluster's.

One key stands for all nodes: two of them decided side by side could be given the same range.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network

from tiffin.controllers.config import Config
from tiffin.controllers.pods import created
from tiffin.controllers.resources import EVENTS_RULE, NODES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, name_of
from tiffin.runtime.controller import Change, Changes, Controller, PolicyRule, RecordEvent, View, Watch

ALL = Key("", "nodes")

Network = IPv4Network | IPv6Network


def lacks_range(node: Object) -> bool:
    return not dig(node, "spec", "podCIDR") and not is_deleting(node)


def keys(node: Object, view: View) -> Iterable[Key]:
    """All, when a node needs a range, or gives one back that others may wait for."""
    return (ALL,) if lacks_range(node) or view.get(NODES, "", name_of(node)) is None else ()


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    nodes = sorted(view.list(NODES), key=lambda node: (created(node), name_of(node)))
    needing = [node for node in nodes if lacks_range(node)]
    if not needing:
        return Changes()
    taken = [ip_network(cidr, strict=False) for node in nodes for cidr in dig(node, "spec", "podCIDRs", default=())]
    free = _free(config, taken)
    changes: list[Change] = []
    for node in needing:
        if (cidr := next(free, None)) is None:
            changes.append(RecordEvent(node, "Normal", "CIDRNotAvailable", f"Node {name_of(node)} status is now: CIDRNotAvailable"))
        else:
            spec = dig(node, "spec", default={}) | {"podCIDR": str(cidr), "podCIDRs": [str(cidr)]}
            changes += changed(NODES, node, node | {"spec": spec}, guarded=False)
    return Changes(changes)


def _free(config: Config, taken: list[Network]) -> Iterator[Network]:
    """Ranges that nobody has, lowest first."""
    exact = set(taken)
    odd = [network for network in taken if network.prefixlen != config.node_cidr_mask_size]
    for candidate in ip_network(config.cluster_cidr).subnets(new_prefix=config.node_cidr_mask_size):
        if candidate not in exact and not any(candidate.version == other.version and candidate.overlaps(other) for other in odd):
            yield candidate


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("",), ("nodes",), ("get", "list", "patch", "update", "watch")), EVENTS_RULE)
    watches = (Watch(NODES, keys=keys),)
    return Controller("node-ipam-controller", watches, lambda key, view, now: reconcile(config, key, view, now), rules, workers=1, component="cidrAllocator")
