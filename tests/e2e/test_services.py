"""Services between real pods on two nodes: every kind of them, and what happens to callers when endpoints come and go."""
from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Failed, eventually, running
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import SLEEP

pytestmark = needs_nodes

_NODES = ("node-1", "node-2")

#: Answers with the name of the pod; `place` is a node or nothing.
_WHO = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeName: "{place}"
      terminationGracePeriodSeconds: 0
      containers:
      - name: who
        image: {image}
        command: [sh, -c, "mkdir /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{tcpSocket: {{port: http}}, periodSeconds: 1}}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, image_files: dict[str, Path]) -> Iterator[Cluster]:
    """Two nodes; on each a pod that answers (`app=both`, `app=one` and `app=other`), and one that asks."""
    with running(f"svc-{os.getpid()}", tmp_path_factory.mktemp("svc"), "--nodes", "2") as cluster:
        cluster.tiffin("image", "load", str(image_files[SLEEP]))
        _deploy(cluster, "one", "node-1")
        _deploy(cluster, "other", "node-2")
        cluster.kubectl("run", "asker", f"--image={SLEEP}", "--overrides", json.dumps({"spec": {"nodeName": "node-1", "terminationGracePeriodSeconds": 0}}))
        for name in ("one", "other"):
            cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        cluster.wait("condition=Ready", "pod/asker")
        cluster.kubectl("label", "pods", "-l", "app in (one, other)", "both=yes")
        yield cluster


def _deploy(cluster: Cluster, name: str, place: str, replicas: int = 1) -> None:
    cluster.kubectl("apply", "-f", "-", input=_WHO.format(name=name, place=place, replicas=replicas, image=SLEEP))


def _service(cluster: Cluster, name: str, selector: str = "both: 'yes'", spec: str = "", ports: str = "{port: 80, targetPort: http}") -> str:
    """Makes the service anew; its cluster address."""
    cluster.kubectl("delete", "service", name, "--ignore-not-found")
    manifest = f"{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{{selector}}}, ports: [{ports}]{', ' if spec else ''}{spec}}}}}"
    cluster.kubectl("apply", "-f", "-", input=manifest)
    return cluster.jsonpath(f"service {name}", "{.spec.clusterIP}")


def _ask(cluster: Cluster, url: str, times: int = 1, pod: str = "asker") -> list[str]:
    """Who answered each time, asked from inside a pod; a call without an answer is an empty name."""
    script = f"for i in $(seq {times}); do timeout 2 wget -qO- http://{url} || echo; done"
    return cluster.kubectl("exec", pod, "--", "sh", "-c", script, check=False).stdout.split("\n")[:-1]


def _answers(cluster: Cluster, url: str, times: int = 16) -> set[str]:
    """Names without what makes a pod's name unique."""
    return {name.split("-")[0] for name in _ask(cluster, url, times)}


def _fetch(url: str, timeout: float = 2) -> str:
    with urllib.request.urlopen(f"http://{url}", timeout=timeout) as answer:
        return str(answer.read().decode().split("-")[0])


def _address(cluster: Cluster, node: str) -> str:
    return cluster.jsonpath(f"node {node}", "{.status.addresses[0].address}")


def test_the_service_stays_when_its_pod_is_replaced(two: Cluster) -> None:
    _deploy(two, "api", "")
    address = _service(two, "api", "app: api")
    two.kubectl("rollout", "status", "deployment/api", "--timeout=60s")
    eventually("an answer", lambda: _answers(two, "api", 1) == {"api"})
    [before] = _ask(two, address)
    two.kubectl("delete", "pod", before)
    after = eventually("another pod's answer", lambda: (names := _ask(two, address)) and names != [""] and names)
    assert after != [before] and two.jsonpath("service api", "{.spec.clusterIP}") == address
    two.kubectl("delete", "deployment/api", "service/api")


def test_a_call_spreads_over_nodes_and_a_pod_reaches_itself(two: Cluster) -> None:
    address = _service(two, "both")
    assert eventually("both answer", lambda: _answers(two, address) == {"one", "other"})
    one = two.jsonpath("pods -l app=one", "{.items[0].metadata.name}")
    assert {name.split("-")[0] for name in _ask(two, address, 16, one)} == {"one", "other"}


def test_udp(two: Cluster) -> None:
    """To an endpoint that a slice made by hand names: this process, which answers as a name server does, as pods have no other UDP program."""
    host = str(ip_network(f"{_address(two, 'node-1')}/24", strict=False)[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        threading.Thread(target=_name_server, args=(server,), daemon=True).start()
        address = _service(two, "udp", "", ports="{port: 53, protocol: UDP}")
        two.kubectl("apply", "-f", "-", input=_SLICE.format(port=server.getsockname()[1], address=host))
        asked = ("exec", "asker", "--", "nslookup", "-type=a", "somebody.test", address)
        assert eventually("an answer", lambda: "192.0.2.77" in two.kubectl(*asked, check=False).stdout)


_SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: udp-by-hand, labels: {{kubernetes.io/service-name: udp}}}}
addressType: IPv4
ports: [{{name: "", protocol: UDP, port: {port}}}]
endpoints: [{{addresses: ["{address}"]}}]
"""


def _name_server(server: socket.socket) -> None:
    while True:
        try:
            question, client = server.recvfrom(512)
        except OSError:
            return  # the test is over
        answer = bytes.fromhex("c00c00010001000000050004") + socket.inet_aton("192.0.2.77")
        server.sendto(question[:2] + bytes.fromhex("81800001000100000000") + question[12:] + answer, client)


def test_without_endpoints_calls_are_refused_at_once(two: Cluster) -> None:
    address = _service(two, "nobody", "app: nobody")
    for port in (80, 81):
        refused = two.kubectl("exec", "asker", "--", "wget", "-qO-", f"http://{address}:{port}", check=False)
        assert "Connection refused" in refused.stderr
    ping = two.kubectl("exec", "asker", "--", "ping", "-c", "1", "-W", "1", address, check=False)
    assert "100% packet loss" in ping.stdout


def test_node_ports_answer_on_every_node(two: Cluster) -> None:
    _service(two, "port", "app: other", "type: NodePort")
    port = two.jsonpath("service port", "{.spec.ports[0].nodePort}")
    for node in _NODES:
        assert eventually("an answer", lambda node=node: _tried(f"{_address(two, node)}:{port}") == "other")  # type: ignore[misc]
    assert _answers(two, f"{_address(two, 'node-2')}:{port}", 4) == {"other"}


def _tried(url: str, timeout: float = 1) -> str:
    """Who answers, empty when nobody does."""
    try:
        return _fetch(url, timeout)
    except (urllib.error.URLError, OSError):
        return ""


def test_session_affinity(two: Cluster) -> None:
    address = _service(two, "sticky", spec="sessionAffinity: ClientIP")
    eventually("an answer", lambda: _answers(two, address, 1) & {"one", "other"})
    assert len(_answers(two, address, 20)) == 1


def test_internal_policy_local(two: Cluster) -> None:
    address = _service(two, "near", spec="internalTrafficPolicy: Local")
    assert eventually("the near one", lambda: _answers(two, address) == {"one"})


def test_external_policy_local_and_its_health_port(two: Cluster) -> None:
    _service(two, "outer", "app: other", "type: LoadBalancer, externalTrafficPolicy: Local", "{port: 18080, targetPort: http}")
    port = two.jsonpath("service outer", "{.spec.ports[0].nodePort}")
    health = two.jsonpath("service outer", "{.spec.healthCheckNodePort}")
    near, far = _address(two, "node-2"), _address(two, "node-1")
    for each in (port, 18080):
        assert eventually("the node with the endpoint", lambda each=each: _tried(f"{near}:{each}") == "other")  # type: ignore[misc]
        assert _tried(f"{far}:{each}", 0.3) == ""
    assert eventually("the health port", lambda: _health(f"{near}:{health}") == (200, 1))
    assert _health(f"{far}:{health}") == (503, 0)
    two.kubectl("delete", "service", "outer")


def _health(url: str) -> tuple[int, int]:
    try:
        with urllib.request.urlopen(f"http://{url}", timeout=2) as answer:
            return answer.status, json.load(answer)["localEndpoints"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["localEndpoints"]
    except OSError:
        return 0, 0


def test_types_change_there_and_back(two: Cluster) -> None:
    address = _service(two, "change", "app: one")
    eventually("an answer", lambda: _answers(two, address, 1) == {"one"})
    two.kubectl("patch", "service", "change", "--type=merge", "-p", json.dumps({"spec": {"type": "ExternalName", "externalName": "example.com"}}))
    eventually("nobody", lambda: _answers(two, address, 1) == {""})
    two.kubectl("patch", "service", "change", "--type=merge", "-p", json.dumps({"spec": {"type": "ClusterIP", "externalName": None}}))
    eventually("an answer again", lambda: _answers(two, two.jsonpath("service change", "{.spec.clusterIP}"), 1) == {"one"})


def test_traffic_flows_on_without_the_agent(two: Cluster) -> None:
    address = _service(two, "steady", "app: other")
    eventually("an answer", lambda: _answers(two, address, 1) == {"other"})
    port = _service_port(two)
    os.kill(two.pid("node-1"), signal.SIGKILL)
    assert _tried(f"{_address(two, 'node-1')}:{port}") == "other"
    two.up()
    eventually("the agent is back", lambda: _asked(two, address) == {"other"})


def _service_port(cluster: Cluster) -> str:
    _service(cluster, "steady-port", "app: other", "type: NodePort")
    port = cluster.jsonpath("service steady-port", "{.spec.ports[0].nodePort}")
    eventually("an answer", lambda: _tried(f"{_address(cluster, 'node-1')}:{port}") == "other")
    return port


def _asked(cluster: Cluster, address: str) -> set[str]:
    try:
        return _answers(cluster, address, 1)
    except Failed:
        return set()
