"""`tiffin status`: whether the cluster is up, from its processes and from what its API says of its nodes."""
from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.cluster import daemons, tables
from tiffin.cluster.layout import Layout
from tiffin.cluster.nodes_ready import NODES, admin_client, is_ready
from tiffin.cluster.process import Daemon, start_ticks
from tiffin.cluster.state import ClusterState
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import name_of

if TYPE_CHECKING:
    from tiffin.client.http import HttpClient
    from tiffin.cluster.join import Membership


@dataclass(frozen=True)
class Process:
    """One of the cluster's processes; pid None when it does not run. Memory in bytes, age in seconds."""

    name: str
    pid: int | None
    memory: int = 0
    age: float = 0.0


@dataclass(frozen=True)
class Report:
    """`api` says what is wrong with the API server, empty when nothing is; nodes by name with whether they are Ready."""

    cluster: str
    server: str
    processes: tuple[Process, ...]
    api: str
    nodes: dict[str, bool]
    nodes_wanted: int
    stopped: tuple[str, ...] = ()
    """Nodes that are switched off on purpose."""

    @property
    def is_up(self) -> bool:
        ready = [is_ready for name, is_ready in self.nodes.items() if name not in self.stopped]
        return not self.api and all(process.pid for process in self.processes) and sum(ready) >= self.nodes_wanted and all(ready)


async def examine(layout: Layout, state: ClusterState) -> Report:
    """Looks at everything once."""
    processes = tuple(_process(daemon) for daemon in daemons.expected(layout, state))
    trouble, nodes = "the server does not run; start it with: tiffin up", dict[str, bool]()
    if daemons.server(layout).pid():
        trouble, nodes = await _ask(admin_client(layout, state.port))
    stopped = tuple(layout.node(index).name for index in state.stopped)
    return Report(layout.name, f"https://127.0.0.1:{state.port}", processes, trouble, nodes, len(state.running) + state.simulated, stopped)


async def examine_joined(layout: Layout, membership: Membership) -> Report:
    """The same on a machine that joined: its own node only."""
    from tiffin.cluster.join import node_client

    node = membership.node(layout)
    processes = tuple(_process(daemon) for daemon in (daemons.runtime(node), daemons.agent(node)))
    trouble, nodes = await _ask(node_client(layout, membership), f"metadata.name={node.name}")
    return Report(layout.name, membership.server, processes, trouble, nodes, 1)


def show(report: Report) -> None:
    """Prints the report."""
    print(f"cluster {report.cluster}: {'up' if report.is_up else 'not up'}, {report.server}{f' ({report.api})' if report.api else ''}\n")
    rows = [(process.name, *_cells(process)) for process in report.processes]
    tables.show(("PROCESS", "STATE", "PID", "MEMORY", "AGE"), rows)
    if report.nodes:
        print()
        tables.show(("NODE", "STATE"), [(name, _state(report, name)) for name in sorted(report.nodes)])


def _state(report: Report, name: str) -> str:
    return "Ready" if report.nodes[name] else "stopped" if name in report.stopped else "NotReady"


async def _ask(client: HttpClient, fields: str = "") -> tuple[str, dict[str, bool]]:
    """What is wrong with the API, and the nodes selected by `fields` with whether they are Ready. Closes the client."""
    try:
        async with await client.open("GET", "/readyz", timeout=5) as answer:
            body = await answer.body(1 << 20)
        if answer.status != 200:
            return f"the server is not ready: {body.decode(errors='replace').strip()}", {}
        nodes = await client.list(NODES, fields=fields)
        return "", {name_of(node): is_ready(node) for node in nodes.items}
    except (OSError, ApiError) as error:
        return f"the server does not answer: {error}", {}
    finally:
        client.close()


def _process(daemon: Daemon) -> Process:
    pid = daemon.pid()
    ticks = start_ticks(pid) if pid is not None else None
    if pid is None or ticks is None:
        return Process(daemon.name, None)
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return Process(daemon.name, None)
    return Process(daemon.name, pid, pages * os.sysconf("SC_PAGE_SIZE"), age)


def _cells(process: Process) -> tuple[str, str, str, str]:
    if process.pid is None:
        return ("dead", "-", "-", "-")
    return ("running", str(process.pid), f"{process.memory / 1e6:.0f} MB", _age(process.age))


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"
