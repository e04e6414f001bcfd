"""Routes between machines: the pods of a node that joined are reached by way of that node's own address.

A machine has one of three places, and this table says how it reaches another node's pods:

              a node behind the server's bridge   a node that joined
    host      on the bridge (ARP)                 via that node
    bridged   on the bridge (ARP)                 via the bridge's own address
    remote    via the server                      via that node where it is on the same link, else via the server

So a cluster on one machine needs no routes, and looks for none but those of nodes labelled as joined. Our routes carry a protocol
number of their own: what is no longer wanted is told from what others made.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from tiffin.client.client import Client
from tiffin.client.watcher import Applied, Delivery, Removed, Replaced, Selection, follow
from tiffin.machinery.object import Object, Resource, dig, name_of
from tiffin.runtime.clock import Clock

log = logging.getLogger(__name__)

NODES = Resource("", "v1", "nodes")
JOINED = "tiffin.dev/joined"
"""Label of nodes on machines of their own."""
_SIMULATED = "tiffin.dev/simulated"
PROTOCOL = 0x74
"""How the kernel tells our routes from others'; unassigned in rtnetlink(7)."""
RETRY = 5.0


class Place(Enum):
    """Where a machine is."""

    HOST = "host"
    BRIDGED = "bridged"
    REMOTE = "remote"


@dataclass(frozen=True)
class Site:
    """This machine: its node's name (empty for the server's host), and the address through which it reaches what is not on its link."""

    place: Place
    node: str
    router: str
    bridged: str = ""
    """The network of the nodes behind the server's bridge, CIDR; empty where there is none."""
    pods: str = "0.0.0.0/0"
    """The cluster's range of pods, CIDR: several clusters on one machine leave one another's routes alone."""

    @property
    def selector(self) -> str:
        """The nodes that may need a route."""
        return f"!{_SIMULATED}" if self.place is Place.REMOTE else f"{JOINED}=true"


def wanted(site: Site, nodes: Iterable[Object], links: Iterable[IPv4Network]) -> dict[str, str]:
    """Routes by destination (CIDR), each with the address it goes via. `links` are the networks this machine is on."""
    behind, on_link, all_pods = (IPv4Network(site.bridged) if site.bridged else None), list(links), IPv4Network(site.pods)
    routes = {site.bridged: site.router} if site.place is Place.REMOTE and site.bridged else {}
    for node in nodes:
        address, ranges = _address(node), dig(node, "spec", "podCIDRs", default=())
        if address is None or name_of(node) == site.node:
            continue
        for pods in ranges:
            if _is_part(pods, all_pods) and (via := _via(site, address, behind, on_link)):
                routes[pods] = via
    return routes


def _via(site: Site, address: IPv4Address, behind: IPv4Network | None, links: list[IPv4Network]) -> str:
    """Empty where no route is needed."""
    is_bridged = behind is not None and address in behind
    match site.place:
        case Place.HOST:
            return "" if is_bridged else str(address)
        case Place.BRIDGED:
            return "" if is_bridged else site.router
        case Place.REMOTE:
            return str(address) if not is_bridged and any(address in link for link in links) else site.router


def _address(node: Object) -> IPv4Address | None:
    for each in dig(node, "status", "addresses", default=()):
        if each.get("type") == "InternalIP":
            try:
                return IPv4Address(each.get("address", ""))
            except ValueError:  # of the other family, or what its agent made up
                continue
    return None


def _is_part(cidr: str, whole: IPv4Network) -> bool:
    """A node gets routes to a part of the pods' range, whatever its Node says."""
    try:
        network = IPv4Network(cidr)
    except ValueError:
        return False
    return network.subnet_of(whole) and network.prefixlen > whole.prefixlen


class Routes:
    """Keeps the kernel's routes as they are wanted."""

    def __init__(self, site: Site, client: Client, clock: Clock) -> None:
        self._site, self._client, self._clock = site, client, clock
        self._nodes: dict[str, Object] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follows the nodes until cancelled."""
        selection = Selection(NODES, labels=self._site.selector)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow(self._client, selection, self, self._clock.sleep))
            tasks.create_task(self._keep())

    def deliver(self, delivery: Delivery) -> None:
        """What the watch brings."""
        match delivery:
            case Replaced(objects=objects):
                self._nodes = {name_of(node): node for node in objects}
            case Applied(object=node):
                self._nodes[name_of(node)] = node
            case Removed(object=node):
                self._nodes.pop(name_of(node), None)
        self._changed.set()

    async def _keep(self) -> None:
        present: dict[str, str] | None = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._nodes and not present and self._site.place is not Place.REMOTE:
                continue  # nobody has joined: nothing to do, and no netlink library to load
            try:
                present = await asyncio.to_thread(apply, self._site, list(self._nodes.values()))
            except OSError as error:
                log.warning("routes to other nodes' pods cannot be set: %s", error)
                await self._clock.sleep(RETRY)
                self._changed.set()


def networks(site: Site) -> list[str]:
    """Where our routes lead."""
    return [site.pods, *([site.bridged] if site.bridged and site.place is Place.REMOTE else [])]


def apply(site: Site, nodes: Iterable[Object]) -> dict[str, str]:
    """Makes the kernel's routes what they should be, and answers them. Raises `OSError`."""
    from tiffin.cluster import network

    routes = wanted(site, nodes, network.links())
    network.set_routes(routes, networks(site), PROTOCOL)
    return routes
