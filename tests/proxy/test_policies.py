"""NetworkPolicies: what their rules let pass is what Kubernetes says they let pass."""
from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.machinery.object import Object
from tiffin.machinery.selectors import from_label_selector
from tiffin.proxy.ledger import CHAIN, ELEMENT, Ledger
from tiffin.proxy.policies import Policies

SPACES = {"a": {"team": "x"}, "b": {"team": "y"}, "kube-system": {"kubernetes.io/metadata.name": "kube-system"}}
DNS = "10.96.0.10"


def pod(name: str, namespace: str = "a", address: str = "10.244.1.5", node: str = "node-1", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    ports = [{"name": "http", "containerPort": 8080}] if name == "web" else [{"name": "http", "containerPort": 9090}, {"name": "dns", "protocol": "UDP", "containerPort": 53}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": "c", "ports": ports}], **spec},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    }


def policy(name: str = "p", namespace: str = "a", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"podSelector": {}, **spec}}


def at_node(*objects: Object, node: str = "node-1") -> tuple[Policies, Ledger]:
    policies, ledger = Policies(node, [DNS]), Ledger()
    for name, labels in SPACES.items():
        policies.namespace_changed(None, {"metadata": {"name": name, "labels": labels}})
    for obj in objects:
        (policies.pod_changed if "status" in obj else policies.policy_changed)(None, obj)
    policies.plan(ledger)
    return policies, ledger


class Packet:
    """A first packet, judged by the items of a table as the kernel would."""

    def __init__(self, source: str, target: str, protocol: str = "tcp", port: int = 80) -> None:
        self.source, self.target, self.protocol, self.port = source, target, protocol, port

    def passes(self, ledger: Ledger) -> bool:
        contents = ledger.contents()
        elements: dict[tuple[str, str], str] = {(i.name, i.key): value for i, value in contents.items() if i.kind == ELEMENT}
        chains = {i.name: value.split("\n") for i, value in contents.items() if i.kind == CHAIN and i.family == "ip"}
        for name, address in (("policy-egress", self.source), ("policy-ingress", self.target)):
            verdict = elements.get((name, address))
            if verdict and not self._returns(chains[verdict.removeprefix("jump ")], elements):
                return False
        return True

    def _returns(self, lines: list[str], elements: dict[tuple[str, str], str]) -> bool:
        for line in lines:
            words, verdict = line.rpartition(" ")[::2]
            if self._matches(words, elements):
                return verdict == "return"
        raise AssertionError("a chain ends in drop")

    def _matches(self, line: str, elements: dict[tuple[str, str], str]) -> bool:
        triple = re.compile(r"ip daddr \. meta l4proto \. th dport @(\S+)")
        if found := triple.search(line):
            if (found[1], f"{self.target} . {self.protocol} . {self.port}") not in elements:
                return False
            line = triple.sub("", line)
        for side, negated, what in re.findall(r"ip (saddr|daddr) (!= )?(\S+)", line):
            address = self.source if side == "saddr" else self.target
            inside = (what[1:], address) in elements if what[0] == "@" else ip_address(address) in ip_network(what)
            if inside == bool(negated):
                return False
        if (found := re.search(r"meta l4proto (\w+)", line)) and found[1] != self.protocol:
            return False
        if found := re.search(r"th dport (\d+)(?:-(\d+))?", line):
            return int(found[1]) <= self.port <= int(found[2] or found[1])
        return True


WEB, API, FAR = pod("web", address="10.244.1.5"), pod("api", address="10.244.1.6"), pod("far", "b", "10.244.2.7", "node-2")
TO_WEB, TO_API = Packet("10.244.2.7", "10.244.1.5", port=8080), Packet("10.244.1.5", "10.244.1.6", port=9090)


@pytest.mark.parametrize(("packet", "policies", "passes"), [
    (TO_WEB, [], True),
    (TO_WEB, [policy()], False),
    (TO_WEB, [policy(podSelector={"matchLabels": {"app": "api"}})], True),
    (TO_WEB, [policy(namespace="b")], True),
    (TO_WEB, [policy(ingress=[{}])], True),
    (TO_WEB, [policy(), policy("q", ingress=[{}])], True),
    (TO_WEB, [policy(policyTypes=["Egress"])], True),
    (TO_WEB, [policy(ingress=[{"from": [{"podSelector": {}}]}])], False),
    (TO_API, [policy(ingress=[{"from": [{"podSelector": {}}]}])], True),
    (TO_WEB, [policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]}])], True),
    (TO_WEB, [policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}, "podSelector": {"matchLabels": {"app": "other"}}}]}])], False),
    (TO_WEB, [policy(ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}])], True),
    (TO_WEB, [policy(ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.9/16", "except": ["10.244.2.0/24", "10.244.2.0/25"]}}]}])], False),
    (TO_WEB, [policy(ingress=[{"ports": [{"port": 8080}]}])], True),
    (TO_WEB, [policy(ingress=[{"ports": [{"port": 80}, {"port": 8000, "endPort": 8100}]}])], True),
    (TO_WEB, [policy(ingress=[{"ports": [{"port": 8080, "protocol": "UDP"}]}])], False),
    (TO_WEB, [policy(ingress=[{"ports": [{"port": "http"}]}])], True),
    (TO_API, [policy(ingress=[{"ports": [{"port": "http"}], "from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}])], True),
    (TO_API, [policy(ingress=[{"ports": [{"port": "dns", "protocol": "UDP"}]}])], False),
    (TO_API, [policy(egress=[{"ports": [{"port": "http"}]}], policyTypes=["Egress"])], True),
    (TO_API, [policy(egress=[{"ports": [{"port": "http"}], "to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], policyTypes=["Egress"])], False),
    (TO_API, [policy(policyTypes=["Egress"])], False),
    (TO_API, [policy(egress=[{"to": [{"podSelector": {"matchLabels": {"app": "api"}}}]}])], False),
    (TO_API, [policy(egress=[{"to": [{"podSelector": {"matchLabels": {"app": "api"}}}]}], policyTypes=["Egress"])], True),
    (Packet("192.0.2.1", "10.244.1.5"), [policy(ingress=[{"from": [{"podSelector": {}}]}])], False),
    (Packet("10.244.1.5", DNS, "udp", 53), [policy(policyTypes=["Egress"])], False),
    (Packet("10.244.1.5", DNS, "udp", 53), [policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 53, "protocol": "UDP"}]}])], True),
    (Packet("10.244.1.5", DNS, "udp", 53), [policy(policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}])], True),
    (Packet("10.244.2.7", "10.244.1.5", "icmp", 0), [policy(ingress=[{"from": [{"namespaceSelector": {}}]}])], True),
])
def test_what_passes(packet: Packet, policies: list[Object], passes: bool) -> None:
    assert packet.passes(at_node(WEB, API, FAR, *policies)[1]) is passes


def test_pods_of_other_nodes_and_of_the_nodes_network_are_not_isolated_here() -> None:
    host = pod("host", address="10.199.0.2", hostNetwork=True)
    _, ledger = at_node(FAR, host, policy(namespace="b"), policy(), node="node-1")
    assert not ledger.contents()


def test_pods_with_the_same_policies_share_a_chain() -> None:
    _, ledger = at_node(WEB, API, policy())
    assert len([item for item in ledger.contents() if item.kind == CHAIN]) == 1


def test_what_comes_and_goes() -> None:
    policies, ledger = at_node(WEB, API, FAR, policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]}]))
    assert TO_WEB.passes(ledger)
    ledger.take()
    policies.pod_changed(FAR, None)
    policies.plan(ledger)
    changes = ledger.take()
    assert [item.kind for item in changes.removed] == [ELEMENT, "set"] or {item.kind for item in changes.removed} <= {ELEMENT, "set"}
    assert not changes.added and not changes.changed
    policies.pod_changed(None, FAR)
    policies.namespace_changed(None, {"metadata": {"name": "b", "labels": {"team": "z"}}})
    policies.plan(ledger)
    assert not TO_WEB.passes(ledger)
    policies.policy_changed(policy(), None)
    policies.forget_pods()
    policies.plan(ledger)
    assert not ledger.contents() and not policies.in_force


def test_a_policy_that_is_not_understood_opens_nothing() -> None:
    policies, ledger = at_node(WEB, API, FAR, policy())
    policies.policy_changed(policy(), policy(podSelector={"matchExpressions": [{"key": "a", "operator": "Odd"}]}))
    policies.plan(ledger)
    assert not TO_WEB.passes(ledger)


# any cluster

LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["web", "api"]), max_size=2)
SELECTOR = st.builds(lambda labels: {"matchLabels": labels} if labels else {}, LABELS)
SPACE_SELECTOR = st.sampled_from([{}, {"matchLabels": {"team": "x"}}, {"matchLabels": {"team": "y"}}])
PORTS = st.lists(st.sampled_from([
    {"port": 80}, {"port": 80, "endPort": 100, "protocol": "TCP"}, {"protocol": "UDP"}, {"port": "http"}, {"port": "dns", "protocol": "UDP"}]), max_size=2)
PEERS = st.lists(st.one_of(
    st.builds(lambda s: {"podSelector": s}, SELECTOR), st.builds(lambda n: {"namespaceSelector": n}, SPACE_SELECTOR),
    st.builds(lambda n, s: {"namespaceSelector": n, "podSelector": s}, SPACE_SELECTOR, SELECTOR),
    st.sampled_from([{"ipBlock": {"cidr": "10.244.0.0/16"}}, {"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]),
), max_size=2)
TYPES = st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]])


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Object], list[Object]]:
    pods = [
        pod(draw(st.sampled_from(["web", "api"])), draw(st.sampled_from(["a", "b"])), f"10.244.{node}.{number + 2}", f"node-{node}", draw(LABELS) or {"none": "1"})
        for number in range(draw(st.integers(2, 4))) for node in (draw(st.integers(1, 2)),)
    ]
    for number, each in enumerate(pods):
        each["metadata"]["name"] += str(number)
    policies = []
    for number in range(draw(st.integers(0, 3))):
        rules = {
            "ingress": [{"from": draw(PEERS), "ports": draw(PORTS)} for _ in range(draw(st.integers(0, 2)))],
            "egress": [{"to": draw(PEERS), "ports": draw(PORTS)} for _ in range(draw(st.integers(0, 2)))],
        }
        policies.append(policy(f"p{number}", draw(st.sampled_from(["a", "b"])), podSelector=draw(SELECTOR), policyTypes=draw(TYPES), **rules))
    return pods, policies


def allowed(policies: list[Object], pods: list[Object], source: Object, target: Object, protocol: str, port: int) -> bool:
    """What the documentation says, word by word: both sides have to let it pass."""
    return _one_way(policies, "Egress", source, target, target, protocol, port) and _one_way(policies, "Ingress", target, source, target, protocol, port)


def _one_way(policies: list[Object], type: str, own: Object, other: Object, receiver: Object, protocol: str, port: int) -> bool:
    selecting = [
        p for p in policies if type in p["spec"]["policyTypes"] and p["metadata"]["namespace"] == own["metadata"]["namespace"]
        and from_label_selector(p["spec"]["podSelector"]).matches(own["metadata"]["labels"])
    ]
    rules = [(p, rule) for p in selecting for rule in p["spec"][type.lower()]]
    return not selecting or any(_rule(p, rule, type, other, receiver, protocol, port) for p, rule in rules)


def _rule(p: Object, rule: Object, type: str, other: Object, receiver: Object, protocol: str, port: int) -> bool:
    peers, ports = rule["from" if type == "Ingress" else "to"] or [None], rule["ports"] or [None]
    return any(_peer(p, peer, other) and _port(one, receiver, protocol, port, type == "Egress" and bool(peer and "ipBlock" in peer)) for peer in peers for one in ports)


def _peer(p: Object, peer: Object | None, other: Object) -> bool:
    if peer is None:
        return True
    address = ip_address(other["status"]["podIPs"][0]["ip"])
    if block := peer.get("ipBlock"):
        return address in ip_network(block["cidr"]) and not any(address in ip_network(hole) for hole in block.get("except", ()))
    namespace = other["metadata"]["namespace"]
    space = namespace == p["metadata"]["namespace"] if "namespaceSelector" not in peer else from_label_selector(peer["namespaceSelector"]).matches(SPACES[namespace])
    return space and from_label_selector(peer.get("podSelector", {})).matches(other["metadata"]["labels"])


def _port(wanted: Object | None, receiver: Object, protocol: str, port: int, nobody: bool) -> bool:
    if wanted is None:
        return True
    if wanted.get("protocol", "TCP").lower() != protocol:
        return False
    if isinstance(wanted.get("port"), str):
        own = receiver["spec"]["containers"][0]["ports"]
        return not nobody and any(o["name"] == wanted["port"] and o.get("protocol", "TCP").lower() == protocol and o["containerPort"] == port for o in own)
    return wanted.get("port") is None or wanted["port"] <= port <= wanted.get("endPort", wanted["port"])


@settings(max_examples=300, deadline=None)
@given(clusters(), st.sampled_from([("tcp", 80), ("tcp", 90), ("tcp", 8080), ("tcp", 9090), ("udp", 53), ("udp", 80)]))
def test_the_rules_of_both_nodes_together_say_what_the_policies_say(cluster: tuple[list[Object], list[Object]], what: tuple[str, int]) -> None:
    pods, policies = cluster
    nodes = {node: at_node(*pods, *policies, node=node)[1] for node in ("node-1", "node-2")}
    for source in pods:
        for target in pods:
            if source is not target:
                packet = Packet(source["status"]["podIPs"][0]["ip"], target["status"]["podIPs"][0]["ip"], *what)
                passed = all(packet.passes(ledger) for ledger in nodes.values())
                assert passed is allowed(policies, pods, source, target, *what), (source["metadata"], target["metadata"], policies)
