"""Clusters that tests share. Tests of a shared cluster leave it as they found it: each has a namespace of its own."""
from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import images
from tests.e2e.cluster import KUBECTLS, Cluster, running
from tiffin.cluster.cni import plugin_dir

_CAN_RUN_NODES = os.geteuid() == 0 and all(shutil.which(program) for program in ("containerd", "nft")) and plugin_dir() is not None

needs_nodes = [pytest.mark.node, pytest.mark.skipif(not _CAN_RUN_NODES, reason="real nodes take root, containerd, nft and the CNI plugins")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a cluster with real nodes needs what such nodes need."""
    for item in items:
        if {"session_cluster", "own_cluster"} & set(getattr(item, "fixturenames", ())):
            for mark in needs_nodes:
                item.add_marker(mark)


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The test images' files by name."""
    return images.write_all(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory, image_files: dict[str, Path]) -> Iterator[Cluster]:
    """One node with real containers and the test images."""
    with running(f"e2e-{os.getpid()}", tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.tiffin("image", "load", *map(str, image_files.values()))
        yield cluster


@pytest.fixture(params=KUBECTLS, ids=lambda path: "venv" if path.startswith(sys.prefix) else "machine")
def cluster(request: pytest.FixtureRequest, session_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster, through each kubectl there is, in a namespace of the test's own."""
    namespace = f"test-{next(_numbers)}"
    session_cluster.kubectl("create", "-f", "-", input=f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n")
    yield session_cluster.through(request.param, namespace)
    session_cluster.kubectl("delete", "namespace", namespace, "--wait=false")


_numbers = itertools.count(1)


@pytest.fixture
def own_cluster(tmp_path: Path, image_files: dict[str, Path]) -> Iterator[Cluster]:
    """A cluster with one node for a test that mistreats it; not up yet."""
    cluster = Cluster(f"own-{os.getpid()}", tmp_path)
    try:
        yield cluster
    finally:
        cluster.tiffin("down", "--purge", "--grace", "0")


@pytest.fixture(scope="session")
def light_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """No containers, two simulated nodes."""
    with running(f"light-{os.getpid()}", tmp_path_factory.mktemp("light"), "--nodes", "0", "--simulated", "2") as cluster:
        yield cluster
