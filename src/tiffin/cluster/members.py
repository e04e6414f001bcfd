"""`tiffin node`: the nodes of a cluster that is up, added, removed, switched off and on.

Removing is planned: pods are moved first, and nothing of the node remains. Stopping is a power cut: everything of the node dies at
once and nobody is told, so that the cluster has to find out; its disk stays.
"""
from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from tiffin.cluster import daemons, down, leaving, node
from tiffin.cluster.drain import NotDrained, drain
from tiffin.cluster.layout import Layout, NodeLayout
from tiffin.cluster.nodes_ready import NODES, admin_client, is_ready
from tiffin.cluster.routes import JOINED
from tiffin.cluster.state import ClusterState, free_numbers, save_state
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig, name_of


class NoSuchNode(Exception):
    """The cluster has no node of that name that the command could work on; the message says what to do."""


class StillOccupied(Exception):
    """The node was cordoned but could not be emptied; it runs on."""


@dataclass(frozen=True)
class Row:
    """One node for `tiffin node ls`. Kind is `real`, `simulated` or `joined`."""

    name: str
    state: str
    kind: str
    address: str
    pod_range: str
    pods: int
    agent: str
    containerd: str


def with_more(state: ClusterState, count: int) -> ClusterState:
    """The cluster with `count` nodes added, under the lowest free numbers."""
    return state.with_nodes([*state.nodes, *free_numbers(state.nodes, count)])


def find(layout: Layout, state: ClusterState, name: str) -> NodeLayout:
    """The real node of that name. Raises `NoSuchNode`."""
    known = {layout.node(index).name: layout.node(index) for index in state.nodes}
    if name not in known:
        raise NoSuchNode(f"cluster {layout.name} has no node {name} on this machine; it has: {', '.join(known) or 'none'}")
    return known[name]


def is_joined(state: ClusterState, layout: Layout, name: str) -> bool:
    """Whether a node of that name can only be one on a machine of its own."""
    return name not in {layout.node(index).name for index in state.nodes}


async def forget_joined(layout: Layout, state: ClusterState, name: str) -> None:
    """Takes a node out of the cluster that runs, or ran, on another machine. Raises `NoSuchNode` and `StillOccupied`."""
    client = admin_client(layout, state.port)
    try:
        found = await client.list(NODES, fields=f"metadata.name={name}")
        if not any(JOINED in dig(obj, "metadata", "labels", default={}) for obj in found.items):
            find(layout, state, name)
        if any(is_ready(obj) for obj in found.items):
            raise StillOccupied(f"{name} runs on another machine; there, give: tiffin leave")
        await leaving.remove_objects(client, [name])
    finally:
        client.close()


def switch_off(layout: Layout, state: ClusterState, each: NodeLayout) -> None:
    """A power cut. The state is written first: if we die on the way, the node is one that is to be off."""
    save_state(layout.state_file, replace(state, stopped=tuple(sorted({*state.stopped, each.index}))))
    node.cut_power(each)


def to_be_on(state: ClusterState, each: NodeLayout) -> ClusterState:
    """The cluster with that node switched on."""
    return replace(state, stopped=tuple(index for index in state.stopped if index != each.index))


async def remove(layout: Layout, state: ClusterState, each: NodeLayout, timeout: float, force: bool) -> int:
    """Moves the node's pods elsewhere, ends it and forgets it; answers how many pods were moved. Raises `StillOccupied`.

    With `force` pods without a controller are given up, and pods that would not go in time are ended with the node. A node that is
    switched off has nothing to be moved.
    """
    moved = 0
    if each.index not in state.stopped:
        moved = await _empty(layout, state, each.name, timeout, force)
    await node.take_down(each, down.DEFAULT_GRACE)
    save_state(layout.state_file, state.with_nodes([index for index in state.nodes if index != each.index]))
    await leaving.forget(layout, state.port, [each])
    return moved


async def _empty(layout: Layout, state: ClusterState, name: str, timeout: float, force: bool) -> int:
    client = admin_client(layout, state.port)
    try:
        return await drain(client, name, timeout, force)
    except NotDrained as error:
        if not force:
            raise StillOccupied(f"{name} is cordoned but runs on: {error}") from error
        return 0
    except ApiError as error:
        if error.code != 404:  # somebody has deleted the Node already
            raise
        return 0
    finally:
        client.close()


async def rows(layout: Layout, state: ClusterState) -> list[Row]:
    """Every node that the API or this machine knows. Raises `OSError` and `ApiError` when the API does not answer."""
    client = admin_client(layout, state.port)
    try:
        nodes, pods = await asyncio.gather(client.list(NODES), client.list(leaving.PODS))
    finally:
        client.close()
    on: dict[str, int] = {}
    for pod in pods.items:
        where = dig(pod, "spec", "nodeName", default="")
        on[where] = on.get(where, 0) + 1
    objects = {name_of(obj): obj for obj in nodes.items}
    ours = {layout.node(index).name: layout.node(index) for index in state.nodes}
    return [_row(name, objects.get(name), ours.get(name), state, on.get(name, 0)) for name in [*ours, *sorted(objects.keys() - ours)]]


def _row(name: str, obj: Object | None, own: NodeLayout | None, state: ClusterState, pods: int) -> Row:
    addresses = dig(obj or {}, "status", "addresses", default=[])
    address = next((each["address"] for each in addresses if each.get("type") == "InternalIP"), "-")
    labels = dig(obj or {}, "metadata", "labels", default={})
    kind = "real" if own else "simulated" if "tiffin.dev/simulated" in labels else "joined"
    ready = "Ready" if obj and is_ready(obj) else "NotReady"
    if dig(obj or {}, "spec", "unschedulable"):
        ready += ",SchedulingDisabled"
    condition = "stopped" if own and own.index in state.stopped else "unregistered" if obj is None else ready
    running = ["-", "-"]
    if own:
        running = [str(daemon.pid() or "dead") for daemon in (daemons.agent(own), daemons.runtime(own))]
    return Row(name, condition, kind, address, dig(obj or {}, "spec", "podCIDR", default="-"), pods, *running)
