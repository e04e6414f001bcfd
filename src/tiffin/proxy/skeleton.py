"""The part of the table that never changes: its maps and sets, and the chains the kernel enters by.

    prerouting, before connection tracking   nothing from outside reaches 127.0.0.0/8 (CVE-2020-8558); pods send only from addresses that
                                             are reached by way of their bridge, or NetworkPolicies would believe a forged sender
    prerouting and output, nat               `services`, then for the node's own addresses `ports`
    forward, before the filters              NetworkPolicies: `policy-egress` by the sender, `policy-ingress` by the receiver
    input                                    NetworkPolicies: what pods send to the name server on the node itself
    forward and output, filter               what still has a service's address is refused: no endpoints, or no such port
    postrouting, nat                         masquerade what is marked, and a pod that was sent to itself

Names of all maps come in two, after what a service is found by (`Front`): its address, or a port of the node.
"""
from __future__ import annotations

from enum import Enum
from functools import cache
from hashlib import sha256

TABLE = "tiffin"
FAMILIES = ("ip", "ip6")

#: Packets that leave with the node's own address carry this mark until postrouting takes it off again.
MASQUERADE = 0x4000

POD_BRIDGE = "cni0"
"""The interface behind which the node's pods are."""


class Front(Enum):
    """What a service is found by: an address of its own, or a port on any address of the node."""

    ADDRESS = ""
    PORT = "port-"

    def key(self, family: str) -> str:
        """The expression of the lookup."""
        return f"{family} daddr . meta l4proto . th dport" if self is Front.ADDRESS else "meta l4proto . th dport"

    def type(self, family: str) -> str:
        address = {"ip": "ipv4_addr", "ip6": "ipv6_addr"}[family]
        return f"{address} . inet_proto . inet_service" if self is Front.ADDRESS else "inet_proto . inet_service"

    @property
    def verdicts(self) -> str:
        return "services" if self is Front.ADDRESS else "ports"

    @property
    def sources(self) -> str:
        return f"{self.value}sources"


#: The names of the sets and maps below.
SETS = frozenset({"policy-ingress", "policy-egress", "cluster-ips", "service-ranges", "refused", "pods", "unseen", "exempt", "hairpin", *(front.verdicts for front in Front), *(front.sources for front in Front)})


@cache
def skeleton(family: str) -> str:
    """The table with its sets and base chains, as nft reads it; its last chain's name tells which edition it is."""
    body = _body(family)
    return f"table {family} {TABLE} {{\n{body}\nchain {_edition(body)} {{ }}\n}}\n"


def edition(family: str) -> str:
    """The name of the chain that says which skeleton a table was made with."""
    return _edition(_body(family))


def _edition(body: str) -> str:
    return f"edition-{sha256(body.encode()).hexdigest()[:12]}"


def _body(family: str) -> str:
    address, loopback, icmp, not_yet = {
        "ip": ("ipv4_addr", "127.0.0.0/8", "icmp", "0.0.0.0"), "ip6": ("ipv6_addr", "::1", "icmpv6", "::")}[family]
    fronts = "\n".join(_maps(front, family, address) for front in Front)
    return f"""
{fronts}
map policy-ingress {{ type {address} : verdict; }}
map policy-egress {{ type {address} : verdict; }}
set cluster-ips {{ type {address}; }}
set service-ranges {{ type {address}; flags interval; }}
set refused {{ type {Front.ADDRESS.type(family)}; }}
set pods {{ type {address}; flags interval; }}
set unseen {{ type {address}; flags interval; }}
set exempt {{ type {address}; flags interval; }}
set hairpin {{ type {address} . {address}; }}

chain refuse {{
    meta l4proto tcp reject with tcp reset
    meta l4proto {icmp} drop
    reject with {icmp} type port-unreachable
}}
chain dispatch {{
    {Front.ADDRESS.key(family)} vmap @services
    fib daddr type local {family} daddr != @exempt {Front.PORT.key(family)} vmap @ports
}}
chain leftover {{
    {family} daddr @cluster-ips goto refuse
    {Front.ADDRESS.key(family)} @refused goto refuse
    {family} daddr @service-ranges drop
}}
chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" {family} daddr {loopback} drop
    iifname "{POD_BRIDGE}" {family} saddr != {not_yet} fib saddr . iif oif missing drop
}}
chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    goto dispatch
}}
chain output {{
    type nat hook output priority -100; policy accept;
    goto dispatch
}}
chain policy-forward {{
    type filter hook forward priority filter - 1; policy accept;
    ct state established,related accept
    {family} saddr vmap @policy-egress
    {family} daddr vmap @policy-ingress
}}
chain policy-input {{
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    {family} daddr @exempt {family} saddr vmap @policy-egress
}}
chain filter-forward {{
    type filter hook forward priority filter; policy accept;
    ct state new goto leftover
}}
chain filter-output {{
    type filter hook output priority filter; policy accept;
    oifname != "lo" ct state new goto leftover
}}
chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & {MASQUERADE:#x} != 0x0 meta mark set meta mark & {0xFFFFFFFF ^ MASQUERADE:#x} masquerade fully-random
    {family} saddr . {family} daddr @hairpin masquerade
    ct status dnat {family} saddr @unseen {family} daddr @unseen masquerade
}}
"""


def _maps(front: Front, family: str, address: str) -> str:
    return f"""\
map {front.verdicts} {{ type {front.type(family)} : verdict; }}
set {front.sources} {{ type {front.type(family)} . {address}; flags interval; }}"""
