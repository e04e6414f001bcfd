"""Name servers as a node's namespace can reach them.

On many machines /etc/resolv.conf names a resolver on a loopback address of the host (systemd-resolved, 127.0.0.53), which no other
network namespace can reach. Pods are given the file with the true servers instead; what reads /etc/resolv.conf itself, as containerd
does when it pulls an image, has its questions sent on to the first of them.
"""
from __future__ import annotations

import subprocess
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from tiffin.cluster import netns

USUAL = Path("/etc/resolv.conf")
#: Where systemd-resolved writes the servers it asks.
TRUE_SERVERS = Path("/run/systemd/resolve/resolv.conf")

_TABLE = """
table ip tiffin_resolver
delete table ip tiffin_resolver
table ip tiffin_resolver {{
    chain guard {{
        type filter hook prerouting priority raw; policy accept;
        iifname != "lo" ip daddr 127.0.0.0/8 drop
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {local} meta l4proto {{ tcp, udp }} th dport 53 dnat to {server}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 127.0.0.0/8 oifname "eth0" masquerade
    }}
}}
"""


def servers(file: Path) -> list[str]:
    """The addresses of the file's `nameserver` lines; none when there is no such file."""
    if not file.exists():
        return []
    lines = (line.split() for line in file.read_text(errors="replace").splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def reachable_file(usual: Path = USUAL, true_servers: Path = TRUE_SERVERS) -> Path:
    """The resolv.conf for pods: one whose servers are not on the host's loopback, if there is one."""
    return true_servers if _loopback(usual) and servers(true_servers) else usual


def redirect(namespace: Path) -> None:
    """Sends the namespace's questions to a loopback resolver on to a true server; nothing to do without such a resolver."""
    local = _loopback(USUAL)
    server = next((address for address in servers(TRUE_SERVERS) if _is_ipv4(address)), "")
    if local and server:
        netns.inside(namespace, lambda: _redirect(local, server))


def _redirect(local: str, server: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=_TABLE.format(local=local, server=server), text=True, check=True, capture_output=True)
    # Otherwise the kernel drops what leaves an interface with a loopback address. It lets such packets in, too: hence the guard, before.
    Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")


def _loopback(file: Path) -> str:
    """The first of the file's servers that is on an IPv4 loopback address; empty when none is."""
    return next((address for address in servers(file) if _is_ipv4(address) and ip_address(address).is_loopback), "")


def _is_ipv4(address: str) -> bool:
    try:
        return isinstance(ip_address(address), IPv4Address)
    except ValueError:
        return False
