"""The actions of `tiffin node`, each a function of the cluster's state and the parsed options."""
from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable

from tiffin.cluster import members, progress, up
from tiffin.cluster.images import ImageError
from tiffin.cluster.layout import Layout, NodeLayout
from tiffin.cluster.readiness import NotReady
from tiffin.cluster.state import ClusterState
from tiffin.cluster.tables import show as show_table
from tiffin.machinery.errors import ApiError


class CannotDo(Exception):
    """The message is for the user."""


def show(layout: Layout, state: ClusterState) -> None:
    """`tiffin node ls`."""
    try:
        rows = asyncio.run(members.rows(layout, state))
    except (OSError, ApiError) as error:
        raise CannotDo(f"the API server does not answer: {error}") from error
    header = ("NODE", "STATE", "KIND", "ADDRESS", "POD-RANGE", "PODS", "AGENT", "CONTAINERD")
    show_table(header, [(r.name, r.state, r.kind, r.address, r.pod_range, str(r.pods), r.agent, r.containerd) for r in rows])


def _add(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    wanted = members.with_more(state, options.count)
    _bring_up(layout, up.checked(layout, wanted), options.wait)
    print(f"added: {', '.join(layout.node(index).name for index in wanted.nodes if index not in state.nodes) or 'nothing'}")


def _start(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    node = _find(layout, state, options.node)
    _bring_up(layout, members.to_be_on(state, node), options.wait)
    print(f"{node.name} is on")


def _stop(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    node = _find(layout, state, options.node)
    members.switch_off(layout, state, node)
    print(f"{node.name} is off; the cluster notices within {state.node_monitor_grace:g} s. Switch it on with: tiffin node start {node.name}")


def _remove(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    if members.is_joined(state, layout, options.node):
        _forget(layout, state, options.node)
        return
    node = _find(layout, state, options.node)
    try:
        moved = asyncio.run(members.remove(layout, state, node, options.timeout, options.force))
    except members.StillOccupied as error:
        raise CannotDo(f"{error}\n    let it have pods again with: kubectl uncordon {node.name}, or remove it all the same with --force") from error
    except (OSError, ApiError) as error:
        raise CannotDo(f"the API server does not answer as it should: {error}") from error
    print(f"{node.name} is removed; {moved} pod{'s were' if moved != 1 else ' was'} evicted first")


def _forget(layout: Layout, state: ClusterState, name: str) -> None:
    """A node on another machine, which has to be off or have left."""
    try:
        asyncio.run(members.forget_joined(layout, state, name))
    except (members.NoSuchNode, members.StillOccupied) as error:
        raise CannotDo(str(error)) from error
    except (OSError, ApiError) as error:
        raise CannotDo(f"the API server does not answer as it should: {error}") from error
    print(f"{name} is forgotten")


def _find(layout: Layout, state: ClusterState, name: str) -> NodeLayout:
    try:
        return members.find(layout, state, name)
    except members.NoSuchNode as error:
        raise CannotDo(str(error)) from error


def _bring_up(layout: Layout, state: ClusterState, wait: float) -> None:
    try:
        with progress.show() as shown:
            asyncio.run(up.bring_up(layout, state, wait, shown))
    except (NotReady, ImageError, up.Refused) as error:
        raise CannotDo(str(error)) from error


ACTIONS: dict[str, Callable[[Layout, ClusterState, argparse.Namespace], None]] = {"add": _add, "start": _start, "stop": _stop, "rm": _remove}
