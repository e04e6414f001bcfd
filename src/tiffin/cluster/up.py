"""`tiffin up`: from whatever is there to a cluster that is ready.

Every step finds out what is there already and does what is missing, so a second `up` starts only what has died, and an `up` after a
reboot finds its addresses, keys, objects and images again. Steps that do not need one another run side by side: the server starts
while namespaces and containerd do.
"""
from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from tiffin.cluster import (
    addresses,
    credentials,
    daemons,
    down,
    images,
    invitation,
    kubeconfig,
    leaving,
    limits,
    network,
    node,
    nodes_ready,
    readiness,
)
from tiffin.cluster.accessfiles import settled
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.gate import Gate
from tiffin.cluster.layout import Layout, NodeLayout, default_root
from tiffin.cluster.preflight import Problem, Wish, free_port, problems
from tiffin.cluster.process import stop
from tiffin.cluster.progress import Progress
from tiffin.cluster.state import ClusterState, load_state, save_state

_SERVER_SECONDS = 30.0
DEFAULTS = ClusterState(name="tiffin", port=6443, nodes=(1,), simulated=0, store="sqlite")
_TAKEN_OVER = (
    "simulated", "store", "port", "node_monitor_grace", "not_ready_toleration", "unreachable_toleration", "allow_external_ips",
    "load_balancer_addresses", "listen", "legacy_apis", "pod_security_policy",
)  # fmt: skip


class Refused(Exception):
    """The machine lacks something; nothing was changed."""

    def __init__(self, found: list[Problem]) -> None:
        super().__init__("; ".join(problem.what for problem in found))
        self.problems = found


class Busy(Exception):
    """Another command holds the cluster's lock."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; None where nothing was said: then what the cluster has, or the default."""

    nodes: int | None = None
    simulated: int | None = None
    store: str | None = None
    port: int | None = None
    node_monitor_grace: float | None = None
    not_ready_toleration: int | None = None
    unreachable_toleration: int | None = None
    allow_external_ips: bool | None = None
    load_balancer_addresses: str | None = None
    listen: tuple[str, ...] | None = None
    access_files: tuple[str, ...] = ()
    legacy_apis: bool | None = None
    pod_security_policy: bool | None = None


@dataclass(frozen=True)
class Result:
    """A cluster that is up. `current` tells whether kubectl's current context is this cluster."""

    state: ClusterState
    server: str
    current: bool


@dataclass
class _Agents:
    """Which agents were started by this `up`, by their nodes' names; the simulator is the agent of all other nodes."""

    begun: str
    is_new: dict[str, bool] = field(default_factory=dict)
    simulator_is_new: bool = False

    def since(self, name: str) -> str:
        """From when on a node's word counts: what it said before its agent was started anew is no news."""
        return self.begun if self.is_new.get(name, self.simulator_is_new) else ""


def settle(layout: Layout, options: Options) -> ClusterState:
    """The state the cluster is to have. Raises `Refused`, before anything was changed."""
    _refuse(problems(Wish(layout, 0, options.nodes or 0)))
    before = load_state(layout.state_file) or replace(DEFAULTS, name=layout.name)
    if options.access_files:
        before = replace(before, access_files=settled(before.access_files, options.access_files))
    asked = {option: value for option in _TAKEN_OVER if (value := getattr(options, option)) is not None}
    state = replace(before, **asked)
    if options.nodes is not None:
        state = state.with_count(options.nodes)
    if state.port == 0:
        state = replace(state, port=before.port if layout.state_file.exists() else free_port())
    if state.store != before.store and layout.state_file.exists():
        what = f"the cluster keeps its objects in {before.store}, and they cannot be moved to {state.store}"
        _refuse([Problem(what, f"tiffin down --purge --name {layout.name}    # throws its objects away")])
    if options.legacy_apis is False and options.pod_security_policy is None:
        state = replace(state, pod_security_policy=False)
    if state.pod_security_policy and not state.legacy_apis:
        _refuse([Problem("PodSecurityPolicies are served with the retired APIs only", "tiffin up --legacy-apis --enable-pod-security-policy")])
    return checked(layout, state, ours=daemons.server(layout).pid() is not None and before.port == state.port)


def parse_listen(text: str | None) -> tuple[str, ...] | None:
    """The addresses of `--listen`; `none` for no other than this machine's own. Raises `Refused` for what is no address of it."""
    if text is None or text in ("", "none"):
        return None if text is None else ()
    found = []
    for address in text.split(","):
        try:
            number = ip_address(address)
        except ValueError:
            found.append(Problem(f"{address} is no IP address", "ip -brief address    # shows those of this machine"))
            continue
        if number.is_unspecified or number.is_loopback:
            found.append(Problem(f"{address} is no address by which other machines could reach this one", "ip -brief address    # shows those of this machine"))
        elif not daemons.present([address]):
            found.append(Problem(f"{address} is no address of this machine", "ip -brief address    # shows those of this machine"))
    _refuse(found)
    return tuple(text.split(","))


def checked(layout: Layout, state: ClusterState, ours: bool = True) -> ClusterState:
    """The state, if this machine can bear it; `ours` when the running server holds the port. Raises `Refused`."""
    if state.nodes and state.nodes[-1] > addresses.MAX_NODES:
        _refuse([Problem(f"{len(state.nodes)} nodes do not fit on one machine", f"tiffin up --nodes {addresses.MAX_NODES}")])
    _refuse(problems(Wish(layout, state.port, len(state.nodes), port_is_ours=ours)))
    return state


async def bring_up(layout: Layout, state: ClusterState, wait: float, progress: Progress) -> Result:
    """Raises `NotReady`, `ImageError`, `OSError` and `CalledProcessError`; what has started by then stays, and `up` goes on from there."""
    before = load_state(layout.state_file)
    ranges = await asyncio.to_thread(_reserve, layout) if state.nodes else None
    if ranges:
        state = replace(state, node_network=ranges.nodes, pod_cidr=ranges.pods)
    save_state(layout.state_file, state)
    for problem in limits.raise_for(len(state.running), layout.run_dir.parent):
        print(f"{problem.what}; mend it with:\n    {problem.mend}", file=sys.stderr)
    network_ready = asyncio.create_task(_connect_host(layout, ranges))
    identities = await asyncio.to_thread(credentials.ensure, layout, state, ranges)
    await network_ready
    surplus = [layout.node(index) for index in (before.nodes if before else ()) if index not in state.nodes]
    await _remove_surplus(layout, surplus, state)
    begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with Gate() as gate:
        agents = _Agents(begun)
        known = before.running if before else ()
        donor = next((layout.node(index) for index in state.running if index in known), None)
        nodes = (
            _start_node(layout.node(index), state, ranges, gate, progress, agents, None if index in known else donor)
            for index in state.running if ranges
        )
        await _together(_start_server(layout, state, ranges, gate, progress), *nodes)
    agents.simulator_is_new = await asyncio.to_thread(_start_simulator, layout, state)
    if lost := [address for address in state.listen if address not in daemons.present(state.listen)]:
        print(f"{', '.join(lost)}: no address of this machine any more; tell other machines the new one with: tiffin up --listen ADDRESS", file=sys.stderr)
    server = f"https://127.0.0.1:{state.port}"
    config = kubeconfig.document(layout.context, server, *identities.admin)
    current = await asyncio.to_thread(kubeconfig.merge, kubeconfig.default_file(), config)
    if surplus:
        await leaving.forget(layout, state.port, surplus)
    if state.listen:
        await invitation.open_to_others(layout, state)
    if wait and len(state.running) + state.simulated:
        progress.begin("nodes")
        await nodes_ready.wait(layout, state, wait, agents.since)
        progress.end("nodes", "ready")
    return Result(state, server, current)


@contextmanager
def exclusively(layout: Layout) -> Iterator[None]:
    """Makes the data directory and holds its lock: two commands never change one cluster at a time. Raises `Busy`."""
    layout.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(layout.lock_file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another tiffin command is changing cluster {layout.name}; try again when it is done") from error
        yield


def link_default_place(layout: Layout) -> None:
    """Lets other commands find a cluster by its name when its data is elsewhere. Raises `Refused` if the name is another cluster's."""
    place = layout.default_place
    if place.resolve() == layout.data_dir:
        return
    if place.is_symlink() and not place.exists():
        place.unlink()
    if place.exists():
        _refuse([Problem(f"a cluster named {layout.name} is already at {place.resolve()}", f"tiffin up --name OTHER --data-dir {layout.data_dir}")])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(layout.data_dir, target_is_directory=True)


def _reserve(layout: Layout) -> Ranges:
    return addresses.reserve(default_root() / addresses.REGISTRY, layout.data_dir, network.routed_networks(excluding=[layout.bridge]))


async def _connect_host(layout: Layout, ranges: Ranges | None) -> None:
    if ranges:
        await asyncio.to_thread(network.connect_host, layout, ranges)


async def _remove_surplus(layout: Layout, surplus: Sequence[NodeLayout], state: ClusterState) -> None:
    """Nodes the cluster had and is not to have any more."""
    await asyncio.gather(*(node.take_down(each, down.DEFAULT_GRACE) for each in surplus))
    if not state.simulated:
        await asyncio.to_thread(stop, [daemons.simulator(layout)], daemons.AGENT_GRACE)


async def _start_server(layout: Layout, state: ClusterState, ranges: Ranges | None, gate: Gate, progress: Progress) -> None:
    """Opens the gate when the server serves."""
    daemon, command = daemons.server(layout), daemons.server_command(layout, state, ranges)
    if daemon.runs(command):
        gate.open()
        return
    progress.begin("control plane")
    await asyncio.to_thread(stop, [daemon], daemons.SERVER_GRACE)
    ours, theirs = os.pipe()
    try:
        try:
            await asyncio.to_thread(daemon.start, command, extra=["--ready-fd", str(theirs)], pass_fds=[theirs])
        finally:
            os.close(theirs)
        await readiness.pipe_line(daemon, ours, _SERVER_SECONDS)
    finally:
        os.close(ours)
    gate.open()
    progress.end("control plane", "ready")


async def _start_node(
    each: NodeLayout, state: ClusterState, ranges: Ranges, gate: Gate, progress: Progress, agents: _Agents, donor: NodeLayout | None
) -> None:
    """A node that is new gets the images of `donor`: whoever loaded them gave them to every node."""
    progress.begin(each.name)
    agents.is_new[each.name] = await node.bring_up(each, state, ranges, gate)
    if donor and daemons.runtime(donor).pid() is not None:
        try:
            await images.copy(donor, each)
        except images.ImageError as error:
            print(f"{each.name} does not get the images of {donor.name}: {error}", file=sys.stderr)
    progress.end(each.name, "started")


def _start_simulator(layout: Layout, state: ClusterState) -> bool:
    """Whether it was started just now."""
    daemon, command = daemons.simulator(layout), daemons.simulator_command(layout, state)
    if not state.simulated or daemon.runs(command):
        return False
    stop([daemon], daemons.AGENT_GRACE)
    daemon.start(command)
    return True


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """All at once. The first to fail ends the others and is raised by itself: one cause is what a user can mend."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def _refuse(found: list[Problem]) -> None:
    if found:
        raise Refused(found)
