"""Names in real pods of a real node: what the resolvers of busybox and the C library get to see."""
from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.images import SLEEP
from tiffin.cluster import resolver
from tiffin.cluster.layout import Layout
from tiffin.cluster.state import load_state

NAMESPACE, OTHER = "names", "elsewhere"
DNS = "10.96.0.10"

_POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: {image}}}]
  {more}
---
"""

_OBJECTS = f"""
apiVersion: v1
kind: Service
metadata: {{name: sleep-2}}
spec: {{selector: {{app: sleep-2}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: away}}
spec: {{type: ExternalName, externalName: www.example.com}}
---
apiVersion: v1
kind: Service
metadata: {{name: alias}}
spec: {{type: ExternalName, externalName: api.{OTHER}.svc.cluster.local}}
---
apiVersion: v1
kind: Service
metadata: {{name: peers}}
spec: {{clusterIP: None, selector: {{app: peer}}, ports: [{{name: peer, port: 7000}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: peer}}
spec:
  serviceName: peers
  replicas: 2
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: peer}}}}
  template:
    metadata: {{labels: {{app: peer}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: {SLEEP}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: manual}}
spec: {{clusterIP: None, ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: manual-1, labels: {{kubernetes.io/service-name: manual}}}}
addressType: IPv4
endpoints: [{{addresses: [192.0.2.7]}}, {{addresses: [192.0.2.8], hostname: eight}}, {{addresses: [192.0.2.9], conditions: {{ready: false}}}}]
ports: [{{port: 80}}]
---
"""
_PODS = {
    "asker": "",
    "default": "dnsPolicy: Default",
    "none": "dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.53], searches: [lan], options: [{name: ndots, value: '2'}, {name: edns0}]}",
    "added": "dnsConfig: {nameservers: [192.0.2.53], searches: [lan], options: [{name: ndots, value: '2'}]}",
    "host": "hostNetwork: true",
    "host-cluster": "hostNetwork: true\n  dnsPolicy: ClusterFirstWithHostNet",
}


@pytest.fixture(scope="module")
def names(session_cluster: Cluster) -> Iterator[Cluster]:
    """The shared cluster with all of the above in it."""
    cluster = session_cluster.through("", NAMESPACE)
    for namespace in (NAMESPACE, OTHER):
        cluster.kubectl("create", "namespace", namespace)
    cluster.through("", OTHER).kubectl("create", "service", "clusterip", "api", "--tcp=80")
    cluster.kubectl("apply", "-f", "-", input=_OBJECTS + "".join(_POD.format(name=name, image=SLEEP, more=more) for name, more in _PODS.items()))
    cluster.wait("condition=Ready", "pod", "--all")
    cluster.kubectl("rollout", "status", "statefulset/peer", "--timeout=60s")
    yield cluster
    for namespace in (NAMESPACE, OTHER):
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def look_up(cluster: Cluster, name: str, *, type: str = "a", pod: str = "asker") -> str:
    """What busybox' nslookup prints after the server's address."""
    printed = cluster.kubectl("exec", pod, "--", "nslookup", *([f"-type={type}"] if type else []), name, check=False).stdout
    return printed.partition("\n\n")[2]


def addresses(cluster: Cluster, name: str, *, pod: str = "asker") -> list[str]:
    return sorted(re.findall(r"^Address: (.*)$", look_up(cluster, name, pod=pod), re.M))


def libc(cluster: Cluster, *names: str, pod: str = "asker") -> list[str]:
    """The addresses that the C library finds, by way of the search list; empty where it finds none. ping tells, whether or not it is answered."""
    script = f"for name in {' '.join(names)}; do ping -c 1 -W 1 $name 2>&1 & done; wait"
    printed = cluster.kubectl("exec", pod, "--", "sh", "-c", script, check=False).stdout
    found = dict(re.findall(r"^PING (\S+) \(([^)]+)\)", printed, re.M))
    return [found.get(name, "") for name in names]


def address_of(cluster: Cluster, service: str, namespace: str = NAMESPACE) -> str:
    return cluster.through("", namespace).jsonpath(f"service {service}", "{.spec.clusterIP}")


def pod_address(cluster: Cluster, name: str) -> str:
    return cluster.jsonpath(f"pod {name}", "{.status.podIP}")


def test_services(names: Cluster) -> None:
    own, other = address_of(names, "sleep-2"), address_of(names, "api", OTHER)
    written = ["sleep-2", f"sleep-2.{NAMESPACE}", f"sleep-2.{NAMESPACE}.svc", f"sleep-2.{NAMESPACE}.svc.cluster.local", f"sleep-2.{NAMESPACE}.svc.cluster.local."]
    assert libc(names, *written) == [own] * 5
    assert addresses(names, "sleep-2") == addresses(names, f"sleep-2.{NAMESPACE}.svc.cluster.local") == [own]
    assert libc(names, f"api.{OTHER}", f"API.{OTHER}.svc", "api.default", "api") == [other, other, "", ""]
    assert f"service = 0 100 80 sleep-2.{NAMESPACE}.svc.cluster.local" in look_up(names, f"_http._tcp.sleep-2.{NAMESPACE}.svc.cluster.local", type="srv")
    assert f"name = sleep-2.{NAMESPACE}.svc.cluster.local" in look_up(names, own, type="")
    assert '"1.1.0"' in look_up(names, "dns-version.cluster.local", type="txt")
    assert "NXDOMAIN" in look_up(names, f"gone.{NAMESPACE}.svc.cluster.local")


def test_a_service_is_known_at_once(names: Cluster) -> None:
    names.kubectl("create", "service", "clusterip", "fresh", "--tcp=80")
    assert addresses(names, "fresh") == [address_of(names, "fresh")]
    names.kubectl("delete", "service", "fresh")
    eventually("the name is gone", lambda: not addresses(names, "fresh"))


def test_headless_services(names: Cluster) -> None:
    peers = sorted(pod_address(names, f"peer-{n}") for n in range(2))
    eventually("both peers are known", lambda: addresses(names, "peers") == peers)
    assert libc(names, "peer-0.peers", "peer-1.peers") == [pod_address(names, f"peer-{n}") for n in range(2)]
    assert f"name = peer-0.peers.{NAMESPACE}.svc.cluster.local" in look_up(names, pod_address(names, "peer-0"), type="")
    targets = look_up(names, f"_peer._tcp.peers.{NAMESPACE}.svc.cluster.local", type="srv")
    assert all(f"service = 0 50 7000 peer-{n}.peers.{NAMESPACE}.svc.cluster.local" in targets for n in range(2))
    assert libc(names, "peer-0.peers", pod="peer-1") == [pod_address(names, "peer-0")]
    assert names.kubectl("exec", "peer-0", "--", "hostname", "-f").stdout.strip() == f"peer-0.peers.{NAMESPACE}.svc.cluster.local"
    assert addresses(names, "manual") == ["192.0.2.7", "192.0.2.8"]
    assert libc(names, "eight.manual", "192-0-2-7.manual", "192-0-2-9.manual") == ["192.0.2.8", "192.0.2.7", ""]


def test_pods(names: Cluster) -> None:
    ip = pod_address(names, "asker")
    dashed = ip.replace(".", "-")
    assert libc(names, f"{dashed}.{NAMESPACE}.pod", f"{dashed}.no-such-namespace.pod") == [ip, ""]


def test_resolv_conf(names: Cluster) -> None:
    """By dnsPolicy and dnsConfig."""
    ours = f"{NAMESPACE}.svc.cluster.local svc.cluster.local cluster.local"
    host = resolver.reachable_file().read_text()
    hosts = resolver.servers(resolver.reachable_file())[:3]

    def lines(pod: str) -> dict[str, str]:
        text = names.kubectl("exec", pod, "--", "cat", "/etc/resolv.conf").stdout
        found: dict[str, str] = {}
        for key, _, value in (line.partition(" ") for line in text.splitlines()):
            found[key] = f"{found[key]} {value}" if key in found else value
        return found

    asker = lines("asker")
    assert (asker["nameserver"], asker["options"]) == (DNS, "ndots:5") and asker["search"].startswith(ours)
    assert lines("host-cluster") == asker
    for pod in ("default", "host"):
        assert lines(pod).get("nameserver", "").split() == hosts and lines(pod).get("search", "") in host
    assert lines("none") == {"nameserver": "192.0.2.53", "search": "lan", "options": "ndots:2 edns0"}
    added = lines("added")
    assert (added["nameserver"], added["options"]) == (f"{DNS} 192.0.2.53", "ndots:2") and added["search"].startswith(ours) and added["search"].endswith(" lan")


def test_pods_on_the_nodes_network(names: Cluster) -> None:
    assert addresses(names, "sleep-2", pod="host-cluster") == [address_of(names, "sleep-2")]


def test_names_elsewhere(names: Cluster) -> None:
    """Forwarded to a name server of the test's own, in the place of the machine's."""
    with name_server(names) as asked:
        assert libc(names, "www.example.com", "away") == ["192.0.2.80"] * 2
        assert addresses(names, "www.example.com") == ["192.0.2.80"]
        assert asked.count("www.example.com A") == 1
        assert not [question for question in asked if "cluster.local" in question]
        printed = look_up(names, f"away.{NAMESPACE}.svc.cluster.local")
        assert f"away.{NAMESPACE}.svc.cluster.local\tcanonical name = www.example.com" in printed and "Address: 192.0.2.80" in printed
        assert "NXDOMAIN" in look_up(names, "gone.example.com")
    assert libc(names, "alias") == [address_of(names, "api", OTHER)]


def test_over_tcp(names: Cluster) -> None:
    """From the node itself, as its programs may ask, too."""
    script = f"import dns.message, dns.query\nprint(dns.query.tcp(dns.message.make_query('sleep-2.{NAMESPACE}.svc.cluster.local', 'A'), '{DNS}', 5).answer[0][0])"
    namespace = Path("/run/netns") / Layout.find(names.name, names.data_dir).node(1).netns
    found = subprocess.run(["nsenter", f"--net={namespace}", sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == address_of(names, "sleep-2")


def test_metrics(names: Cluster) -> None:
    assert addresses(names, "sleep-2")
    node = names.jsonpath("nodes", "{.items[0].metadata.name}")
    assert re.search(r'tiffin_dns_requests_total\{proto="udp",type="A",rcode="NOERROR",zone="cluster"\} \d+', names.get("--raw", f"/api/v1/nodes/{node}/proxy/metrics"))


@contextmanager
def name_server(cluster: Cluster) -> Iterator[list[str]]:
    """Gives the questions that come. What the node's agent sends to any name server arrives at the test's, through the node's own nftables."""
    layout = Layout.find(cluster.name, cluster.data_dir)
    node = layout.node(1)
    state = load_state(layout.state_file)
    assert state
    gateway = str(ip_network(state.node_network)[1])
    asked: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((gateway, 0))
        threading.Thread(target=_serve, args=(server, asked), daemon=True).start()
        rules = f"""table ip test_dns {{
            chain output {{
                type nat hook output priority -150
                ip daddr != {DNS} udp dport 53 dnat to {gateway}:{server.getsockname()[1]}
            }}
        }}"""
        inside = ["nsenter", f"--net={Path('/run/netns') / node.netns}", "nft"]
        subprocess.run([*inside, "-f", "-"], input=rules, text=True, check=True)
        try:
            yield asked
        finally:
            subprocess.run([*inside, "delete", "table", "ip", "test_dns"], check=True)
            server.sendto(b"", server.getsockname())


def _serve(server: socket.socket, asked: list[str]) -> None:
    while True:
        data, source = server.recvfrom(2048)
        if not data:
            return
        query = dns.message.from_wire(data)
        question = query.question[0]
        asked.append(f"{question.name.to_text(True)} {dns.rdatatype.to_text(question.rdtype)}")
        made = dns.message.make_response(query, recursion_available=True)
        exists = asked[-1].startswith("www.example.com ")
        made.set_rcode(dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
        if exists and question.rdtype == dns.rdatatype.A:
            made.answer = [dns.rrset.from_text(question.name, 60, "IN", "A", "192.0.2.80")]
        server.sendto(made.to_wire(), source)
