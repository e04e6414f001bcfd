"""Clusters without containers: for anybody, at once, side by side."""
from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.e2e.cluster import Cluster, running


def test_simulated_nodes_are_ready(light_cluster: Cluster) -> None:
    conditions = light_cluster.jsonpath("nodes", '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}')
    assert conditions.split() == ["True", "True"]
    assert light_cluster.tiffin("status").returncode == 0


def test_credentials(light_cluster: Cluster) -> None:
    token = light_cluster.tiffin("token").stdout.strip()
    config = light_cluster.tiffin("kubeconfig").stdout
    assert f"tiffin-{light_cluster.name}" in config
    kubeconfig = light_cluster.directory / "kubeconfig"
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    who = light_cluster.kubectl("auth", "whoami", f"--token={token}", "-o", "jsonpath={.status.userInfo.username}").stdout
    assert who == "kubernetes-admin"


def test_logs(light_cluster: Cluster) -> None:
    assert "server   | " in light_cluster.tiffin("logs").stdout
    assert light_cluster.tiffin("logs", "server", "--tail", "1").stdout.count("\n") == 1
    unknown = light_cluster.tiffin("logs", "nonsense", check=False)
    assert unknown.returncode == 1 and "there are logs of: server, simulate" in unknown.stderr


def test_images_need_nodes(light_cluster: Cluster) -> None:
    refused = light_cluster.tiffin("image", "list", check=False)
    assert refused.returncode == 1 and "has no nodes with containers" in refused.stderr


def test_clusters_side_by_side(light_cluster: Cluster, tmp_path: Path) -> None:
    with running(f"beside-{os.getpid()}", tmp_path, "--nodes", "0") as other:
        other.kubectl("create", "configmap", "only-here")
        assert light_cluster.get("configmap", "only-here") == ""
    assert light_cluster.tiffin("status").returncode == 0


def test_a_second_cluster_on_the_same_port_is_refused(light_cluster: Cluster, tmp_path: Path) -> None:
    port = light_cluster.tiffin("kubeconfig").stdout.partition("127.0.0.1:")[2].split()[0]
    refused = Cluster(f"second-{os.getpid()}", tmp_path).tiffin("up", "--nodes", "0", "--port", port, check=False)
    assert refused.returncode == 1
    assert f"port {port} is taken by" in refused.stderr and "--port" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_another_cluster(light_cluster: Cluster, tmp_path: Path) -> None:
    refused = Cluster(light_cluster.name, tmp_path).tiffin("up", "--nodes", "0", "--port", "0", check=False)
    assert refused.returncode == 1 and f"a cluster named {light_cluster.name} is already at" in refused.stderr


def test_memory_forgets_and_sqlite_remembers(tmp_path: Path) -> None:
    for store, kept in (("memory", ""), ("sqlite", "a")):
        cluster = Cluster(f"{store}-{os.getpid()}", tmp_path / store)
        cluster.directory.mkdir()
        try:
            cluster.up("--nodes", "0", "--store", store)
            cluster.kubectl("create", "namespace", "a")
            cluster.tiffin("down")
            cluster.up()
            assert cluster.jsonpath("namespace a", "{.metadata.name}") == kept
        finally:
            cluster.tiffin("down", "--purge")
