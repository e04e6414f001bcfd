"""One real node of a cluster, brought up and taken down.

Up, in order: network namespace, containerd inside it, the pause image, the agent inside it. What runs already is left running;
containers belong to their shims and notice nothing when containerd or the agent is started anew.

Down, in order: agent, containers (politely, through the runtime), containerd, and then by force whatever a crash has left: shims,
processes in the node's cgroup, mounts, cgroup, cable, namespace.

A power cut is only the last part, at once: what a reboot would leave of the node is what is left.
"""
from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiffin.cluster import cgroups, cni, containerd, daemons, images, mounts, network, readiness
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.gate import Gate
from tiffin.cluster.layout import NodeLayout
from tiffin.cluster.process import end_pids, stop
from tiffin.cluster.state import ClusterState

_SHIM_SOCKETS = Path("/run/containerd/s")
_START_SECONDS = 30.0


async def bring_up(node: NodeLayout, state: ClusterState, ranges: Ranges, gate: Gate) -> bool:
    """Returns when containerd answers and the agent runs; true when it had to be started, which it was behind the gate.

    Raises `NotReady`, `ImageError` and `OSError`.
    """
    namespace = await asyncio.to_thread(network.connect_node, node, ranges)
    return await start_daemons(node, daemons.agent_command(node, state, ranges), namespace, gate)


async def start_daemons(node: NodeLayout, command: Sequence[str], namespace: Path | None, gate: Gate) -> bool:
    """containerd and the agent with that command line, in the namespace (None: the machine's own); true when the agent was started."""
    if daemons.runtime(node).pid() is None:
        await _start_containerd(node, namespace)
    agent = daemons.agent(node)
    is_new = not agent.runs(command)
    if is_new:
        await asyncio.to_thread(stop, [agent], daemons.AGENT_GRACE)
        await asyncio.to_thread(agent.start, command, namespace=namespace, extra=gate.arguments, pass_fds=[gate.descriptor])
    await images.ensure_pause(node)
    return is_new


async def take_down(node: NodeLayout, grace: float) -> None:
    """Leaves nothing of the node but its state. Containers get `grace` seconds to end by themselves."""
    await asyncio.to_thread(stop, [daemons.agent(node)], daemons.AGENT_GRACE)
    if daemons.runtime(node).pid() is not None:
        await _stop_pods(node, grace)
    await asyncio.to_thread(clean, node)


def clean(node: NodeLayout) -> None:
    """By force, and whether or not anything is there."""
    stop([daemons.runtime(node)], daemons.CONTAINERD_GRACE)
    shims, sockets = _shims(node), list(_shim_sockets(node))
    end_pids([*shims, *cgroups.processes(node.cgroup)], 0)
    mounts.unmount_below(node.run_dir, node.data_dir)
    for socket in sockets:
        socket.unlink(missing_ok=True)
    cgroups.remove(node.cgroup)
    network.disconnect_node(node)
    cni.forget(node)
    shutil.rmtree(node.run_dir, ignore_errors=True)


def cut_power(node: NodeLayout) -> None:
    """As if the machine had lost its power: the cable first, so that nobody is told, then everything at once; no time to end anything."""
    network.disconnect_node(node)
    own = [pid for daemon in (daemons.agent(node), daemons.runtime(node)) if (pid := daemon.pid()) is not None]
    end_pids([*own, *_shims(node), *cgroups.processes(node.cgroup)], 0)
    stop([daemons.agent(node)], 0)
    clean(node)


async def _start_containerd(node: NodeLayout, namespace: Path | None) -> None:
    await asyncio.to_thread(lambda: containerd.write_config(node, network.uplink_mtu()))
    notify = containerd.ReadySocket(node.run_dir / "ready.sock")
    try:
        daemon = daemons.runtime(node)
        command = daemons.runtime_command(node)
        await asyncio.to_thread(daemon.start, command, namespace=namespace, environment=notify.environment)
        await readiness.notification(daemon, notify, _START_SECONDS)
    finally:
        notify.close()


async def _stop_pods(node: NodeLayout, grace: float) -> None:
    """Every container at once, each with the time its pod asks for but no more than `grace` seconds; then the sandboxes."""
    from tiffin.kubelet.cri import CriRuntime
    from tiffin.kubelet.runtime import TERMINATION_GRACE, RuntimeFault

    runtime = CriRuntime(str(node.containerd_socket))
    try:
        running = [container for container in await runtime.containers() if container.is_running]
        patience = {container.id: min(grace, float(container.annotations.get(TERMINATION_GRACE) or grace)) for container in running}
        await asyncio.gather(*(runtime.stop_container(id, round(seconds)) for id, seconds in patience.items()))
        ready = [sandbox.id for sandbox in await runtime.sandboxes() if sandbox.ready]
        await asyncio.gather(*(runtime.stop_sandbox(id) for id in ready))
    except RuntimeFault as error:
        # `clean` ends by force what would not end politely; the user learns why it came to that.
        print(f"{node.name}: containers could not be stopped through containerd: {error.text}", file=sys.stderr)
    finally:
        await runtime.close()


def _shims(node: NodeLayout) -> list[int]:
    """The shims that serve this node's containerd; they name its socket on their command line."""
    address = os.fsencode(str(node.containerd_socket))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"containerd-shim" in arguments[0] and address in arguments:
            found.append(int(process.name))
    return found


def _shim_sockets(node: NodeLayout) -> Iterable[Path]:
    """The sockets that this node's shims wrote down in their bundles; shims place them outside any directory of ours."""
    for address in node.containerd_state.glob("io.containerd.runtime.v2.task/*/*/address"):
        socket = Path(address.read_text().removeprefix("unix://"))
        if socket.parent == _SHIM_SOCKETS:
            yield socket
