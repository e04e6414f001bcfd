"""NetworkPolicies in the kernel: between pods of one bridge, from another node, to the name server on the node itself."""
from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.proxy.lab import NODE_IP, POD, POD_2, REMOTE_POD, Lab, ask, lab
from tests.proxy.test_policies import SPACES, pod, policy
from tiffin.machinery.object import Object
from tiffin.proxy import nftables
from tiffin.proxy.ledger import difference
from tiffin.proxy.policies import Policies

pytestmark = [pytest.mark.node, pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="takes root and nft")]

PODS = [pod("web", address=POD), pod("api", address=POD_2), pod("far", "b", REMOTE_POD, "node-2")]


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with lab() as made:
        for where, address in (("pod", POD), ("pod-2", POD_2), ("outside", REMOTE_POD), ("node", NODE_IP)):
            made.serve(where, address)
            made.serve(where, address, kind=socket.SOCK_DGRAM)
        made.program()
        yield made


@pytest.fixture
def follow(net: Lab) -> Iterator[Callable[..., None]]:
    """Puts policies in force on the node, in place of those before."""
    policies = Policies("node-1", [])
    for name, labels in SPACES.items():
        policies.namespace_changed(None, {"metadata": {"name": name, "labels": labels}})
    for each in PODS:
        policies.pod_changed(None, each)
    present: list[Object] = []

    def program(*wanted: Object) -> None:
        for each in present:
            policies.policy_changed(each, None)
        for each in wanted:
            policies.policy_changed(None, each)
        present[:] = wanted
        policies.plan(net.ledger)
        net.nft(nftables.transaction(net.ledger.take()))

    yield program
    program()


def reaches(net: Lab, where: str, address: str, kind: int = socket.SOCK_STREAM) -> bool:
    try:
        return net.call(where, address, 8080, kind)[0] == address
    except TimeoutError:
        return False


def test_pods_of_one_bridge_are_kept_apart(net: Lab, follow: Callable[..., None]) -> None:
    assert reaches(net, "pod", POD_2)
    follow(policy(podSelector={"matchLabels": {"app": "api"}}))
    assert not reaches(net, "pod", POD_2) and not reaches(net, "outside", POD_2)
    assert reaches(net, "pod-2", POD) and reaches(net, "node", POD_2)  # the other way, and from its own node
    follow(policy(podSelector={"matchLabels": {"app": "api"}}, ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]))
    assert reaches(net, "pod", POD_2) and reaches(net, "pod", POD_2, socket.SOCK_DGRAM)


def test_what_a_pod_may_send(net: Lab, follow: Callable[..., None]) -> None:
    follow(policy(podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Egress"]))
    assert not reaches(net, "pod", POD_2) and not reaches(net, "pod", REMOTE_POD)
    assert reaches(net, "pod", NODE_IP)  # its own node
    follow(policy(podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}], "ports": [{"port": 8080}]}]))
    assert reaches(net, "pod", REMOTE_POD) and not reaches(net, "pod", POD_2)
    assert not reaches(net, "pod", REMOTE_POD, socket.SOCK_DGRAM)


def test_a_connection_that_was_let_in_goes_on(net: Lab, follow: Callable[..., None]) -> None:
    with net.caller("pod", socket.SOCK_DGRAM) as caller:
        assert ask(caller, POD_2, 8080)[0] == POD_2
        follow(policy())
        assert ask(caller, POD_2, 8080)[0] == POD_2
    assert not reaches(net, "pod", POD_2, socket.SOCK_DGRAM)


def test_every_kind_of_rule_reads_back_as_it_was_written(net: Lab, follow: Callable[..., None]) -> None:
    peers = [{"podSelector": {}}, {"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.9/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]
    ports = [{"port": 80}, {"port": 80, "endPort": 90, "protocol": "SCTP"}, {"protocol": "UDP"}, {"port": "http"}, {"port": "dns", "protocol": "UDP"}]
    follow(policy(policyTypes=["Ingress", "Egress"], ingress=[{"from": peers, "ports": ports}, {}], egress=[{"to": peers, "ports": ports}, {"ports": ports}]))
    listed = nftables.parsed(net.nft("", "-j", "list", "table", "ip", "tiffin").encode())
    contents = {item: content for item, content in net.ledger.contents().items() if item.family == "ip"}
    actual = nftables.items("ip", listed, contents)
    assert actual is not None
    assert not difference(actual, contents)
