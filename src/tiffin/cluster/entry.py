"""What `tiffin server`, `tiffin agent` and `tiffin simulate` run: a daemon's main coroutine, its logging and its end.

SIGTERM and SIGINT cancel the coroutine, which then winds down in its own time; a second one changes nothing, and whoever is in a
hurry sends SIGKILL.
"""
from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tiffin.cluster import daemons, logs, resolver, routes
from tiffin.cluster.accessfiles import UnusableFile
from tiffin.cluster.config import CLUSTER_DNS, CLUSTER_DOMAIN, SERVICE_CIDR, ServerConfig
from tiffin.cluster.gate import pass_through
from tiffin.cluster.layout import Layout, NodeLayout

if TYPE_CHECKING:
    from tiffin.client.client import Client
    from tiffin.client.http import HttpClient

_LOG_CHECK_SECONDS = 600.0

_COLLECTIONS = 10_000, 10, 100
"""Objects and caches live long, are many, and hold no cycles: looking through them for garbage as often as Python does by default
costs a fifth of the server's time, and pauses of a tenth of a second."""

log = logging.getLogger("tiffin")


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Runs a daemon to its end, and answers its exit code: 0 when it was asked to end, 1 when it failed."""
    import uvloop

    logs.set_up()
    gc.set_threshold(*_COLLECTIONS)
    try:
        uvloop.run(_until_told(main))
    except UnusableFile as error:
        log.error("cannot start: %s", error)
        return 1
    except Exception:
        log.exception("giving up")
        return 1
    return 0


def server(config: ServerConfig) -> int:
    """The control plane."""
    from tiffin.cluster.controlplane import serve

    return run(lambda: serve(config))


def agent(layout: Layout, options: argparse.Namespace) -> int:
    """The agent of one node; the process is in the node's network namespace already. It begins when the gate opens."""
    return run(lambda: _agent(NodeLayout(layout, options.node, options.node_name), options))


def simulator(layout: Layout, count: int, server_url: str) -> int:
    """`count` simulated nodes in one process."""
    return run(lambda: _simulator(layout, count, server_url))


async def _until_told(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = asyncio.current_task()
    assert task is not None
    told = asyncio.Event()

    def end() -> None:
        if not told.is_set():
            told.set()
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    try:
        await main()
    except asyncio.CancelledError:
        if not told.is_set():
            raise


async def _agent(node: NodeLayout, options: argparse.Namespace) -> None:
    from tiffin.cluster.nodeagent import NodeClients, NodeNetwork, run_node
    from tiffin.kubelet.config import AgentConfig

    pki = node.cluster.pki_dir
    config = AgentConfig(
        node_name=node.name,
        node_ips=(options.node_ip,),
        runtime_socket=str(node.containerd_socket),
        root_dir=node.kubelet_dir,
        pod_log_dir=node.data_dir / "pod-logs",
        static_pod_dir=node.data_dir / "manifests",
        cluster_dns=(CLUSTER_DNS,),
        cluster_domain=CLUSTER_DOMAIN,
        resolv_conf=resolver.reachable_file(),
        cgroup_root=f"/{node.cgroup}",
        network_namespace=node.netns if options.node else "",
        labels={} if options.node else {routes.JOINED: "true"},
        serving_certificate=pki / f"node-{node.name}-serving.crt",
        serving_key=pki / f"node-{node.name}-serving.key",
        client_ca=pki / "ca.crt",
        lease_seconds=options.lease_seconds,
    )
    server_url = options.server
    clients = NodeClients(_client(server_url, pki, f"node-{node.name}-client"), _client(server_url, pki, f"node-{node.name}-network"))
    chores = [asyncio.create_task(_keep_short(daemons.runtime(node).log_file))]
    for file in (f"node-{node.name}-client", f"node-{node.name}-network"):
        client = clients.node if file.endswith("-client") else clients.network
        chores.append(asyncio.create_task(_keep_known(client, pki, file)))
    if not options.node:
        chores.append(asyncio.create_task(_keep_enrolled(clients.node, node, options.node_ip)))
    try:
        await pass_through(options.gate_fd)
        await run_node(config, clients, NodeNetwork(SERVICE_CIDR, options.pod_cidr), _site(options, node.name))
    finally:
        for chore in chores:
            chore.cancel()


def _site(options: argparse.Namespace, name: str) -> routes.Site:
    """Where this node is; what is not on its link it reaches by way of the server's host."""
    place = routes.Place.BRIDGED if options.node else routes.Place.REMOTE
    return routes.Site(place, name, socket.gethostbyname(urlsplit(options.server).hostname or ""), options.bridged_cidr, options.pod_cidr)


async def _simulator(layout: Layout, count: int, server_url: str) -> None:
    from tiffin.kubelet.simulated import run_simulated

    await run_simulated(_client(server_url, layout.pki_dir, "simulator"), count)


def _client(server_url: str, pki: Path, name: str) -> HttpClient:
    from tiffin.client.http import HttpClient
    from tiffin.net.httpclient import Origin, Pool
    from tiffin.net.tlsclient import client_context

    where = urlsplit(server_url)
    pem = [(pki / file).read_text() for file in ("ca.crt", f"{name}.crt", f"{name}.key")]
    return HttpClient(Pool(Origin(where.hostname or "", where.port or 443, client_context(*pem))))


async def _keep_known(client: Client, pki: Path, name: str) -> None:
    """The client shows the certificate that its file holds, also after it was renewed."""
    from tiffin.client.http import HttpClient
    from tiffin.net.renewal import keep_loaded

    assert isinstance(client, HttpClient) and client.pool.origin.tls
    await keep_loaded(client.pool.origin.tls, [(pki / f"{name}.crt", pki / f"{name}.key")], asyncio.sleep)


async def _keep_enrolled(client: Client, node: NodeLayout, address: str) -> None:
    """On a machine that joined the node renews its certificates itself; elsewhere the server does, which has the keys."""
    from tiffin.cluster import enrolment

    wanted = [enrolment.client_of(node.name), enrolment.network_of(node.name), enrolment.serving_of(node.name, address)]
    await enrolment.keep_enrolled(client, wanted, node.cluster.pki_dir, asyncio.sleep)


async def _keep_short(file: Path) -> None:
    """containerd does not rotate its log, and writes little to it."""
    while True:
        logs.truncate(file)
        await asyncio.sleep(_LOG_CHECK_SECONDS)
