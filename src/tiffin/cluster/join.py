"""`tiffin join` and `tiffin leave`: this machine becomes a node of a cluster that runs on another one, and ceases to be.

Joining, in order: find out about the cluster and trust it (`discovery.py`), get the node's identities (`enrolment.py`), register the
Node, get its serving certificate, and start containerd and the agent in the machine's own network. What was learned is kept, so that
`tiffin up` brings the node back after a reboot without a token.
"""
from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from tiffin.cluster import boot, cgroups, daemons, discovery, down, enrolment, leaving, network, node
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.discovery import CONFIG_MAPS, CONFIG_NAME, CONFIG_NAMESPACE, Facts, Untrusted
from tiffin.cluster.drain import NotDrained, drain
from tiffin.cluster.gate import Gate
from tiffin.cluster.jointokens import BadToken
from tiffin.cluster.layout import Layout, NodeLayout
from tiffin.cluster.nodes_ready import NODES, is_ready
from tiffin.cluster.routes import JOINED, PROTOCOL
from tiffin.cluster.state import write_atomically
from tiffin.controllers.bootstrapsigner import CLUSTER_INFO
from tiffin.dns import loopback
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object

if TYPE_CHECKING:
    from tiffin.client.http import HttpClient


class CannotJoin(Exception):
    """The message is for the user."""


@dataclass(frozen=True)
class Wish:
    """What the command line says: `server` is a URL, `digests` are `sha256:HEX`."""

    server: str
    token: str
    digests: tuple[str, ...]
    node_name: str
    node_ip: str


@dataclass(frozen=True)
class Membership:
    """What a joined machine remembers."""

    server: str
    node_name: str
    node_ip: str
    facts: Facts

    def node(self, layout: Layout) -> NodeLayout:
        return NodeLayout(layout, 0, self.node_name)


def load(layout: Layout) -> Membership | None:
    """The membership, None on a machine that joined nothing."""
    try:
        document = orjson.loads(layout.joined_file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Membership(**{**document, "facts": Facts(**document["facts"])})


async def join(layout: Layout, wish: Wish) -> Membership:
    """Gets everything the node needs and starts it. Raises `CannotJoin`."""
    try:
        layout.pki_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = await _trusted_authority(wish)
        write_atomically(layout.pki_dir / "ca.crt", ca)
        facts = await _enrol(layout, wish, ca.decode())
        membership = Membership(wish.server, wish.node_name, wish.node_ip, facts)
        await _register(layout, membership)
    except (Untrusted, enrolment.NotCertified, BadToken) as error:
        raise CannotJoin(str(error)) from error
    except ApiError as error:
        raise CannotJoin(_refused(wish, error)) from error
    except OSError as error:
        raise CannotJoin(f"{wish.server} does not answer: {error}") from error
    write_atomically(layout.joined_file, orjson.dumps(asdict(membership), option=orjson.OPT_INDENT_2))
    await bring_up(layout, membership)
    return membership


async def bring_up(layout: Layout, membership: Membership) -> None:
    """Starts what does not run of the node."""
    each, facts = membership.node(layout), membership.facts
    await asyncio.to_thread(network.connect_machine, layout, Ranges(facts.node_network or facts.pods, facts.pods))
    with Gate() as gate:
        await node.start_daemons(each, _agent_command(each, membership), None, gate)


async def wait_until_ready(layout: Layout, membership: Membership, seconds: float) -> bool:
    """Whether the node became Ready in that time."""
    client = node_client(layout, membership)
    name = f"metadata.name={membership.node_name}"
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await client.list(NODES, fields=name)
                if any(is_ready(obj) for obj in found.items):
                    return True
                async for event in client.watch(NODES, fields=name, resource_version=found.resource_version):
                    if event.type != "DELETED" and is_ready(event.object):
                        return True
    except TimeoutError:
        return False
    finally:
        client.close()


async def rest(layout: Layout, membership: Membership, grace: float) -> None:
    """Ends the node until the next `tiffin up`; it stays a member. Containers get `grace` seconds."""
    await node.take_down(membership.node(layout), grace)
    await asyncio.to_thread(_disconnect, layout, membership)


async def leave(layout: Layout, membership: Membership, timeout: float, force: bool) -> bool:
    """Empties the node, ends it, takes it out of the cluster and removes all it had. With `force` it goes even if nobody can be asked;
    answers whether the cluster has forgotten it. Raises `CannotJoin`."""
    client, each = node_client(layout, membership), membership.node(layout)
    try:
        is_forgotten = await _part(client, membership.node_name, each, timeout, force)
    except NotDrained as error:
        raise CannotJoin(f"{membership.node_name} is cordoned but runs on: {error}\n    leave all the same with --force") from error
    except (ApiError, OSError) as error:
        raise CannotJoin(f"{membership.server}: {error}\n    leave all the same with --force; then, there: tiffin node rm {each.name}") from error
    finally:
        client.close()
    await asyncio.to_thread(remove, layout, membership)
    return is_forgotten


def node_client(layout: Layout, membership: Membership) -> HttpClient:
    """The server, as the node."""
    from tiffin.net.tlsclient import client_context

    files = (layout.pki_dir / f"{file}" for file in ("ca.crt", f"node-{membership.node_name}-client.crt", f"node-{membership.node_name}-client.key"))
    return _client(membership.server, client_context(*(file.read_text() for file in files)))


async def _part(client: HttpClient, name: str, each: NodeLayout, timeout: float, force: bool) -> bool:
    """The agent ends before the Node goes, or it would register it anew."""
    try:
        await drain(client, name, timeout, force)
    except (NotDrained, ApiError, OSError):
        if not force:
            raise
    await node.take_down(each, down.DEFAULT_GRACE)
    try:
        await leaving.remove_objects(client, [name])
    except (ApiError, OSError):
        if not force:
            raise
        return False
    return True


def remove(layout: Layout, membership: Membership) -> None:
    """Everything of the node on this machine, once nothing of it runs."""
    _disconnect(layout, membership)
    boot.disable(layout)
    shutil.rmtree(layout.data_dir)
    if layout.default_place.is_symlink():
        layout.default_place.unlink()


def _disconnect(layout: Layout, membership: Membership) -> None:
    """Routes, rules, bridge, the name server's address, cgroup and sockets."""
    cgroups.remove(layout.cgroup)
    loopback.remove(membership.facts.dns)
    networks = filter(None, (membership.facts.pods, membership.facts.node_network))
    network.disconnect_machine(layout, list(networks), PROTOCOL)
    shutil.rmtree(layout.run_dir, ignore_errors=True)


async def _trusted_authority(wish: Wish) -> bytes:
    """Asked twice, as kubeadm does: of anybody, then of a server that shows a certificate of the authority found."""
    from tiffin.net.tlsclient import client_context

    ca = discovery.verified_authority(await _cluster_info(wish, client_context(verify=False)), wish.token, wish.digests)
    try:
        again = discovery.verified_authority(await _cluster_info(wish, client_context(ca.decode())), wish.token, wish.digests)
    except ssl.SSLError as error:
        raise Untrusted(f"{wish.server} shows a certificate that is not of the cluster's authority: {error}") from error
    if again != ca:
        raise Untrusted(f"{wish.server} tells of another certificate authority the second time")
    return ca


async def _cluster_info(wish: Wish, tls: ssl.SSLContext) -> Object:
    client = _client(wish.server, tls)
    try:
        return await client.get(CONFIG_MAPS, *CLUSTER_INFO)
    except ApiError as error:
        if error.code in (401, 403, 404):
            raise Untrusted(f"{wish.server} does not take nodes: there, give `tiffin up --listen ADDRESS` and `tiffin token join`") from error
        raise
    finally:
        client.close()


async def _enrol(layout: Layout, wish: Wish, ca: str) -> Facts:
    """With the token: what the cluster is like, and the node's identities."""
    from tiffin.net.tlsclient import client_context

    client = _client(wish.server, client_context(ca), wish.token)
    try:
        facts = discovery.facts_of(await client.get(CONFIG_MAPS, CONFIG_NAMESPACE, CONFIG_NAME))
        for wanted in (enrolment.client_of(wish.node_name), enrolment.network_of(wish.node_name)):
            await enrolment.enrol(client, wanted, layout.pki_dir)
    finally:
        client.close()
    return facts


async def _register(layout: Layout, membership: Membership) -> None:
    """The Node comes first: what it says of its addresses is what its serving certificate may say."""
    name, address = membership.node_name, membership.node_ip
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {JOINED: "true"}}, "status": {"addresses": addresses}}
    client = node_client(layout, membership)
    try:
        try:
            await client.create(NODES, "", obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await client.patch(NODES, "", name, {"metadata": {"labels": {JOINED: "true"}}})
            await client.patch(NODES, "", name, {"status": {"addresses": addresses}}, subresource="status")
        await enrolment.enrol(client, enrolment.serving_of(name, address), layout.pki_dir)
    finally:
        client.close()


def _refused(wish: Wish, error: ApiError) -> str:
    if error.code == 401:
        return "the server does not accept the token for authentication: it has expired, was withdrawn, or was made without that usage"
    return f"{wish.server} refuses: {error.message}"


def _client(server: str, tls: ssl.SSLContext, token: str = "") -> HttpClient:
    from tiffin.client.http import HttpClient
    from tiffin.net.httpclient import Origin, Pool

    where = urlsplit(server)
    return HttpClient(Pool(Origin(where.hostname or "", where.port or 6443, tls)), token=(lambda: token) if token else None)


def _agent_command(each: NodeLayout, membership: Membership) -> Sequence[str]:
    facts = membership.facts
    where = ["--server", membership.server, "--node-ip", membership.node_ip, "--lease-seconds", str(facts.lease_seconds)]
    return daemons.joined_agent_command(each, [*where, "--pod-cidr", facts.pods, "--bridged-cidr", facts.node_network])


def own_address(server: str) -> str:
    """The address by which this machine would speak to the server. Raises `CannotJoin`."""
    import socket

    where = urlsplit(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # a datagram socket that is connected sends nothing
        try:
            probe.connect((where.hostname or "", where.port or 6443))
        except OSError as error:
            raise CannotJoin(f"there is no way to {server}: {error}") from error
        return str(probe.getsockname()[0])

