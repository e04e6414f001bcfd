"""The chapter "connecting pods over the network with services" of a Kubernetes book, command by command, on one node and on three."""
from __future__ import annotations

import itertools
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually, free_port, running
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import NUMBERS_API, NUMBERS_WEB, SLEEP

pytestmark = needs_nodes

_numbers = itertools.count(1)
_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, labels: {{kiamol: ch03}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: app, image: {image}, imagePullPolicy: IfNotPresent}}]
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  {spec}
"""


@pytest.fixture(scope="module", params=[1, 3], ids=["one node", "three nodes"])
def nodes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, image_files: dict[str, Path]) -> Iterator[Cluster]:
    with running(f"net{request.param}-{os.getpid()}", tmp_path_factory.mktemp("net"), "--nodes", str(request.param)) as cluster:
        cluster.tiffin("image", "load", *(str(image_files[name]) for name in (SLEEP, NUMBERS_API, NUMBERS_WEB)))
        yield cluster


@pytest.fixture
def book(nodes: Cluster) -> Iterator[Cluster]:
    """The cluster, in a namespace of the test's own."""
    namespace = f"ch03-{next(_numbers)}"
    nodes.kubectl("create", "namespace", namespace)
    yield nodes.through(nodes.kubectl_command()[0], namespace)
    nodes.kubectl("delete", "namespace", namespace, "--wait=false")


def deploy(book: Cluster, name: str, image: str = SLEEP, replicas: int = 1) -> None:
    book.kubectl("apply", "-f", "-", input=_DEPLOYMENT.format(name=name, image=image, replicas=replicas))
    book.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")


def serve(book: Cluster, name: str, spec: str) -> None:
    book.kubectl("apply", "-f", "-", input=_SERVICE.format(name=name, spec=spec))


def address(book: Cluster, app: str) -> str:
    return book.jsonpath(f"pods -l app={app}", "{.items[0].status.podIP}")


def run(book: Cluster, deployment: str, *command: str) -> str:
    """What a command prints inside a pod; errors count as silence."""
    return book.kubectl("exec", f"deploy/{deployment}", "--", *command, check=False).stdout


def resolved(book: Cluster, name: str) -> list[str]:
    """The addresses that a pod finds under a name."""
    shown = run(book, "sleep-1", "nslookup", name).partition("\n\n")[2]
    return re.findall(r"^Address: (\S+)$", shown, re.MULTILINE)


def found(book: Cluster, name: str) -> str:
    """The address a pod finds under a name as programs do, search list and all; busybox' nslookup leaves that out for names with dots."""
    match = re.search(r"^PING \S+ \((\S+)\)", run(book, "sleep-1", "ping", "-c", "1", "-W", "1", name))
    return match[1] if match else ""


def test_pods_reach_one_another_by_address(book: Cluster) -> None:
    deploy(book, "sleep-1")
    deploy(book, "sleep-2", replicas=3)
    for target in book.jsonpath("pods -l app=sleep-2", "{.items[*].status.podIP}").split():
        assert "2 packets received" in run(book, "sleep-1", "ping", "-c", "2", "-W", "2", target)
    before = address(book, "sleep-2")
    book.kubectl("delete", "pods", "-l", "app=sleep-2", "--now")
    book.kubectl("rollout", "status", "deployment/sleep-2")
    eventually("the new pods have addresses of their own", lambda: address(book, "sleep-2") not in ("", before))


def test_a_service_gives_a_name_that_stays(book: Cluster) -> None:
    deploy(book, "sleep-1")
    deploy(book, "sleep-2")
    assert resolved(book, "sleep-2") == []
    serve(book, "sleep-2", "selector: {app: sleep-2}\n  ports: [{port: 80}]")
    virtual = book.jsonpath("svc sleep-2", "{.spec.clusterIP}")
    for name in ("sleep-2", f"sleep-2.{book.namespace}", f"sleep-2.{book.namespace}.svc.cluster.local"):
        assert found(book, name) == virtual
    assert "0 packets received" in run(book, "sleep-1", "ping", "-c", "1", "-W", "1", "sleep-2")
    assert book.jsonpath("endpoints sleep-2", "{.subsets[0].addresses[0].ip}") == address(book, "sleep-2")
    book.kubectl("delete", "deployment", "sleep-2")
    eventually("the endpoints are gone", lambda: "<none>" in book.get("endpoints", "sleep-2"))
    assert resolved(book, "sleep-2") == [virtual], "the service lives longer than what it selects"


def test_the_web_goes_on_when_its_api_is_replaced(book: Cluster) -> None:
    deploy(book, "numbers-api", NUMBERS_API)
    deploy(book, "numbers-web", NUMBERS_WEB)
    ask = ("wget", "-qO-", "http://localhost/cgi-bin/go")
    assert run(book, "numbers-web", *ask) == "RNG service unavailable!\n"
    serve(book, "numbers-api", "selector: {app: numbers-api}\n  ports: [{port: 80}]")
    eventually("the web finds its api", lambda: "Here it is:" in run(book, "numbers-web", *ask), 10)
    virtual, before = book.jsonpath("svc numbers-api", "{.spec.clusterIP}"), address(book, "numbers-api")
    book.kubectl("delete", "pod", "-l", "app=numbers-api", "--now")
    book.kubectl("rollout", "status", "deployment/numbers-api")
    eventually("the web finds its new api", lambda: "Here it is:" in run(book, "numbers-web", *ask), 10)
    assert book.jsonpath("svc numbers-api", "{.spec.clusterIP}") == virtual and address(book, "numbers-api") != before


def test_traffic_comes_in_from_outside(book: Cluster) -> None:
    deploy(book, "numbers-web", NUMBERS_WEB)
    port = free_port()
    serve(book, "numbers-web", f"type: LoadBalancer\n  selector: {{app: numbers-web}}\n  ports: [{{port: {port}, targetPort: 80}}]")
    outside = eventually("the service has an address outside", lambda: book.jsonpath("svc numbers-web", "{.status.loadBalancer.ingress[0].*}"))
    places = [outside, "localhost", *book.jsonpath("nodes", "{.items[*].status.addresses[?(@.type==\"InternalIP\")].address}").split()]
    for place in places:
        assert "Random Number Generator" in fetched(f"http://{place}:{port}")
    serve(book, "numbers-web", "type: NodePort\n  selector: {app: numbers-web}\n  ports: [{port: 8080, targetPort: 80}]")
    number = book.jsonpath("svc numbers-web", "{.spec.ports[0].nodePort}")
    eventually("the load balancer lets go of its port", lambda: not fetched(f"http://localhost:{port}"), 10)
    for place in places[2:]:
        eventually("the node port answers", lambda place=place: "Random Number Generator" in fetched(f"http://{place}:{number}"), 5)  # type: ignore[misc]
    assert book.jsonpath("svc numbers-web", "{.status.loadBalancer}") == "{}"


def fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_two_services_that_want_one_port(book: Cluster) -> None:
    port = free_port()
    for name in ("first", "second"):
        serve(book, name, f"type: LoadBalancer\n  selector: {{app: none}}\n  ports: [{{port: {port}}}]")
        if name == "first":
            eventually("it has an address", lambda: book.jsonpath("svc first", "{.status.loadBalancer.ingress[0].*}"))
    said = eventually("it is said why", lambda: book.jsonpath("events --field-selector involvedObject.name=second,type=Warning", "{.items[0].message}"))
    assert str(port) in said and "first" in said
    assert "<pending>" in book.get("svc", "second")
    book.kubectl("delete", "svc", "first")
    eventually("it gets its turn", lambda: book.jsonpath("svc second", "{.status.loadBalancer.ingress[0].*}"))


def test_a_name_for_something_elsewhere(book: Cluster) -> None:
    deploy(book, "sleep-1")
    serve(book, "numbers-api", "type: ExternalName\n  externalName: kubernetes.default.svc.cluster.local")
    shown = run(book, "sleep-1", "nslookup", f"numbers-api.{book.namespace}.svc.cluster.local")
    assert "canonical name = kubernetes.default.svc.cluster.local" in shown
    assert "kubernetes.default.svc.cluster.local" in book.get("svc", "numbers-api")
    serve(book, "numbers-api", "type: ClusterIP\n  externalName: null\n  selector: {app: sleep-1}\n  ports: [{port: 80}]")
    virtual = book.jsonpath("svc numbers-api", "{.spec.clusterIP}")
    eventually("the name is the service's own", lambda: resolved(book, "numbers-api") == [virtual], 10)


def test_addresses_of_ones_own_behind_a_headless_service(book: Cluster) -> None:
    deploy(book, "sleep-1")
    deploy(book, "numbers-api", NUMBERS_API)
    target = address(book, "numbers-api")
    serve(book, "by-hand", "type: ClusterIP\n  ports: [{port: 8080, targetPort: 80}]")
    endpoints = f"{{apiVersion: v1, kind: Endpoints, metadata: {{name: by-hand}}, subsets: [{{addresses: [{{ip: {target}}}], ports: [{{port: 80}}]}}]}}"
    book.kubectl("apply", "-f", "-", input=endpoints)
    eventually("it answers", lambda: run(book, "sleep-1", "wget", "-qO-", "http://by-hand:8080/cgi-bin/rng").strip().isdigit(), 10)
    assert "endpointslicemirroring-controller" in book.get("endpointslices", "-l", "kubernetes.io/service-name=by-hand", "-o", "yaml")
    deploy(book, "many", replicas=3)
    serve(book, "many", "clusterIP: None\n  selector: {app: many}")
    wanted = set(book.jsonpath("pods -l app=many", "{.items[*].status.podIP}").split())
    eventually("one address for each pod", lambda: set(resolved(book, "many")) == wanted, 10)


def test_names_and_numbers_of_other_namespaces(book: Cluster) -> None:
    deploy(book, "sleep-1")
    assert resolved(book, "kube-dns.kube-system.svc.cluster.local") == [book.through(book.kubectl_command()[0], "kube-system").jsonpath("svc kube-dns", "{.spec.clusterIP}")]
    assert found(book, "kubernetes.default") == "10.96.0.1"
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1" in run(book, "sleep-1", "env")
    assert "reached" in run(book, "sleep-1", "sh", "-c", "nc -w 2 kubernetes.default 443 </dev/null && echo reached")


def test_a_service_and_a_pod_through_the_api_server(book: Cluster) -> None:
    deploy(book, "numbers-api", NUMBERS_API)
    serve(book, "numbers-api", "selector: {app: numbers-api}\n  ports: [{name: http, port: 80}]")
    eventually("it has endpoints", lambda: book.jsonpath("endpoints numbers-api", "{.subsets[0].addresses[0].ip}"))
    root = f"/api/v1/namespaces/{book.namespace}"
    pod = book.jsonpath("pods -l app=numbers-api", "{.items[0].metadata.name}")
    for path in (f"{root}/services/numbers-api:http/proxy/cgi-bin/rng", f"{root}/services/numbers-api:80/proxy/cgi-bin/rng", f"{root}/pods/{pod}:80/proxy/cgi-bin/rng"):
        assert book.get("--raw", path).strip().isdigit(), path


POLICIES = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: api}}
spec:
  podSelector: {{matchLabels: {{app: numbers-api}}}}
  ingress:
  - from: [{{podSelector: {{matchLabels: {{app: {allowed}}}}}}}]
    ports: [{{port: 80}}]
"""


def test_policies_say_who_may_ask(book: Cluster) -> None:
    deploy(book, "numbers-api", NUMBERS_API, replicas=3)
    deploy(book, "sleep-1")
    deploy(book, "sleep-2")
    serve(book, "numbers-api", "selector: {app: numbers-api}\n  ports: [{port: 80}]")
    ask = ("timeout", "1", "wget", "-qO-", "http://numbers-api/cgi-bin/rng")
    eventually("everybody may", lambda: run(book, "sleep-2", *ask).strip().isdigit(), 10)
    book.kubectl("apply", "-f", "-", input=POLICIES.format(allowed="sleep-1"))
    eventually("nobody else may", lambda: run(book, "sleep-2", *ask) == "", 10)
    assert all(run(book, "sleep-1", *ask).strip().isdigit() for _ in range(6))
    assert not any(run(book, "sleep-2", *ask) for _ in range(3))
    book.kubectl("apply", "-f", "-", input=POLICIES.format(allowed="sleep-2"))
    eventually("it is the other's turn", lambda: run(book, "sleep-2", *ask).strip().isdigit() and not run(book, "sleep-1", *ask), 10)
    deny = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out}, spec: {podSelector: {matchLabels: {app: sleep-2}}, policyTypes: [Egress]}}"
    book.kubectl("apply", "-f", "-", input=deny)
    eventually("not even names are found", lambda: "Name:" not in run(book, "sleep-2", "timeout", "1", "nslookup", "numbers-api"), 10)
    book.kubectl("delete", "networkpolicies", "--all")
    eventually("all is as before", lambda: run(book, "sleep-1", *ask).strip().isdigit() and run(book, "sleep-2", *ask).strip().isdigit(), 10)
