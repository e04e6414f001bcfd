"""What a service needs in the table, as tables."""
from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.builders import CONFIG, HERE, NODE, endpoint, port, service, slice_of
from tiffin.machinery.object import Object
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.endpoints import Target
from tiffin.proxy.ledger import CHAIN, ELEMENT
from tiffin.proxy.plan import FrontKey, arranged, node_items, plan, rank, udp_changes
from tiffin.proxy.state import NodeView

HERE_1, THERE_1, THERE_2 = endpoint("10.244.1.2", HERE), endpoint("10.244.2.2"), endpoint("10.244.2.3")


def elements(made: Object, *endpoints: dict[str, Any], config: ProxyConfig = CONFIG) -> dict[str, dict[str, str]]:
    """By set, what is in it."""
    found: dict[str, dict[str, str]] = {}
    for item, content in plan(made, [slice_of("web", *endpoints)], NODE, config).items.items():
        if item.kind == ELEMENT:
            found.setdefault(item.name, {})[item.key] = content
    return found


def verdicts(made: Object, *endpoints: dict[str, Any], config: ProxyConfig = CONFIG) -> dict[str, str]:
    found = elements(made, *endpoints, config=config)
    return {key: verdict.removeprefix("goto ") for name in ("services", "ports") for key, verdict in found.get(name, {}).items()}


def test_a_plain_service_is_elements() -> None:
    assert elements(service(), HERE_1, THERE_1) == {
        "cluster-ips": {"10.96.0.20": ""},
        "services": {"10.96.0.20 . tcp . 80": "goto open-pick-2"},
        "endpoints-0": {"10.96.0.20 . tcp . 80": "10.244.1.2 . 8080"},
        "endpoints-1": {"10.96.0.20 . tcp . 80": "10.244.2.2 . 8080"},
        "hairpin": {"10.244.1.2 . 10.244.1.2": ""},
    }


def test_without_endpoints_it_is_only_an_address() -> None:
    assert elements(service(externalIPs=["198.51.100.1"])) == {"cluster-ips": {"10.96.0.20": ""}, "refused": {"198.51.100.1 . tcp . 80": ""}}


_NODE_PORT = [port(80, 8080, nodePort=30080)]
_VIP, _PORT, _OWN, _LB = "10.96.0.20 . tcp . 80", "tcp . 30080", "tcp . 80", "203.0.113.9 . tcp . 80"
_INGRESS = [{"ip": "203.0.113.9"}]


@pytest.mark.parametrize(
    "spec, endpoints, expected",
    [
        ({}, [THERE_1], {_VIP: "open-endpoint-0"}),
        ({}, [HERE_1, THERE_1, THERE_2], {_VIP: "open-pick-3"}),
        ({"internalTrafficPolicy": "Local"}, [HERE_1, THERE_1], {_VIP: "open-endpoint-0"}),
        ({"internalTrafficPolicy": "Local"}, [THERE_1], {_VIP: "drop"}),
        ({"internalTrafficPolicy": "Local"}, [], {}),
        ({"type": "NodePort", "ports": _NODE_PORT}, [THERE_1, THERE_2], {_VIP: "open-pick-2", _PORT: "open-port-pick-2"}),
        (
            {"type": "NodePort", "ports": _NODE_PORT, "externalTrafficPolicy": "Local"}, [HERE_1, THERE_1],
            {_VIP: "open-pick-2", _PORT: "outside-open-port-pick-2-port-endpoint-0"},
        ),
        (
            {"type": "NodePort", "ports": _NODE_PORT, "externalTrafficPolicy": "Local"}, [THERE_1],
            {_VIP: "open-endpoint-0", _PORT: "outside-open-port-endpoint-0-drop"},
        ),
        (
            {"type": "LoadBalancer", "ports": _NODE_PORT, "ingress": _INGRESS}, [THERE_1],
            {_VIP: "open-endpoint-0", _LB: "open-endpoint-0", _PORT: "open-port-endpoint-0", _OWN: "open-port-endpoint-0"},
        ),
        (
            {"type": "LoadBalancer", "ingress": _INGRESS, "loadBalancerSourceRanges": ["192.0.2.0/24"]}, [THERE_1],
            {_VIP: "open-endpoint-0", _LB: "guarded-open-endpoint-0", _OWN: "port-guarded-open-port-endpoint-0"},
        ),
        ({"type": "LoadBalancer", "ingress": _INGRESS, "loadBalancerSourceRanges": ["0.0.0.0/0"]}, [THERE_1], {_VIP: "open-endpoint-0", _LB: "open-endpoint-0", _OWN: "open-port-endpoint-0"}),
        ({"type": "LoadBalancer", "ingress": [{"ip": "127.0.0.1"}, {"hostname": "localhost"}, {"ip": "203.0.113.9", "ipMode": "Proxy"}]}, [THERE_1], {_VIP: "open-endpoint-0", _OWN: "open-port-endpoint-0"}),
        ({"externalIPs": ["198.51.100.1", "fd00::1"]}, [THERE_1], {_VIP: "open-endpoint-0", "198.51.100.1 . tcp . 80": "open-endpoint-0"}),
    ],
)
def test_verdicts(spec: dict[str, Any], endpoints: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert verdicts(service(**spec), *endpoints) == expected


def test_ports_of_a_node_that_are_its_own() -> None:
    assert verdicts(service(type="LoadBalancer", ports=[port(10250)]), THERE_1) == {"10.96.0.20 . tcp . 10250": "open-endpoint-0"}


@pytest.mark.parametrize("name, ours", [("tiffin.dev/host", True), ("example.com/other", False)])
def test_another_load_balancers_services_take_no_port_of_the_node(name: str, ours: bool) -> None:
    assert (_OWN in verdicts(service(type="LoadBalancer", loadBalancerClass=name), THERE_1)) is ours


def test_an_address_the_node_answers_itself_is_never_programmed() -> None:
    assert elements(service(ip="10.96.0.10"), THERE_1) == {}


def test_endpoints_of_both_lists_are_numbered_once() -> None:
    """The local one is not among those its hints allow: it comes first, and the others begin after it."""
    local, far = endpoint("10.244.2.9", HERE, zones=("zone-b",)), endpoint("10.244.1.5", zones=("zone-a",))
    found = elements(service(type="NodePort", ports=_NODE_PORT, externalTrafficPolicy="Local"), local, far)
    assert found["endpoints-1"] == {_VIP: "10.244.1.5 . 8080"} and "endpoints-0" not in found
    assert (found["port-endpoints-0"], found["port-endpoints-1"]) == ({_PORT: "10.244.2.9 . 8080"}, {_PORT: "10.244.1.5 . 8080"})
    assert found["ports"] == {_PORT: "goto outside-open-port-endpoint-1-port-endpoint-0"}


@pytest.mark.parametrize("before, wanted, after", [("", "ba", "ab"), ("abcd", "abcd", "abcd"), ("abcd", "acd", "adc"), ("abcd", "bcd", "dbc"), ("ab", "abx", "abx"), ("abc", "xbc", "xbc"), ("abc", "", ""), ("abcd", "d", "d")])
def test_endpoints_keep_their_numbers(before: str, wanted: str, after: str) -> None:
    assert arranged([Target(name, 1) for name in wanted], [Target(name, 1) for name in before]) == tuple(Target(name, 1) for name in after)


def test_source_ranges_do_not_overlap_and_include_who_checks_himself() -> None:
    config = ProxyConfig(HERE, trusted_forwarders=("10.199.0.1",))
    made = service(type="LoadBalancer", ingress=_INGRESS, loadBalancerSourceRanges=["192.0.2.128/25", " 192.0.2.0/24", "fd00::/8"])
    assert set(elements(made, THERE_1, config=config)["sources"]) == {f"{_LB} . 192.0.2.0/24", f"{_LB} . 10.199.0.1"}


def test_session_affinity_has_chains_of_its_own_and_sets_that_stay() -> None:
    made = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    before = plan(made, [slice_of("web", HERE_1, THERE_1)], NODE, CONFIG).items
    after = plan(made, [slice_of("web", THERE_1, THERE_2)], NODE, CONFIG).items
    clients = {item for item in before if item.name.startswith("clients-")}
    assert len(clients) == 2 and len(clients & after.keys()) == 1
    assert all("timeout 60s" in before[item] for item in clients)
    assert not any(item.name.startswith("endpoints-") for item in before)


def test_chains_of_equal_names_have_equal_rules() -> None:
    """The ledger lets services share them."""
    seen: dict[Any, str] = {}
    for policy in ("Cluster", "Local"):
        for affinity in ("None", "ClientIP"):
            for several in ([HERE_1], [THERE_1], [HERE_1, THERE_1, THERE_2]):
                made = service(type="LoadBalancer", ports=_NODE_PORT, externalTrafficPolicy=policy, internalTrafficPolicy=policy, sessionAffinity=affinity, ingress=_INGRESS, loadBalancerSourceRanges=["10.0.0.0/8"])
                for item, content in plan(made, [slice_of("web", *several)], NODE, CONFIG).items.items():
                    if item.kind == CHAIN:
                        assert seen.setdefault(item, content) == content


def test_both_families() -> None:
    made = service() | {"spec": service()["spec"] | {"clusterIPs": ["10.96.0.20", "fd00::20"]}}
    items = plan(made, [slice_of("web", THERE_1), slice_of("web", endpoint("fd01::2"), family="IPv6", suffix="six")], NODE, CONFIG).items
    assert {(item.family, item.key): content for item, content in items.items() if item.name == "endpoints-0" and item.kind == ELEMENT} == {
        ("ip", _VIP): "10.244.2.2 . 8080", ("ip6", "fd00::20 . tcp . 80"): "fd01::2 . 8080",
    }


def test_who_gets_what_two_claim() -> None:
    late = service("late") | {"metadata": service("late")["metadata"] | {"creationTimestamp": "2026-02-01T00:00:00Z"}}
    assert rank(service("early")) < rank(late)
    assert rank(late | {"status": {"loadBalancer": {"ingress": _INGRESS}}}) < rank(service("early"))


def test_health_port() -> None:
    made = service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32000)
    found = plan(made, [slice_of("web", HERE_1, THERE_1)], NODE, CONFIG)
    assert (found.health_port, len(found.local_targets)) == (32000, 1)
    assert plan(service(healthCheckNodePort=32000), [], NODE, CONFIG).health_port == 0


def test_node_items() -> None:
    items = node_items(NodeView(HERE, "", ("10.244.1.0/24", "fd00:1::/64")), CONFIG, bridge_is_seen=False)
    assert {(item.family, item.name, item.key) for item in items} == {
        ("ip", "pods", "10.244.1.0/24"), ("ip6", "pods", "fd00:1::/64"), ("ip", "unseen", "10.244.1.0/24"), ("ip6", "unseen", "fd00:1::/64"),
        ("ip", "service-ranges", "10.96.0.0/16"), ("ip", "exempt", "127.0.0.0/8"), ("ip", "exempt", "10.96.0.10"), ("ip6", "exempt", "::1"),
    }
    assert {item.family for item in node_items(NODE, CONFIG, bridge_is_seen=True)} == {"ip"}


def test_udp_flows_to_look_at() -> None:
    key, one, two = FrontKey("ip", "10.96.0.20", "UDP", 53), frozenset({Target("a", 1)}), frozenset({Target("b", 1)})
    for before, after, expected in (
        ({}, {key: one}, {key: one}), ({key: one}, {key: one}, {}), ({key: one}, {key: one | two}, {}), ({key: one | two}, {key: one}, {key: one}),
        ({key: one}, {}, {key: frozenset()}), ({key: frozenset()}, {key: one}, {key: one}), ({}, {key: frozenset()}, {}),
    ):
        assert dict(udp_changes(before, after)) == expected  # type: ignore[arg-type]
