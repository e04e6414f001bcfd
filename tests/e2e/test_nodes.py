"""Several nodes: pods reach one another, nodes come and go, are emptied, die and come back.

One cluster of three nodes for all of it, impatient with silent nodes; each test leaves three nodes, all ready and empty.
"""
from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually, running
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import BUSYBOX, SLEEP
from tests.e2e.machine import traces
from tiffin.cluster.layout import Layout

pytestmark = needs_nodes

NODES = ("node-1", "node-2", "node-3")
IMPATIENT = (
    "--node-monitor-grace-period", "3s", "--default-unreachable-toleration-seconds", "1", "--default-not-ready-toleration-seconds", "1",
)  # fmt: skip


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, image_files: dict[str, Path]) -> Iterator[Cluster]:
    with running(f"nodes-{os.getpid()}", tmp_path_factory.mktemp("nodes"), "--nodes", "3", *IMPATIENT) as cluster:
        cluster.tiffin("image", "load", *map(str, image_files.values()))
        yield cluster


def ready(cluster: Cluster) -> dict[str, str]:
    """Ready condition of every node."""
    path = '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}'
    return dict(pair.split("=") for pair in cluster.jsonpath("nodes", path).split())


def table(cluster: Cluster) -> dict[str, list[str]]:
    """`tiffin node ls` by node."""
    return {line.split()[0]: line.split() for line in cluster.tiffin("node", "ls").stdout.splitlines()[1:]}


def places(cluster: Cluster, app: str) -> list[str]:
    """The nodes of the app's pods that are not going."""
    return sorted(cluster.get("pods", "-l", f"app={app}", "-o", f"go-template={_PLACES}").split())


_PLACES = "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.spec.nodeName}} {{end}}{{end}}"


def deploy(cluster: Cluster, app: str, replicas: int) -> None:
    """A deployment whose pods spread over the nodes and end at once."""
    cluster.kubectl("apply", "-f", "-", input=_DEPLOYMENT.format(app=app, replicas=replicas, image=SLEEP))
    cluster.wait("condition=Available", f"deployment/{app}")


_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {app}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: {app}}}}}}}
      containers: [{{name: app, image: {image}, imagePullPolicy: IfNotPresent}}]
"""


def undeploy(cluster: Cluster, app: str) -> None:
    cluster.kubectl("delete", "deployment", app, "--cascade=foreground")


def test_all_nodes_are_ready_and_their_pods_reach_one_another(three: Cluster) -> None:
    assert ready(three) == dict.fromkeys(NODES, "True")
    assert {name: row[1] for name, row in table(three).items()} == dict.fromkeys(NODES, "Ready")
    for number, node in enumerate(NODES, 1):
        three.kubectl("run", f"p{number}", f"--image={SLEEP}", "--image-pull-policy=IfNotPresent", "--overrides", f'{{"spec":{{"nodeName":"{node}"}}}}')
    three.wait("condition=Ready", "pod/p1", "pod/p2", "pod/p3")
    addresses = three.jsonpath("pods p1 p2 p3", "{.items[*].status.podIP}").split()
    for address in addresses[1:]:
        assert "2 packets received" in three.kubectl("exec", "p1", "--", "ping", "-c", "2", "-i", "0.2", "-W", "2", address).stdout
        subprocess.run([BUSYBOX, "ping", "-c", "1", "-W", "2", address], check=True, capture_output=True)
    host = three.jsonpath("node node-1", "{.status.addresses[0].address}").rpartition(".")[0] + ".1"
    three.kubectl("exec", "p3", "--", "ping", "-c", "1", "-W", "2", host)
    three.kubectl("delete", "pod", "p1", "p2", "p3", "--now")


def test_a_node_is_added_and_removed_again(three: Cluster) -> None:
    """A disruption budget holds it for as long as it wants to, then it goes and leaves nothing."""
    assert "added: node-4" in three.tiffin("node", "add").stdout
    assert ready(three)["node-4"] == "True"
    deploy(three, "spread", 4)
    assert places(three, "spread") == [*NODES, "node-4"], "the new node has the images that were loaded before it came"
    three.kubectl("create", "pdb", "keep", "--selector=app=spread", "--min-available=4")
    eventually("the budget is counted", lambda: three.jsonpath("pdb keep", "{.status.currentHealthy}") == "4")
    held = three.tiffin("node", "rm", "node-4", "--timeout", "2s", check=False)
    assert held.returncode == 1 and "node-4 is cordoned but runs on: still there after 2 s: default/spread-" in held.stderr
    assert "would violate the pod's disruption budget" in held.stderr
    assert table(three)["node-4"][1] == "Ready,SchedulingDisabled"
    three.kubectl("delete", "pdb", "keep")
    three.kubectl("run", "lone", f"--image={SLEEP}", "--overrides", '{"spec":{"nodeName":"node-4","terminationGracePeriodSeconds":0}}')
    lost = three.tiffin("node", "rm", "node-4", check=False)
    assert lost.returncode == 1 and "these pods have no controller and would be lost: default/lone" in lost.stderr
    assert "node-4 is removed; 2 pods were evicted first" in three.tiffin("node", "rm", "node-4", "--force").stdout
    assert set(places(three, "spread")) <= set(NODES) and set(ready(three)) == set(NODES)
    data, layout = three.data_dir, Layout.find(three.name, three.data_dir)
    assert not list(data.glob("**/node-4*")) and not list(data.glob("**/node-node-4*"))
    assert [trace for trace in traces(layout) if "node-4" in trace or layout.node(4).veth in trace] == []
    assert three.jsonpath("leases -n kube-node-lease", "{.items[*].metadata.name}").split() == list(NODES)
    missing = three.tiffin("node", "rm", "node-9", check=False)
    assert (missing.returncode, missing.stderr) == (1, f"tiffin: cluster {three.name} has no node node-9 on this machine; it has: node-1, node-2, node-3\n")
    undeploy(three, "spread")


def test_cordon_drain_uncordon_taint(three: Cluster) -> None:
    deploy(three, "app", 3)
    assert places(three, "app") == list(NODES)
    three.kubectl("cordon", "node-3")
    assert "SchedulingDisabled" in three.get("node", "node-3")
    three.kubectl("drain", "node-3", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s")
    three.wait("condition=Available", "deployment/app")
    assert "node-3" not in places(three, "app") and len(places(three, "app")) == 3
    three.kubectl("uncordon", "node-3")
    three.kubectl("taint", "nodes", "node-2", "gone=fishing:NoExecute")
    eventually("its pods are driven off", lambda: "node-2" not in places(three, "app") and len(places(three, "app")) == 3)
    assert "node-3" in places(three, "app")
    three.kubectl("taint", "nodes", "node-2", "gone-")
    undeploy(three, "app")


def test_what_was_killed_is_missed_and_mended_by_up(three: Cluster) -> None:
    three.kubectl("run", "patient", f"--image={SLEEP}", "--overrides", _PATIENT)
    three.wait("condition=Ready", "pod/patient")
    container = three.jsonpath("pod patient", "{.status.containerStatuses[0].containerID}")
    os.kill(three.pid("node-2-containerd"), signal.SIGKILL)
    eventually("node-2 says so itself", lambda: ready(three)["node-2"] == "False")
    assert "container runtime is down" in three.jsonpath("node node-2", '{.status.conditions[?(@.type=="Ready")].message}')
    os.kill(three.pid("node-2"), signal.SIGKILL)
    eventually("node-2 is silent", lambda: ready(three)["node-2"] == "Unknown")
    assert three.tiffin("status", check=False).returncode == 1
    three.up()
    assert ready(three) == dict.fromkeys(NODES, "True")
    three.wait("condition=Ready", "pod/patient")
    assert three.jsonpath("pod patient", "{.status.containerStatuses[0].containerID}") == container
    three.kubectl("delete", "pod", "patient", "--now")


_PATIENT = '{"spec":{"nodeName":"node-2","tolerations":[{"operator":"Exists"}]}}'


def test_a_power_cut(three: Cluster) -> None:
    """Its pods are replaced elsewhere; it stays off through `up`, and comes back empty when it is started."""
    deploy(three, "web", 3)
    three.kubectl("expose", "deployment", "web", "--port=80")
    eventually("endpoints", lambda: len(three.jsonpath("endpoints web", "{.subsets[*].addresses[*].ip}").split()) == 3)
    address = three.jsonpath("pods -l app=web", '{.items[?(@.spec.nodeName=="node-3")].status.podIP}')
    assert "node-3 is off" in three.tiffin("node", "stop", "node-3").stdout
    layout = Layout.find(three.name, three.data_dir)
    assert [trace for trace in traces(layout) if "node-3" in trace or layout.node(3).veth in trace] == []
    eventually("the grace period is over", lambda: ready(three)["node-3"] == "Unknown")
    eventually("the service drops it", lambda: address not in three.jsonpath("endpoints web", "{.subsets[*].addresses[*].ip}"))
    eventually("its pods are replaced", lambda: len(places(three, "web")) == 3 and "node-3" not in places(three, "web"))
    three.up()
    assert table(three)["node-3"][1] == "stopped" and three.tiffin("status").returncode == 0
    assert "node-3 is on" in three.tiffin("node", "start", "node-3").stdout
    assert ready(three) == dict.fromkeys(NODES, "True")
    eventually("what it had is cleared away", lambda: address not in three.jsonpath("pods", "{.items[*].status.podIP}"))
    three.kubectl("delete", "service", "web")
    undeploy(three, "web")


def test_a_deleted_node_comes_back_while_its_agent_lives(three: Cluster) -> None:
    before = three.jsonpath("node node-2", "{.metadata.uid} {.spec.podCIDR}").split()
    three.kubectl("delete", "node", "node-2")
    eventually("it is registered anew", lambda: ready(three).get("node-2") == "True")
    after = three.jsonpath("node node-2", "{.metadata.uid} {.spec.podCIDR}").split()
    assert after[0] != before[0] and after[1] == before[1]


def test_which_nodes_there_are_is_kept(three: Cluster) -> None:
    """Through `down` and `up`, gaps and stopped nodes too."""
    three.tiffin("node", "rm", "node-1", "--force")
    three.tiffin("node", "stop", "node-3")
    three.tiffin("down", "--grace", "0")
    three.up()
    assert {name: row[1] for name, row in table(three).items()} == {"node-2": "Ready", "node-3": "stopped"}
    three.tiffin("node", "add")
    three.tiffin("node", "start", "node-3")
    assert ready(three) == dict.fromkeys(NODES, "True")
