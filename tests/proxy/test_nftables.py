"""Transactions: applied to a model they give what a table made anew would hold, whatever changed before."""
from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proxy.builders import CONFIG, HERE, NODE, THERE, endpoint, port, service, slice_of
from tests.proxy.model import Model
from tiffin.machinery.object import Object
from tiffin.proxy import nftables
from tiffin.proxy.ledger import Item, Ledger, chain, difference, element
from tiffin.proxy.plan import ServicePlan, node_items, plan, rank

_ADDRESSES = [f"10.244.{net}.{host}" for net in (1, 2) for host in (2, 3)]
_NAMES = ("a", "b", "c")


@st.composite
def states(draw: Any) -> dict[str, tuple[Object, Object] | None]:
    """Three services, each with or without one thing or another, with a few endpoints; some are absent, and two may claim one address."""
    found: dict[str, tuple[Object, Object] | None] = {}
    for number, name in enumerate(_NAMES):
        if draw(st.booleans()):
            found[name] = None
            continue
        spec: dict[str, Any] = draw(st.fixed_dictionaries({}, optional={
            "type": st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
            "sessionAffinity": st.just("ClientIP"),
            "internalTrafficPolicy": st.just("Local"),
            "externalTrafficPolicy": st.just("Local"),
            "externalIPs": st.lists(st.sampled_from(["198.51.100.1", "198.51.100.2"]), max_size=2, unique=True),
            "loadBalancerSourceRanges": st.just(["192.0.2.0/24", "192.0.2.128/25"]),
        }))
        node_port = {} if spec.get("type", "ClusterIP") == "ClusterIP" else {"nodePort": 30000 + number}
        ports = [port(80, 8080, **node_port, protocol=draw(st.sampled_from(["TCP", "UDP"])))]
        ingress = [{"ip": "203.0.113.9"}] if spec.get("type") == "LoadBalancer" and draw(st.booleans()) else None
        made = service(name, f"10.96.0.{20 + number}", ports, ingress, **spec)
        chosen = draw(st.lists(st.sampled_from(_ADDRESSES), unique=True))
        slice_ports = [{"name": "", "protocol": ports[0]["protocol"], "port": 8080}]
        found[name] = made, slice_of(name, *(endpoint(address, HERE if ".1." in address else THERE, draw(st.booleans())) for address in chosen), ports=slice_ports)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(states(), min_size=1, max_size=4))
def test_changes_give_what_a_table_made_anew_would_hold(history: list[dict[str, tuple[Object, Object] | None]]) -> None:
    model, ledger = Model(), Ledger()
    ledger.replace(("node",), node_items(NODE, CONFIG, True))
    model.apply(nftables.made_anew("ip", ledger.contents()))
    ledger.take()
    plans: dict[str, ServicePlan] = {}
    for state in history:
        for name, pair in state.items():
            plans[name] = plan(pair[0], [pair[1]], NODE, CONFIG, plans.get(name)) if pair else ServicePlan()
            ledger.replace(("service", name), plans[name].items, rank(pair[0]) if pair else ())
        model.apply(nftables.transaction(ledger.take()))
        anew = Model()
        anew.apply(nftables.made_anew("ip", ledger.contents()))
        assert model.tables == anew.tables
        listed = asyncio.run(model.listing("ip"))
        assert listed is not None
        assert not difference(nftables.items("ip", listed, ledger.contents()) or {}, ledger.contents())


def test_a_changed_endpoint_is_two_elements() -> None:
    ledger = Ledger()
    for address in ("10.244.2.2", "10.244.2.3"):
        ledger.replace(("service", "web"), plan(service(), [slice_of("web", endpoint(address))], NODE, CONFIG).items)
        changes = ledger.take()
    assert nftables.transaction(changes).splitlines() == [
        "delete element ip tiffin endpoints-0 { 10.96.0.20 . tcp . 80 }",
        "add element ip tiffin endpoints-0 { 10.96.0.20 . tcp . 80 : 10.244.2.3 . 8080 }",
    ]


def test_listed_expressions() -> None:
    listed: list[dict[str, Any]] = [
        {"set": {"name": "pods", "flags": ["interval"], "elem": [{"prefix": {"addr": "10.244.1.0", "len": 24}}, "10.0.0.1"]}},
        {"map": {"name": "ports", "map": "verdict", "elem": [[{"concat": ["tcp", 80]}, {"goto": {"target": "pick-2"}}], [{"concat": ["udp", 53]}, {"drop": None}]]}},
        {"set": {"name": "clients-1", "flags": ["timeout", "dynamic"], "elem": [{"elem": {"val": "10.0.0.1", "expires": 3}}]}},
    ]
    fixed = [{"chain": {"name": name}} for name in nftables.fixed_chains("ip")]
    rules = [{"rule": {"chain": name}} for name, count in nftables.fixed_chains("ip").items() for _ in range(count)]
    own = [{"chain": {"name": "own"}}, {"rule": {"chain": "own"}}]
    contents = {chain("ip", "own"): "drop"}
    assert nftables.items("ip", [*listed, *fixed, *rules, *own], contents) == {
        element("ip", "pods", "10.244.1.0/24"): "", element("ip", "pods", "10.0.0.1"): "",
        element("ip", "ports", "tcp . 80"): "goto pick-2", element("ip", "ports", "udp . 53"): "drop",
        Item("set", "ip", "clients-1"): "", chain("ip", "own"): "drop",
    }
    assert nftables.items("ip", [*fixed, *rules, *own[:1]], contents) is None
    assert nftables.items("ip", [*fixed, *own], contents) is None
