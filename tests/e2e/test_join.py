"""Machines that join a cluster: two network namespaces on one link stand for them, with nothing of the cluster in them before.

    this machine ── bridge 198.18.N.1 ──┬── host-1 198.18.N.2
                                        └── host-2 198.18.N.3
"""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.cluster import TIFFIN, Cluster, eventually, running
from tests.e2e.conftest import needs_nodes
from tests.e2e.images import BUSYBOX, SLEEP
from tests.e2e.machine import traces
from tiffin.cluster import netns
from tiffin.cluster.layout import Layout

pytestmark = needs_nodes

SLOT = os.getpid() % 250
NETWORK = f"198.18.{SLOT}"
BRIDGE = f"tfj{SLOT}"


class Host:
    """A machine of its own, but for disk and processes."""

    def __init__(self, number: int, directory: Path) -> None:
        self.number, self.directory = number, directory
        self.address = f"{NETWORK}.{number + 1}"
        self.node = f"host-{number}"
        self.namespace = f"{BRIDGE}-{number}"
        self.data_dir = directory / self.node

    @property
    def layout(self) -> Layout:
        return Layout.find(f"joined-{self.number}", self.data_dir)

    def make(self) -> None:
        from pyroute2.iproute.linux import IPRoute

        path = netns.create(self.namespace)
        with IPRoute() as ip, open(path) as handle:
            ip.link("add", ifname=f"{BRIDGE}v{self.number}", kind="veth", peer={"ifname": "eth0", "net_ns_fd": handle.fileno()})
            bridge = ip.link_lookup(ifname=BRIDGE)[0]
            ip.link("set", index=ip.link_lookup(ifname=f"{BRIDGE}v{self.number}")[0], master=bridge, state="up")
        netns.inside(path, self._configure)

    def _configure(self) -> None:
        from pyroute2.iproute.linux import IPRoute

        with IPRoute() as ip:
            ip.link("set", index=1, state="up")
            eth0 = ip.link_lookup(ifname="eth0")[0]
            ip.addr("add", index=eth0, address=self.address, prefixlen=24)
            ip.link("set", index=eth0, state="up")
            ip.route("add", dst="default", gateway=f"{NETWORK}.1")

    def tiffin(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`tiffin ARGUMENTS` on that machine."""
        action = [*arguments, "--name", self.layout.name, "--data-dir", str(self.data_dir)]
        environment = {**os.environ, "HOME": str(self.directory)}

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run([*TIFFIN, *action], env=environment, text=True, capture_output=True, check=False, timeout=120)

        result = netns.inside(netns.NAMESPACES / self.namespace, run)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def join(self, command: Sequence[str], *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command that `tiffin token join` printed, given there."""
        return self.tiffin(*command[1:], "--node-name", self.node, *more, check=check)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    from pyroute2.iproute.linux import IPRoute

    made = [Host(number, tmp_path_factory.mktemp("hosts")) for number in (1, 2)]
    with IPRoute() as ip:
        ip.link("add", ifname=BRIDGE, kind="bridge")
        index = ip.link_lookup(ifname=BRIDGE)[0]
        ip.addr("add", index=index, address=f"{NETWORK}.1", prefixlen=24)
        ip.link("set", index=index, state="up")
        try:
            for host in made:
                host.make()
            yield made
        finally:
            for host in made:
                if host.data_dir.exists():
                    host.tiffin("leave", "--force", "--timeout", "1s", check=False)
                netns.remove(host.namespace)
            ip.link("del", index=index)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, hosts: list[Host], image_files: dict[str, Path]) -> Iterator[Cluster]:
    with running(f"join-{os.getpid()}", tmp_path_factory.mktemp("server"), "--listen", f"{NETWORK}.1", "--node-monitor-grace-period", "4s") as cluster:
        cluster.tiffin("image", "load", str(image_files[SLEEP]))
        yield cluster


def command(server: Cluster, *options: str) -> list[str]:
    return server.tiffin("token", "join", *options).stdout.split()


def altered(words: list[str], option: str, value: str) -> list[str]:
    at = words.index(option) + 1
    return [*words[:at], value, *words[at + 1 :]]


def test_strangers_are_refused(server: Cluster, hosts: list[Host]) -> None:
    """Each with its reason, and nothing remains of the attempt."""
    good = command(server)
    token = good[good.index("--token") + 1]
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    for attempt, reason in (
        (altered(good, "--token", forged), "not signed with this token"),
        (altered(good, "--token", "abcdef.0123456789abcdef"), "the server knows no token abcdef that may sign"),
        (altered(good, "--discovery-token-ca-cert-hash", f"sha256:{'0' * 64}"), "the cluster's certificate authority is another"),
        (altered(good, "--token", "nonsense"), "the token is not of the form"),
        (command(server, "--usages", "signing"), "does not accept the token for authentication"),
        (command(server, "--usages", "authentication"), "knows no token"),
        ([*good[:2], good[2].rpartition(":")[0] + ":1", *good[3:]], "does not answer"),
    ):
        result = hosts[0].join(attempt, check=False)
        assert result.returncode == 1 and reason in result.stderr, (attempt, result.stderr)
        assert not hosts[0].data_dir.exists()
    taken = hosts[0].join(good, "--node-name", "node-1", check=False)
    assert "the certificate request was denied: node node-1 exists and is Ready" in taken.stderr
    server.tiffin("token", "delete", token)
    assert "knows no token" in hosts[0].join(good, check=False).stderr
    short = command(server, "--ttl", "1s")
    id = short[short.index("--token") + 1].partition(".")[0]
    eventually("an expired token is cleared away", lambda: id not in server.tiffin("token", "list").stdout)
    assert "knows no token" in hosts[0].join(short, check=False).stderr


def test_pods_of_all_machines_reach_one_another(server: Cluster, hosts: list[Host], image_files: dict[str, Path]) -> None:
    words = command(server)
    for host in hosts:
        assert f"{host.node} ({host.address}) has joined the cluster" in host.join(words).stdout
        host.tiffin("image", "load", str(image_files[SLEEP]))
    again = hosts[0].join(words, check=False)
    assert again.returncode == 1 and "has joined a cluster" in again.stderr
    nodes = ["node-1", *(host.node for host in hosts)]
    assert server.jsonpath("nodes", "{.items[*].metadata.name}").split() == sorted(nodes)
    for number, node in enumerate(nodes):
        server.kubectl("run", f"p{number}", f"--image={SLEEP}", "--image-pull-policy=IfNotPresent", "--overrides", _ON.format(node=node))
    pods = [f"p{number}" for number in range(len(nodes))]
    server.wait("condition=Ready", *(f"pod/{pod}" for pod in pods))
    addresses = server.jsonpath(f"pods {' '.join(pods)}", "{.items[*].status.podIP}").split()
    for address in addresses:
        for pod in pods:
            eventually(f"{pod} reaches {address}", lambda pod=pod, address=address: _ping(server, pod, address), 10)  # type: ignore[misc]
        subprocess.run([BUSYBOX, "ping", "-c", "1", "-W", "2", address], check=True, capture_output=True)
    assert "10.96.0.1" in server.kubectl("exec", "p1", "--", "nslookup", "kubernetes.default.svc.cluster.local").stdout
    server.kubectl("exec", "p2", "--", "sh", "-c", "echo | nc -w 2 10.96.0.1 443")
    assert server.kubectl("exec", "p2", "--", "hostname").stdout.strip() == "p2", "the server trusts the node's serving certificate"


_ON = '{{"spec":{{"nodeName":"{node}","terminationGracePeriodSeconds":0,"tolerations":[{{"operator":"Exists"}}]}}}}'


def _ping(server: Cluster, pod: str, address: str) -> bool:
    return server.kubectl("exec", pod, "--", "ping", "-c", "1", "-W", "1", address, check=False).returncode == 0


def test_up_brings_a_joined_machine_back(server: Cluster, hosts: list[Host]) -> None:
    """As after a reboot; no token is asked for."""
    import orjson

    for daemon in (hosts[1].node, f"{hosts[1].node}-containerd"):
        os.kill(orjson.loads((hosts[1].data_dir / "pids" / f"{daemon}.pid").read_bytes())["pid"], 9)
    path = '{.status.conditions[?(@.type=="Ready")].status}'
    eventually("it is missed", lambda: server.jsonpath(f"node {hosts[1].node}", path) == "Unknown")
    assert f"{hosts[1].node} is a node of the cluster" in hosts[1].tiffin("up").stdout
    assert server.jsonpath(f"node {hosts[1].node}", path) == "True"
    assert f"{hosts[1].node}   Ready" in hosts[1].tiffin("status").stdout
    assert "to remove everything of it: tiffin leave" in hosts[1].tiffin("down", "--purge", check=False).stderr
    assert "comes back with: tiffin up" in hosts[1].tiffin("down", "--grace", "0").stdout
    assert traces(hosts[1].layout) == [] and hosts[1].tiffin("status", check=False).returncode == 1
    hosts[1].tiffin("up")
    assert hosts[1].tiffin("status").returncode == 0


def test_leaving(server: Cluster, hosts: list[Host]) -> None:
    """The first goes as it should, the second without a word, and the cluster is told to forget it."""
    occupied = hosts[0].tiffin("leave", check=False)
    assert occupied.returncode == 1 and "these pods have no controller and would be lost: default/p1" in occupied.stderr
    server.kubectl("delete", "pod", "p1", "--now")
    layout = hosts[0].layout
    assert "has left the cluster" in hosts[0].tiffin("leave").stdout
    assert hosts[0].node not in server.jsonpath("nodes", "{.items[*].metadata.name}").split()
    assert not hosts[0].data_dir.exists() and traces(layout) == []
    running_there = server.tiffin("node", "rm", hosts[1].node, check=False)
    assert running_there.returncode == 1 and "there, give: tiffin leave" in running_there.stderr
    eventually("only the other's range is routed", lambda: _routes() == {server.jsonpath(f"node {hosts[1].node}", "{.spec.podCIDR}")})
    hosts[1].tiffin("leave", "--force", "--timeout", "1s")
    assert hosts[1].node not in server.jsonpath("nodes", "{.items[*].metadata.name}").split()
    eventually("no range is routed", lambda: not _routes())


def _routes() -> set[str]:
    """Ranges of pods that this machine reaches by way of the test's hosts."""
    from pyroute2.iproute.linux import IPRoute

    with IPRoute() as ip:
        routes = [route for route in ip.get_routes(family=2) if str(route.get("gateway")).startswith(f"{NETWORK}.")]
        return {f"{route.get('dst')}/{route['dst_len']}" for route in routes}
