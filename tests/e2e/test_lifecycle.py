"""A cluster's life on the machine: it comes up, survives what happens to it, and leaves no trace."""
from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.images import HELLO
from tests.e2e.machine import traces
from tiffin.cluster.layout import Layout

POD = "hello"


def layout(cluster: Cluster) -> Layout:
    return Layout.find(cluster.name, cluster.data_dir)


def run_hello(cluster: Cluster, image_files: dict[str, Path]) -> str:
    """Starts the web server in a pod, and answers its container's id once it serves."""
    cluster.tiffin("image", "load", str(image_files[HELLO]))
    cluster.kubectl("run", POD, f"--image={HELLO}")
    cluster.wait("condition=Ready", f"pod/{POD}")
    assert "Hello from Chapter 2" in fetch(cluster)
    return container(cluster)


def container(cluster: Cluster) -> str:
    return cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].containerID}")


def fetch(cluster: Cluster) -> str:
    """The page, from the pod's own address: the host reaches pods."""
    return page_at(cluster.jsonpath(f"pod {POD}", "{.status.podIP}"))


def page_at(address: str) -> str:
    return subprocess.run(["curl", "--silent", "--max-time", "5", f"http://{address}/"], text=True, capture_output=True, check=False).stdout


def test_down_leaves_no_trace_and_up_finds_everything_again(own_cluster: Cluster, image_files: dict[str, Path]) -> None:
    assert "is up at https://127.0.0.1:" in own_cluster.up()
    run_hello(own_cluster, image_files)
    own_cluster.kubectl("create", "configmap", "kept", "--from-literal=a=1")
    address = own_cluster.jsonpath("node node-1", "{.status.addresses[0].address}")
    own_cluster.tiffin("down", "--grace", "1s")
    assert traces(layout(own_cluster)) == []
    assert own_cluster.tiffin("status", check=False).returncode == 1
    own_cluster.tiffin("down")

    own_cluster.up()
    assert own_cluster.jsonpath("configmap kept", "{.data.a}") == "1"
    assert own_cluster.jsonpath("node node-1", "{.status.addresses[0].address}") == address
    own_cluster.wait("condition=Ready", f"pod/{POD}")
    assert "Hello from Chapter 2" in eventually("the page", lambda: fetch(own_cluster))

    own_cluster.tiffin("down", "--purge", "--grace", "1s")
    assert traces(layout(own_cluster)) == []
    assert not own_cluster.data_dir.exists()
    assert "tiffin" not in (own_cluster.directory / "kubeconfig").read_text()


@pytest.mark.parametrize("victims", [["server"], ["node-1"], ["node-1-containerd"], ["server", "node-1", "node-1-containerd"]], ids="+".join)
def test_containers_outlive_their_masters(own_cluster: Cluster, image_files: dict[str, Path], victims: list[str]) -> None:
    own_cluster.up()
    before = run_hello(own_cluster, image_files)
    own_cluster.kubectl("create", "configmap", "acknowledged")
    spared = {name: own_cluster.pid(name) for name in ("server", "node-1", "node-1-containerd") if name not in victims}
    address = own_cluster.jsonpath(f"pod {POD}", "{.status.podIP}")
    for victim in victims:
        os.kill(own_cluster.pid(victim), signal.SIGKILL)
    assert own_cluster.tiffin("status", check=False).returncode == 1
    assert "Hello from Chapter 2" in page_at(address)

    own_cluster.up()
    assert {name: own_cluster.pid(name) for name in spared} == spared, "what was alive was left alone"
    own_cluster.kubectl("get", "configmap", "acknowledged")
    own_cluster.wait("condition=Ready", f"pod/{POD}")
    assert container(own_cluster) == before
    assert own_cluster.jsonpath(f"pod {POD}", "{.status.containerStatuses[0].restartCount}") == "0"
    own_cluster.kubectl("delete", "pod", POD, "--grace-period=1")
    own_cluster.kubectl("run", "second", f"--image={HELLO}")
    own_cluster.wait("condition=Ready", "pod/second")


def test_up_again_changes_nothing(own_cluster: Cluster) -> None:
    own_cluster.up()
    names = ("server", "node-1", "node-1-containerd")
    before = {name: own_cluster.pid(name) for name in names}
    own_cluster.up()
    assert {name: own_cluster.pid(name) for name in names} == before
    assert own_cluster.tiffin("status").stdout.startswith(f"cluster {own_cluster.name}: up")


def test_another_node_joins_a_running_cluster(own_cluster: Cluster, image_files: dict[str, Path]) -> None:
    """The first node says nothing new then, and is believed; pods of both nodes reach one another."""
    own_cluster.up()
    agent = own_cluster.pid("node-1")
    own_cluster.up("--nodes", "2", "--wait", "20s")
    assert own_cluster.pid("node-1") == agent
    own_cluster.tiffin("image", "load", str(image_files[HELLO]))
    for name, node in (("one", "node-1"), ("two", "node-2")):
        own_cluster.kubectl("run", name, f"--image={HELLO}", f'--overrides={{"spec":{{"nodeName":"{node}"}}}}')
    own_cluster.wait("condition=Ready", "pod/one", "pod/two")
    address = own_cluster.jsonpath("pod two", "{.status.podIP}")
    assert "Hello from Chapter 2!" in own_cluster.kubectl("exec", "one", "--", "wget", "-qO-", f"http://{address}").stdout


def test_after_a_reboot(own_cluster: Cluster, image_files: dict[str, Path]) -> None:
    """What a reboot leaves: the data directory, pid files among it, and an empty file for each namespace."""
    own_cluster.up()
    run_hello(own_cluster, image_files)
    pids = {file: file.read_bytes() for file in (own_cluster.data_dir / "pids").iterdir()}
    own_cluster.tiffin("down", "--grace", "0")
    for file, content in pids.items():
        file.write_bytes(content)
    stale = Path("/run/netns") / layout(own_cluster).node(1).netns
    stale.touch()
    own_cluster.up()
    own_cluster.wait("condition=Ready", f"pod/{POD}")
    assert "Hello from Chapter 2" in eventually("the page", lambda: fetch(own_cluster))


def test_images(own_cluster: Cluster, image_files: dict[str, Path]) -> None:
    own_cluster.up()
    loaded = own_cluster.tiffin("image", "load", *map(str, image_files.values())).stdout
    assert HELLO in loaded
    listed = own_cluster.tiffin("image", "list").stdout
    assert HELLO in listed and "pause" not in listed
    own_cluster.tiffin("image", "rm", HELLO)
    assert HELLO not in own_cluster.tiffin("image", "list").stdout
    again = own_cluster.tiffin("image", "rm", HELLO, check=False)
    assert (again.returncode, again.stderr) == (1, f"tiffin: {HELLO}: no such image\n")
    no_file = own_cluster.tiffin("image", "load", "/none.tar", check=False)
    assert (no_file.returncode, no_file.stderr) == (1, "tiffin: /none.tar: no such file\n")
    not_tar = own_cluster.tiffin("image", "load", "/etc/passwd", check=False)
    assert not_tar.returncode == 1 and not_tar.stderr.startswith("tiffin: node-1: /etc/passwd: ")


def test_host_ports_and_the_way_out(own_cluster: Cluster, image_files: dict[str, Path]) -> None:
    own_cluster.up()
    own_cluster.tiffin("image", "load", str(image_files[HELLO]))
    own_cluster.kubectl("run", POD, f"--image={HELLO}", "--port=80", "--overrides", _HOST_PORT)
    own_cluster.wait("condition=Ready", f"pod/{POD}")
    node = own_cluster.jsonpath("node node-1", "{.status.addresses[0].address}")
    page = subprocess.run(["curl", "--silent", "--max-time", "5", f"http://{node}:8099/"], text=True, capture_output=True, check=True).stdout
    assert "Hello from Chapter 2" in page


_HOST_PORT = """{"spec": {"containers": [{"name": "hello", "image": "%s",
  "ports": [{"containerPort": 80, "hostPort": 8099}]}]}}""" % HELLO  # noqa: UP031
