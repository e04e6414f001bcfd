"""Who is who in a cluster made by `tiffin up`: keys and certificates of the server, its nodes and its administrator."""
from __future__ import annotations

import secrets
from typing import NamedTuple

from tiffin.cluster.addresses import Ranges
from tiffin.cluster.config import CLUSTER_DOMAIN, SERVICE_CIDR
from tiffin.cluster.layout import Layout
from tiffin.cluster.state import ClusterState, write_atomically

_SERVICE = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{CLUSTER_DOMAIN}")


class Identities(NamedTuple):
    """The administrator's: certificate authority, client certificate and key, each PEM."""

    admin: tuple[bytes, bytes, bytes]


def ensure(layout: Layout, state: ClusterState, ranges: Ranges | None) -> Identities:
    """Makes what is missing and renews what is about to expire. Raises `net.pki.PkiError`."""
    from ipaddress import IPv4Network

    from tiffin.net.pki import ensure_pki

    hosts = ["localhost", "127.0.0.1", "::1", *_SERVICE, str(IPv4Network(SERVICE_CIDR)[1]), *([ranges.gateway] if ranges else []), *state.listen]
    pki = ensure_pki(layout.pki_dir, hosts)
    for index in state.nodes:
        name = layout.node(index).name
        pki.node_client(name)
        pki.client(f"node-{name}-network", "system:kube-proxy", ["system:node-proxiers"])
        pki.node_serving(name, [name, *([ranges.node(index)] if ranges else [])])
    if state.simulated:
        pki.client("simulator", "system:tiffin-simulator")
    if not layout.admin_token_file.exists():
        write_atomically(layout.admin_token_file, f"{secrets.token_hex(32)}\n".encode(), mode=0o600)
    return admin(layout)


def admin(layout: Layout) -> Identities:
    """The administrator's identity, as members of `system:masters` have it. Raises `net.pki.PkiError`."""
    from tiffin.net.pki import Pki

    pki = Pki(layout.pki_dir)
    pair = pki.client("admin", "kubernetes-admin", ["system:masters"])
    return Identities((pki.ca_pem, pair.certificate.read_bytes(), pair.key.read_bytes()))
