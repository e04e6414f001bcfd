"""What the cluster's processes are told on their command lines."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tiffin.cluster import daemons
from tiffin.cluster.addresses import Ranges
from tiffin.cluster.layout import Layout
from tiffin.cluster.state import ClusterState

STATE = ClusterState(name="a", port=6443, nodes=(1, 2), simulated=0, store="sqlite", node_network="10.199.0.0/24")
RANGES = Ranges("10.199.0.0/24", "10.244.0.0/16")


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.mark.parametrize("grace, lease", [(50.0, 40), (4.0, 3), (1.0, 1), (0.5, 1), (600.0, 40)])
def test_a_lease_is_renewed_well_within_what_may_be_silent(grace: float, lease: int, tmp_path: Path) -> None:
    state = replace(STATE, node_monitor_grace=grace)
    command = daemons.agent_command(Layout("a", tmp_path).node(1), state, RANGES)
    assert option(command, "--lease-seconds") == str(lease)


def test_the_server_listens_where_it_is_told_and_the_machine_has_the_address(tmp_path: Path) -> None:
    state = replace(STATE, listen=("127.0.0.9", "192.0.2.99"), not_ready_toleration=0)
    command = daemons.server_command(Layout("a", tmp_path), state, RANGES)
    assert option(command, "--bind") == "127.0.0.1,10.199.0.1,127.0.0.9", "an address that has gone does not keep the cluster down"
    assert option(command, "--default-not-ready-toleration-seconds") == "0"
    assert option(command, "--node-monitor-grace-period") == "50s"


@pytest.mark.parametrize("legacy, policies, flags", [
    (False, False, []), (True, False, ["--legacy-apis"]), (True, True, ["--legacy-apis", "--enable-pod-security-policy"])])
def test_the_server_is_told_what_to_serve(legacy: bool, policies: bool, flags: list[str], tmp_path: Path) -> None:
    command = daemons.server_command(Layout("a", tmp_path), replace(STATE, legacy_apis=legacy, pod_security_policy=policies), RANGES)
    assert [word for word in command if word in ("--legacy-apis", "--enable-pod-security-policy")] == flags


def test_stopped_nodes_are_not_expected_to_run(tmp_path: Path) -> None:
    names = [daemon.name for daemon in daemons.expected(Layout("a", tmp_path), replace(STATE, stopped=(1,)))]
    assert names == ["server", "node-2-containerd", "node-2"]


def test_an_agent_of_a_joined_machine_has_a_name_of_its_own(tmp_path: Path) -> None:
    from tiffin.cluster.layout import NodeLayout

    node = NodeLayout(Layout("a", tmp_path), 0, "worker-1")
    command = daemons.joined_agent_command(node, ["--server", "https://192.0.2.1:6443"])
    assert (option(command, "--node"), option(command, "--node-name")) == ("0", "worker-1")
    assert daemons.agent(node).pid_file.name == "worker-1.pid" and node.data_dir.name == "worker-1"
