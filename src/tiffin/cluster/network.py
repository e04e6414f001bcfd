"""The network of a cluster's nodes on this machine.

    host ── bridge tiffin-ID (.1) ── cable ── eth0 (.2) of node-1's namespace ── cni0 ── pods of node-1
                                  └─ cable ── eth0 (.3) of node-2's namespace ── cni0 ── pods of node-2

* The bridge is the default route of every node; the host forwards and, in one nft table of ours, masquerades what leaves for
  elsewhere. Nothing else of the host's network is touched.
* Host and nodes take every pod to be on the bridge. A node answers ARP for the range it holds (proxy ARP), so nobody needs a
  route for each node and no range has to be known before the API server assigns it.
* Everything is made so that making it again changes nothing.
"""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.cluster import netns, resolver
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.layout import Layout, NodeLayout

if TYPE_CHECKING:
    from pyroute2 import IPRoute

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FORWARDING_NOTE = "ip_forward"

_TABLE = """
table ip {table}
delete table ip {table}
table ip {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {{ {nodes}, {pods} }} ip daddr != {{ {nodes}, {pods} }} oifname != "{bridge}" masquerade
    }}
}}
"""


def routed_networks(excluding: Iterable[str] = ()) -> list[str]:
    """The IPv4 networks this machine has routes to, but the default route and those through the interfaces excluded."""
    skipped = set(excluding)
    with _iproute() as ip:
        names = {link["index"]: link.get("ifname") for link in ip.get_links()}
        routes = [route for route in ip.get_routes(family=2) if route.get("dst") and route["type"] == 1]
        return [f"{route.get('dst')}/{route['dst_len']}" for route in routes if names.get(route.get("oif")) not in skipped]


def connect_host(layout: Layout, ranges: Ranges) -> None:
    """Bridge, routes, forwarding and masquerade on the host."""
    with _iproute() as ip:
        index = _link(ip, layout.bridge) or _add_bridge(ip, layout.bridge, ranges.gateway)
        ip.addr("replace", index=index, address=ranges.gateway, prefixlen=IPv4Network(ranges.nodes).prefixlen)
        ip.link("set", index=index, state="up")
        ip.route("replace", dst=ranges.pods, oif=index, prefsrc=ranges.gateway, scope="link")
    _allow_forwarding(layout)
    _look_at_bridges()
    _nft(_TABLE.format(table=layout.nft_table, bridge=layout.bridge, nodes=ranges.nodes, pods=ranges.pods))


def connect_node(node: NodeLayout, ranges: Ranges) -> Path:
    """The node's namespace, its cable to the bridge, its address and routes. Answers the namespace's file."""
    namespace = netns.create(node.netns)
    address = ranges.node(node.index)
    with _iproute() as ip:
        bridge = _link(ip, node.cluster.bridge)
        mtu = _uplink_mtu(ip)
        if not netns.inside(namespace, lambda: _exists("eth0")):
            _remove_link(ip, node.veth)
            with open(namespace) as handle:
                peer = {"ifname": "eth0", "net_ns_fd": handle.fileno(), "address": _hardware_address(address), "mtu": mtu}
                ip.link("add", ifname=node.veth, kind="veth", mtu=mtu, peer=peer)
        ip.link("set", index=_link(ip, node.veth), master=bridge, state="up")
    netns.inside(namespace, lambda: _configure_node(address, ranges))
    resolver.redirect(namespace)
    return namespace


def connect_machine(layout: Layout, ranges: Ranges) -> None:
    """This machine's own network as a node's: it forwards, and masquerades what its pods send to outside the cluster."""
    _allow_forwarding(layout)
    _nft(_TABLE.format(table=layout.nft_table, bridge="cni0", nodes=ranges.nodes, pods=ranges.pods))


def disconnect_machine(layout: Layout, within: Sequence[str], protocol: int) -> None:
    """What `connect_machine`, the routes, the proxy and the pods' bridge have made."""
    from tiffin.proxy.nftables import cleanup

    if shutil.which("nft"):
        cleanup()
    with _iproute() as ip:
        _remove_link(ip, "cni0")
    set_routes({}, within, protocol)
    disconnect_host(layout)


def links() -> list[IPv4Network]:
    """The IPv4 networks this machine has an address in."""
    with _iproute() as ip:
        return [IPv4Network(f"{each.get('local') or each.get('address')}/{each['prefixlen']}", strict=False) for each in ip.get_addr(family=2)]


def set_routes(wanted: Mapping[str, str], within: Sequence[str], protocol: int) -> None:
    """Makes the routes of that protocol number into networks of ours (`within`, CIDR) exactly these: destination via address.

    Each is tried; raises `OSError`, naming those that could not be set or removed.
    """
    ours, failed = [IPv4Network(network) for network in within], []
    with _iproute() as ip:
        found = {f"{route.get('dst')}/{route['dst_len']}": route.get("gateway") for route in ip.get_routes(family=2, proto=protocol)}
        present = {destination: via for destination, via in found.items() if any(IPv4Network(destination).subnet_of(own) for own in ours)}
        changes: list[tuple[str, str, dict[str, str]]] = [("del", destination, {}) for destination in present.keys() - wanted.keys()]
        changes += [("replace", destination, {"gateway": via}) for destination, via in wanted.items() if present.get(destination) != via]
        for verb, destination, more in changes:
            try:
                ip.route(verb, dst=destination, proto=protocol, **more)
            except _netlink_error() as error:
                failed.append(f"{verb} {destination} {more.get('gateway', '')}: {error}")
    if failed:
        raise OSError("; ".join(failed))


def disconnect_node(node: NodeLayout) -> None:
    """The cable and the namespace's name go; the namespace itself goes with its last process."""
    with _iproute() as ip:
        _remove_link(ip, node.veth)
    netns.remove(node.netns)


def disconnect_host(layout: Layout) -> None:
    """Bridge and nft table go, and cables that were left behind; with the last cluster, forwarding is as it was before the first."""
    ours = [link.name for link in Path("/sys/class/net").iterdir() if link.name == layout.bridge or link.name.startswith(f"tf{layout.id}n")]
    if ours:
        with _iproute() as ip:
            for name in ours:
                _remove_link(ip, name)
    if shutil.which("nft"):
        _nft(f"table ip {layout.nft_table}\ndelete table ip {layout.nft_table}\n")
    note = layout.run_dir.parent / _FORWARDING_NOTE
    if note.exists() and is_last():
        FORWARDING.write_text(note.read_text())
        note.unlink()


def is_last() -> bool:
    """Whether no cluster is left on this machine."""
    return not any(Path("/sys/class/net").glob("tiffin-*"))


def uplink_mtu() -> int:
    """The MTU of the machine's default route, 1500 without one: a pod must not believe in larger packets than the way out takes."""
    with _iproute() as ip:
        return _uplink_mtu(ip)


def namespaces(layout: Layout) -> Sequence[str]:
    """The names of this cluster's namespaces, those of nodes it no longer has among them."""
    return [path.name for path in netns.NAMESPACES.glob(f"tiffin-{layout.id}-*")]


def _allow_forwarding(layout: Layout) -> None:
    """Notes what was, in a place that a reboot empties as it resets the setting."""
    before = FORWARDING.read_text()
    if before.strip() != "1":
        layout.run_dir.mkdir(parents=True, exist_ok=True)
        (layout.run_dir.parent / _FORWARDING_NOTE).write_text(before)
        FORWARDING.write_text("1\n")


def _look_at_bridges() -> None:
    """Has the kernel see frames between pods of one node, which keep their own addresses so when a service sent them to one another.
    On a kernel that cannot, the proxy masquerades them."""
    if not Path("/proc/sys/net/bridge").exists() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", "br_netfilter"], check=False)


def _configure_node(address: str, ranges: Ranges) -> None:
    with _iproute() as ip:
        ip.link("set", index=_link(ip, "lo"), state="up")
        eth0 = _link(ip, "eth0")
        ip.addr("replace", index=eth0, address=address, prefixlen=IPv4Network(ranges.nodes).prefixlen)
        ip.link("set", index=eth0, state="up")
        ip.route("replace", dst="default", gateway=ranges.gateway)
        ip.route("replace", dst=ranges.pods, oif=eth0, scope="link", prefsrc=address)
    # A proxied ARP answer is otherwise held back for up to 0.8 s.
    settings = {"ip_forward": "1", "conf/eth0/proxy_arp": "1", "neigh/eth0/proxy_delay": "0"}
    # A pod that a service sends to a neighbour needs no advice on a shorter way; the kernel counts it against its answers "refused".
    settings |= dict.fromkeys((f"conf/{each}/send_redirects" for each in ("all", "default", "eth0")), "0")
    for setting, value in settings.items():
        Path("/proc/sys/net/ipv4", setting).write_text(value)
    # Packets between two pods of the node pass the proxy's rules too; without the module there is no such switch (`tiffin doctor`).
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-ip*tables"):
        switch.write_text("1")


def _add_bridge(ip: IPRoute, name: str, address: str) -> int:
    """With an address of its own, since a bridge otherwise takes the lowest of its cables' and changes it as they come and go."""
    ip.link("add", ifname=name, kind="bridge", address=_hardware_address(address), mtu=_uplink_mtu(ip), br_forward_delay=0)
    return _link(ip, name)


def _uplink_mtu(ip: IPRoute) -> int:
    default = next((route for route in ip.get_routes(family=2) if not route.get("dst") and route.get("oif")), None)
    if default is None:
        return 1500
    return min(1500, int(ip.get_links(default.get("oif"))[0].get("mtu")))


def _hardware_address(address: str) -> str:
    """A locally administered address made from the IP address: the same after every reboot, so no ARP entry goes stale."""
    return "02:74:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed)


def _link(ip: IPRoute, name: str) -> int:
    """The index of the interface, 0 when there is none of that name."""
    found = ip.link_lookup(ifname=name)
    return int(found[0]) if found else 0


def _exists(name: str) -> bool:
    with _iproute() as ip:
        return _link(ip, name) != 0


def _remove_link(ip: IPRoute, name: str) -> None:
    index = _link(ip, name)
    if index:
        ip.link("del", index=index)


def _netlink_error() -> type[Exception]:
    from pyroute2 import NetlinkError

    return NetlinkError


def _iproute() -> Any:
    """Imported where it is used: a fifth of a second that only commands which change the network should pay."""
    from pyroute2.iproute.linux import IPRoute

    return IPRoute()


def _nft(rules: str) -> None:
    """One transaction. Raises `CalledProcessError` with what nft said."""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True)
