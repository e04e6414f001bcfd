"""The background processes of a cluster and the command lines that start them.

A command line says everything a process is told, so that `ps` shows it and a change of settings is seen as a change of the line.
"""
from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from tiffin.cluster import containerd
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.layout import Layout, NodeLayout
from tiffin.cluster.process import Daemon, tiffin_command
from tiffin.cluster.state import ClusterState

#: How long each kind of process gets between SIGTERM and SIGKILL, in seconds.
SERVER_GRACE, AGENT_GRACE, CONTAINERD_GRACE = 15.0, 10.0, 10.0


def server(layout: Layout) -> Daemon:
    return _daemon(layout, "server")


def simulator(layout: Layout) -> Daemon:
    return _daemon(layout, "simulate")


def agent(node: NodeLayout) -> Daemon:
    return _daemon(node.cluster, node.name)


def runtime(node: NodeLayout) -> Daemon:
    return _daemon(node.cluster, f"{node.name}-containerd")


def expected(layout: Layout, state: ClusterState) -> list[Daemon]:
    """Every process that runs while the cluster is up."""
    nodes = [layout.node(index) for index in state.running]
    of_nodes = [daemon for node in nodes for daemon in (runtime(node), agent(node))]
    return [server(layout), *of_nodes, *([simulator(layout)] if state.simulated else [])]


def server_command(layout: Layout, state: ClusterState, ranges: Ranges | None) -> list[str]:
    addresses = ["127.0.0.1", *([ranges.gateway] if ranges else []), *present(state.listen)]
    arguments = ["server", "--name", layout.name, "--data-dir", str(layout.data_dir), "--store", state.store, "--port", str(state.port)]
    return tiffin_command(*arguments, "--bind", ",".join(addresses), "--pod-cidr", state.pod_cidr, *_patience(state), *_exposure(state), *_legacy(state), *_joining(state), *state.access_files)


def agent_command(node: NodeLayout, state: ClusterState, ranges: Ranges) -> list[str]:
    arguments = ["agent", "--name", node.cluster.name, "--data-dir", str(node.cluster.data_dir), "--node", str(node.index), "--pod-cidr", ranges.pods]
    where = ["--server", f"https://{ranges.gateway}:{state.port}", "--node-ip", ranges.node(node.index), "--bridged-cidr", ranges.nodes]
    return tiffin_command(*arguments, *where, "--lease-seconds", str(lease_seconds(state)))


def joined_agent_command(node: NodeLayout, where: Sequence[str]) -> list[str]:
    """The agent of a machine that joined; `where` says which server it serves and from where."""
    cluster = node.cluster
    return tiffin_command("agent", "--name", cluster.name, "--data-dir", str(cluster.data_dir), "--node", "0", "--node-name", node.name, *where)


def present(addresses: Sequence[str]) -> list[str]:
    """Those that this machine has at the moment."""
    return [address for address in addresses if _is_ours(address)]


def _is_ours(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def lease_seconds(state: ClusterState) -> int:
    """How long a node's Lease holds: it is renewed four times as often, so well within what the controller allows for silence."""
    return max(1, min(40, int(state.node_monitor_grace * 0.8)))


def simulator_command(layout: Layout, state: ClusterState) -> list[str]:
    arguments = ["simulate", "--name", layout.name, "--data-dir", str(layout.data_dir), "--nodes", str(state.simulated)]
    return tiffin_command(*arguments, "--server", f"https://127.0.0.1:{state.port}")


def runtime_command(node: NodeLayout) -> list[str]:
    return containerd.command(node)


def _patience(state: ClusterState) -> list[str]:
    given = {
        "--node-monitor-grace-period": f"{state.node_monitor_grace:g}s",
        "--default-not-ready-toleration-seconds": str(state.not_ready_toleration),
        "--default-unreachable-toleration-seconds": str(state.unreachable_toleration),
    }
    return [word for pair in given.items() for word in pair]


def _exposure(state: ClusterState) -> list[str]:
    """How Services are reached from outside."""
    allowed = ["--allow-external-ips"] if state.external_ips_allowed else []
    return [*allowed, "--load-balancer-address", state.load_balancer_addresses]


def _legacy(state: ClusterState) -> list[str]:
    """What Kubernetes had once."""
    flags = {"--legacy-apis": state.legacy_apis, "--enable-pod-security-policy": state.pod_security_policy}
    return [flag for flag, wanted in flags.items() if wanted]


def _joining(state: ClusterState) -> list[str]:
    """Routes are root's to make."""
    return ["--keep-routes", "--bridged-cidr", state.node_network] if state.listen and os.geteuid() == 0 else []


def _daemon(layout: Layout, name: str) -> Daemon:
    return Daemon(name, layout.pid_dir / f"{name}.pid", layout.log_dir / f"{name}.log")
