"""Endpoints and EndpointSlices of Services: what they say, and how few of them a change touches."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import endpoints, endpointslice, endpointslicemirroring
from tiffin.controllers.config import Config
from tiffin.controllers.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from tiffin.controllers.slices import Group, canonical, identity, pack
from tiffin.machinery.object import Key, Object
from tiffin.runtime.controller import Create, RecordEvent
from tiffin.runtime.snapshot import run_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("default", "web")
OTHER_TIME = "2025-12-31T23:59:00Z"


def service(**spec: Any) -> Object:
    wanted = {"selector": {"app": "web"}, "clusterIP": "10.96.0.7", "ipFamilies": ["IPv4"], "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return made(SERVICES, "web", spec=wanted | spec, metadata={"uid": "u-web", "labels": {"team": "a"}})


def pod(name: str, ip: str = "", *, ready: bool = True, deleting: bool = False, phase: str = "Running", node: str = "n", **spec: Any) -> Object:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": OTHER_TIME}]}
    status |= {"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {}
    metadata = {"uid": f"u-{name}", "labels": {"app": "web"}} | ({"deletionTimestamp": OTHER_TIME} if deleting else {})
    return made(PODS, name, spec={"nodeName": node, "containers": [{"name": "c"}], **spec}, status=status, metadata=metadata)


def node(name: str = "n", zone: str = "z1") -> Object:
    return made(NODES, name, "", metadata={"labels": {"topology.kubernetes.io/zone": zone}})


def slices_of(svc: Object, *pods: Object, nodes: tuple[Object, ...] = (node(),)) -> list[Object]:
    """The slices a new Service gets."""
    changes = run_table(endpointslice.controller(Config()), {SERVICES: [svc], PODS: pods, NODES: nodes}, KEY, NOW).changes
    return [change.obj for change in changes if isinstance(change, Create)]


def endpoints_of(svc: Object, *pods: Object) -> Object:
    (change,) = run_table(endpoints.controller(Config()), {SERVICES: [svc], PODS: pods}, KEY, NOW).changes
    assert isinstance(change, Create)
    return change.obj


def test_a_slice_says_where_a_pod_is_and_whose_it_is() -> None:
    (made_slice,) = slices_of(service(), pod("a", "10.244.0.5"))
    assert made_slice["metadata"]["generateName"] == "web-"
    assert made_slice["metadata"]["labels"] == {
        "team": "a", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    assert made_slice["metadata"]["ownerReferences"][0]["uid"] == "u-web"
    assert made_slice["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert made_slice["endpoints"] == [{
        "addresses": ["10.244.0.5"], "conditions": {"ready": True, "serving": True, "terminating": False}, "nodeName": "n", "zone": "z1",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "u-a"}}]


@pytest.mark.parametrize(("svc", "which", "conditions", "subset"), [
    ({}, pod("a", "1.1.1.1", ready=False), (False, False, False), "notReadyAddresses"),
    ({}, pod("a", "1.1.1.1", deleting=True), (False, True, True), ""),
    ({}, pod("a", "1.1.1.1", ready=False, deleting=True), (False, False, True), ""),
    ({"publishNotReadyAddresses": True}, pod("a", "1.1.1.1", ready=False), (True, False, False), "addresses"),
    ({"publishNotReadyAddresses": True}, pod("a", "1.1.1.1", deleting=True), (True, True, True), "addresses"),
    ({"publishNotReadyAddresses": True}, pod("a", "1.1.1.1", node="gone"), (True, True, False), "addresses"),
    ({}, pod("a", "1.1.1.1", node="gone"), None, "addresses"), ({}, pod("a", "1.1.1.1", node=""), None, ""),
    ({}, pod("a"), None, ""), ({}, pod("a", "1.1.1.1", phase="Succeeded"), None, ""), ({}, pod("a", "1.1.1.1", phase="Failed"), None, ""),
    ({"ipFamilies": ["IPv4"]}, pod("a", "fd00::7"), None, ""), ({"ipFamilies": ["IPv6"]}, pod("a", "fd00::7"), (True, True, False), "addresses")])
def test_conditions(svc: Object, which: Object, conditions: tuple[bool, bool, bool] | None, subset: str) -> None:
    (made_slice,) = slices_of(service(**svc), which)
    found = [tuple(e["conditions"][c] for c in ("ready", "serving", "terminating")) for e in made_slice["endpoints"]]
    assert found == ([conditions] if conditions else [])
    assert [[*s] for s in endpoints_of(service(**svc), which).get("subsets", [])] == ([[subset, "ports"]] if subset else [])


def test_services_without_pods_have_one_empty_slice_per_family() -> None:
    made_slices = slices_of(service(ipFamilies=["IPv4", "IPv6"]))
    assert [(s["addressType"], s["endpoints"], s["ports"]) for s in made_slices] == [("IPv4", [], []), ("IPv6", [], [])]


@pytest.mark.parametrize("svc", [{"selector": None}, {"type": "ExternalName"}])
def test_what_selects_nothing_is_left_alone(svc: Object) -> None:
    for module in (endpointslice, endpoints):
        assert not run_table(module.controller(Config()), {SERVICES: [service(**svc)], PODS: [pod("a", "1.1.1.1")]}, KEY, NOW).changes


def test_named_ports_are_each_pods_own() -> None:
    def serving(port: int) -> Object:
        return {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]}

    sidecar = {"initContainers": [{"name": "i", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 7}]}]}
    svc = service(ports=[{"name": "web", "port": 80, "targetPort": "http"}])
    pods = [pod("a", "1.1.1.1", **serving(1)), pod("b", "1.1.1.2", **serving(2)), pod("c", "1.1.1.3"), pod("d", "1.1.1.4", **sidecar)]
    found = {tuple(p["port"] for p in s["ports"]): s["endpoints"][0]["addresses"] for s in slices_of(svc, *pods)}
    assert found == {(1,): ["1.1.1.1"], (2,): ["1.1.1.2"], (): ["1.1.1.3"], (7,): ["1.1.1.4"]}
    assert {s["ports"][0]["port"]: s["addresses"][0]["ip"] for s in endpoints_of(svc, *pods)["subsets"]} == {1: "1.1.1.1", 2: "1.1.1.2", 7: "1.1.1.4"}


@pytest.mark.parametrize(("distribution", "hints"), [
    (None, None), ("PreferClose", {"forZones": [{"name": "z1"}]}), ("PreferSameZone", {"forZones": [{"name": "z1"}]}),
    ("PreferSameNode", {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n"}]})])
def test_hints(distribution: str | None, hints: Object | None) -> None:
    (made_slice,) = slices_of(service(trafficDistribution=distribution), pod("a", "1.1.1.1"), pod("b", "1.1.1.2", ready=False))
    assert [e.get("hints") for e in made_slice["endpoints"]] == [hints, None]


@pytest.mark.parametrize(("spec", "hostname"), [
    ({"hostname": "h", "subdomain": "web"}, "h"), ({"hostname": "h", "subdomain": "other"}, None), ({"hostname": "h"}, None), ({"subdomain": "web"}, None)])
def test_hostnames_need_the_services_subdomain(spec: Object, hostname: str | None) -> None:
    svc = service(clusterIP="None")
    (made_slice,) = slices_of(svc, pod("a", "1.1.1.1", **spec))
    assert made_slice["endpoints"][0].get("hostname") == hostname
    assert made_slice["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert endpoints_of(svc, pod("a", "1.1.1.1", **spec))["subsets"][0]["addresses"][0].get("hostname") == hostname


def test_endpoints_hold_a_thousand_addresses_the_ready_ones_first() -> None:
    pods = [pod(f"p{n}", f"10.1.{n // 250}.{n % 250}", ready=n % 2 == 0) for n in range(1500)]
    found = endpoints_of(service(), *pods)
    assert found["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"
    assert [len(found["subsets"][0][part]) for part in ("addresses", "notReadyAddresses")] == [750, 250]


async def test_a_pods_whole_life_in_slices_and_endpoints() -> None:
    async with Cluster(endpointslice, endpoints, kubelet=False) as cluster:
        await cluster.create(NODES, node())
        await cluster.create(SERVICES, service())
        assert [s["endpoints"] for s in cluster.all(ENDPOINT_SLICES)] == [[]]
        await cluster.create(PODS, pod("a", "10.0.0.1", ready=False))
        (first,) = cluster.all(ENDPOINT_SLICES)
        assert not first["endpoints"][0]["conditions"]["ready"]
        ready = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:03Z"}]}
        await cluster.patch(PODS, "a", {"status": ready}, subresource="status")
        (second,) = cluster.all(ENDPOINT_SLICES)
        assert second["endpoints"][0]["conditions"]["ready"] and second["metadata"]["name"] == first["metadata"]["name"]
        assert second["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] == "2026-01-01T00:00:03Z"
        assert cluster.one(ENDPOINTS, "web")["subsets"][0]["addresses"][0]["ip"] == "10.0.0.1"
        await cluster.patch(PODS, "a", {"metadata": {"labels": {"app": "other"}}})
        assert not cluster.all(ENDPOINT_SLICES)[0].get("endpoints") and not cluster.one(ENDPOINTS, "web").get("subsets")
        await cluster.delete(SERVICES, "web")
        assert not cluster.all(ENDPOINTS)


async def test_what_others_do_to_slices_is_put_right_and_users_endpoints_may_come_first() -> None:
    async with Cluster(endpointslice, endpoints, kubelet=False) as cluster:
        await cluster.create(ENDPOINTS, made(ENDPOINTS, "early", subsets=[]))
        await cluster.create(NODES, node())
        await cluster.create(PODS, pod("a", "10.0.0.1"))
        await cluster.create(SERVICES, service())
        (mine,) = cluster.all(ENDPOINT_SLICES)
        await cluster.patch(ENDPOINT_SLICES, mine["metadata"]["name"], {"endpoints": [{"addresses": ["6.6.6.6"], "conditions": {}}]})
        await cluster.delete(ENDPOINTS, "web")
        assert cluster.all(ENDPOINT_SLICES)[0]["endpoints"][0]["addresses"] == ["10.0.0.1"]
        assert cluster.names(ENDPOINTS) == ["early", "web"]


# --- mirroring -------------------------------------------------------------------------------------------------------------


def mirrored(metadata: Object, spec: Object, subsets: list[Object]) -> list[Any]:
    objects = {SERVICES: [service(**spec)], ENDPOINTS: [made(ENDPOINTS, "web", subsets=subsets, metadata={"uid": "u-e", **metadata})]}
    return list(run_table(endpointslicemirroring.controller(Config()), objects, KEY, NOW).changes)


def test_endpoints_of_services_without_selector_are_mirrored() -> None:
    subsets = [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "notReadyAddresses": [{"ip": "192.0.2.2", "hostname": "h"}], "ports": [{"port": 80}]}]
    found = [change.obj for change in mirrored({"labels": {"l": "v"}}, {"selector": None}, subsets)]
    assert [(s["addressType"], [(e["addresses"], e["conditions"]) for e in s["endpoints"]]) for s in found] == [
        ("IPv4", [(["192.0.2.1"], {"ready": True}), (["192.0.2.2"], {"ready": False})]), ("IPv6", [(["2001:db8::1"], {"ready": True})])]
    assert found[0]["metadata"]["labels"] == {
        "l": "v", "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"}
    assert found[0]["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"


@pytest.mark.parametrize(("metadata", "spec"), [
    ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, {"selector": None}),
    ({"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}, {"selector": None}), ({}, {})])
def test_what_is_not_mirrored(metadata: Object, spec: Object) -> None:
    assert not mirrored(metadata, spec, [{"addresses": [{"ip": "192.0.2.1"}]}])


def test_a_thousand_addresses_of_a_subset_are_mirrored() -> None:
    subset = {"addresses": [{"ip": f"192.0.{n // 250}.{n % 250}"} for n in range(1003)]}
    create, event = mirrored({}, {"selector": None}, [subset])
    assert len(create.obj["endpoints"]) == 1000
    assert isinstance(event, RecordEvent) and "3 addresses were skipped" in event.message


# --- packing ---------------------------------------------------------------------------------------------------------------

PORT = [{"name": "", "protocol": "TCP", "port": 80}]


def endpoint(number: int, ready: bool = True) -> Object:
    return {"addresses": [f"10.0.0.{number}"], "conditions": {"ready": ready}, "targetRef": {"namespace": "d", "name": f"p{number}"}}


def stored(*contents: list[Object]) -> list[Object]:
    return [{"metadata": {"name": f"s{index}"}, "ports": PORT, "endpoints": content} for index, content in enumerate(contents)]


def group(*endpoints: Object) -> Any:
    return {canonical(PORT): Group(PORT, {identity(e): e for e in endpoints})}


@pytest.mark.parametrize(("before", "wanted", "touched"), [
    ([[1, 2], [3]], [1, 2, 3], (0, 0, 0)),          # nothing to do
    ([[1, 2, 3, 4], [5]], [1, 2, 3, 4, 5, 6], (0, 1, 0)),  # the one with room
    ([[1, 2, 3, 4]], [1, 2, 3, 4, 5], (1, 0, 0)),   # no room: a new one
    ([[1, 2, 3, 4], [5, 6]], [2, 3, 4, 5, 6, 7], (0, 1, 0)),  # the hole is filled, the other slice untouched
    ([[1], [2, 3]], [2, 3], (0, 0, 1)),             # empty ones go
    ([[1], [2, 3, 4, 5]], [2, 3, 4, 5, 6], (0, 1, 0)),  # and are used for what comes
    ([[1, 2], [3]], [1, 2, 3, 4, 5, 6, 7], (1, 0, 0))])  # as a whole or not at all
def test_changes_touch_few_slices(before: list[list[int]], wanted: list[int], touched: tuple[int, int, int]) -> None:
    packing = pack(stored(*([endpoint(n) for n in each] for each in before)), group(*map(endpoint, wanted)), 4)
    assert (len(packing.create), len(packing.update), len(packing.delete)) == touched


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 40), max_size=5), max_size=6), st.dictionaries(st.integers(0, 40), st.booleans()), st.integers(5, 9))
def test_packing_holds_exactly_what_is_wanted(before: list[set[int]], wanted: dict[int, bool], limit: int) -> None:
    old = stored(*([endpoint(n) for n in each] for each in before))
    packing = pack(old, group(*(endpoint(n, ready) for n, ready in wanted.items())), limit)
    contents = [*packing.create, *(content for _, content in packing.update)]
    held = [e for each in packing.keep for e in each["endpoints"]] + [e for content in contents for e in content.endpoints]
    assert sorted(map(identity, held)) == sorted(identity(endpoint(n)) for n in wanted)
    assert {identity(e): e["conditions"]["ready"] for e in held} == {identity(endpoint(n)): ready for n, ready in wanted.items()}
    assert all(len(content.endpoints) <= limit for content in contents)
    assert sum(map(len, (packing.update, packing.delete, packing.keep))) == len(old)
    assert packing.create or packing.update or packing.keep  # never without a slice
    again = pack([*packing.keep, *({"ports": c.ports, "endpoints": c.endpoints} for c in contents)], group(*(endpoint(n, r) for n, r in wanted.items())), limit)
    assert not (again.create or again.update or again.delete)


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (("z1", ""), "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"),
        (("z1", "z1"), "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes, addressType: IPv4"),
        (("z1", "z2"), "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4"),
    ],
)
def test_why_there_are_no_topology_hints(zones: tuple[str, ...], message: str) -> None:
    status = {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [node(f"n{number}", zone) | {"status": status} for number, zone in enumerate(zones)]
    asking = service()
    asking["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    view = {SERVICES: [asking], PODS: [pod("a", "10.0.0.1", node="n0")], NODES: nodes}
    told = [c for c in run_table(endpointslice.controller(Config()), view, KEY, NOW).changes if isinstance(c, RecordEvent)]
    assert [(event.reason, event.message) for event in told] == [("TopologyAwareHintsDisabled", message)]
