"""`tiffin down`: ends the cluster's processes and takes away all it made on the machine; its state stays unless it is purged.

Only what bears the cluster's id or its pid files is touched. It works on any remainder: half a cluster, one whose processes have been
killed, one that a reboot ended, or none at all.
"""
from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from tiffin.cluster import addresses, boot, cgroups, daemons, kubeconfig
from tiffin.cluster.layout import Layout, NodeLayout, default_root
from tiffin.cluster.process import Daemon, end_pids, stop

#: What containers get to end by themselves, at most, in seconds.
DEFAULT_GRACE = 10.0


async def take_down(layout: Layout, grace: float = DEFAULT_GRACE) -> None:
    """Agents and containers first, so that they may still tell the server; the server last."""
    await asyncio.to_thread(stop, [daemons.simulator(layout)], daemons.AGENT_GRACE)
    if os.geteuid() == 0:
        from tiffin.cluster import node

        await asyncio.gather(*(node.take_down(each, grace) for each in _nodes(layout)))
    await asyncio.to_thread(stop, [daemons.server(layout), *_others(layout)], daemons.SERVER_GRACE)
    await asyncio.to_thread(end_pids, _strays(layout), daemons.SERVER_GRACE)
    if os.geteuid() == 0:
        await asyncio.to_thread(_clean_host, layout)
    shutil.rmtree(layout.run_dir, ignore_errors=True)
    _remove_if_empty(layout.run_dir.parent)


def purge(layout: Layout) -> None:
    """Removes the state of a cluster that is down: objects, keys, images, logs, its kubeconfig entries."""
    if (layout.state_file.exists() or layout.lock_file.exists()) and layout.data_dir.is_dir():
        shutil.rmtree(layout.data_dir)
    boot.disable(layout)
    if layout.default_place.is_symlink():
        layout.default_place.unlink()
    if (default_root() / addresses.REGISTRY).exists():
        addresses.release(default_root() / addresses.REGISTRY, layout.data_dir)
    _remove_if_empty(default_root())
    kubeconfig.remove(kubeconfig.default_file(), layout.context)


def _nodes(layout: Layout) -> list[NodeLayout]:
    """Those that any trace is left of, whatever `cluster.json` says."""
    from tiffin.cluster import network

    traces: Iterable[str] = (
        *(path.name for path in (layout.data_dir / "nodes").glob("node-*")),
        *(name.removeprefix(f"tiffin-{layout.id}-") for name in network.namespaces(layout)),
        *(f"node-{path.name}" for path in layout.run_dir.glob("[0-9]*")),
    )
    indexes = {int(name.removeprefix("node-")) for name in traces if name.removeprefix("node-").isdecimal()}
    return [layout.node(index) for index in sorted(indexes)]


def _others(layout: Layout) -> list[Daemon]:
    """Daemons with a pid file that no present node accounts for."""
    return [Daemon(file.stem, file, layout.log_dir / f"{file.stem}.log") for file in layout.pid_dir.glob("*.pid")]


def _strays(layout: Layout) -> list[int]:
    """Daemons that no pid file tells of, as when the data directory was removed under them; their command lines name it."""
    data_dir = os.fsencode(layout.data_dir)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = words[1:3] == [b"-m", b"tiffin"] and words[3:4] and words[3] in (b"server", b"agent", b"simulate") and data_dir in words
        runtime = words[0] == b"containerd" and len(words) > 2 and words[2].startswith(data_dir + b"/")
        if ours or runtime:
            found.append(int(process.name))
    return found


def _clean_host(layout: Layout) -> None:
    from tiffin.cluster import limits, mounts, network

    end_pids(sorted(cgroups.processes(layout.cgroup)), 0)
    mounts.unmount_below(layout.run_dir, layout.data_dir)
    cgroups.remove(layout.cgroup)
    network.disconnect_host(layout)
    if network.is_last():
        limits.restore(layout.run_dir.parent)


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:  # not there, or another cluster's things are in it
        return
