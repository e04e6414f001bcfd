"""Waiting until the cluster's nodes are Ready, as the API says it."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing

from tiffin.client.client import Client
from tiffin.client.http import HttpClient
from tiffin.cluster import credentials, daemons
from tiffin.cluster.layout import Layout
from tiffin.cluster.readiness import NotReady
from tiffin.cluster.state import ClusterState
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, Resource, dig, name_of

NODES = Resource("", "v1", "nodes")
SIMULATED_PREFIX = "simulated-"
_GONE = 410


def admin_client(layout: Layout, port: int) -> HttpClient:
    """A client with the administrator's rights, for this machine's own server."""
    from tiffin.net.httpclient import Origin, Pool
    from tiffin.net.tlsclient import client_context

    ca, certificate, key = (pem.decode() for pem in credentials.admin(layout).admin)
    return HttpClient(Pool(Origin("127.0.0.1", port, client_context(ca, certificate, key))))


def is_ready(node: Object, since: str = "") -> bool:
    """Whether the node says it is Ready, and has said so since that moment (RFC 3339): what it said before it was ended is no news."""
    conditions = dig(node, "status", "conditions", default=[])
    return any(each["type"] == "Ready" and each["status"] == "True" and (each.get("lastHeartbeatTime") or "") >= since for each in conditions)


async def wait(layout: Layout, state: ClusterState, seconds: float, since: Callable[[str], str]) -> None:
    """Returns when every real node is Ready and as many simulated ones as were asked for. Raises `NotReady`, naming the others.

    `since` gives, for a node's name, the moment from which on its word counts: empty when its agent was not started just now.
    """
    client = admin_client(layout, state.port)
    ready: dict[str, bool] = {}
    try:
        async with asyncio.timeout(seconds):
            await _follow(client, state, layout, ready, since)
    except TimeoutError as error:
        raise NotReady(_explanation(layout, state, ready, seconds)) from error
    finally:
        client.close()


async def _follow(client: Client, state: ClusterState, layout: Layout, ready: dict[str, bool], since: Callable[[str], str]) -> None:
    """Keeps `ready` by name, from a list and the watch after it, until it suffices."""
    real = {layout.node(index).name for index in state.running}

    def enough() -> bool:
        names = {name for name, is_up in ready.items() if is_up}
        return real <= names and _simulated(names) >= state.simulated

    while True:
        nodes = await client.list(NODES)
        ready.clear()
        ready.update((name_of(node), is_ready(node, since(name_of(node)))) for node in nodes.items)
        if enough():
            return
        try:
            async with aclosing(client.watch(NODES, resource_version=nodes.resource_version)) as events:  # type: ignore[type-var]
                async for event in events:
                    name = name_of(event.object)
                    ready[name] = event.type != "DELETED" and is_ready(event.object, since(name))
                    if enough():
                        return
        except ApiError as error:
            if error.code != _GONE:
                raise


def _simulated(names: Iterable[str]) -> int:
    """How many of them are simulated nodes; machines that joined have names of their own."""
    return sum(name.startswith(SIMULATED_PREFIX) for name in names)


def _explanation(layout: Layout, state: ClusterState, ready: dict[str, bool], seconds: float) -> str:
    waiting = [layout.node(index).name for index in state.running if not ready.get(layout.node(index).name)]
    simulated = state.simulated - _simulated(name for name, is_up in ready.items() if is_up)
    missing = [*waiting, *([f"{simulated} simulated nodes"] if simulated > 0 else [])]
    logs = [daemons.agent(layout.node(index)) for index in state.running if layout.node(index).name in waiting]
    tails: Iterable[str] = (f"\n{daemon.log_file} ends with:\n{daemon.log_tail(5)}" for daemon in logs[:2])
    return f"not ready within {seconds:.0f} s: {', '.join(missing)}{''.join(tails)}"
