"""Addresses and node ports of Services: chosen, checked, held while a request runs, given back; all through the API."""
from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest

from tests.apiserver.inprocess import InProcess, in_process
from tiffin.apiserver.allocation import NODE_PORTS, ServiceAllocator
from tiffin.apiserver.serviceranges import reserved
from tiffin.apiserver.writes import new_uid
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key
from tiffin.net.pki import Pki
from tiffin.store.log import MemoryLog
from tiffin.store.store import Store, Write

SERVICES = "/api/v1/namespaces/default/services"
RANGE = ipaddress.ip_network("10.96.0.0/16")


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def test_each_service_has_an_address_of_its_own(api: InProcess) -> None:
    made = await asyncio.gather(*(api.made(SERVICES, service(f"s{n}")) for n in range(200)))
    addresses = [obj["spec"]["clusterIP"] for obj in made]
    assert len(set(addresses)) == 200
    assert all(ipaddress.ip_address(address) in RANGE for address in addresses)
    assert all(obj["spec"]["clusterIPs"] == [obj["spec"]["clusterIP"]] for obj in made)


async def test_an_address_is_held_from_request_to_deletion(api: InProcess) -> None:
    await api.made(SERVICES, service("first", clusterIP="10.96.7.7"))
    taken = await api.post(SERVICES, service("second", clusterIP="10.96.7.7"))
    assert taken.status == 422 and "failed to allocate IP 10.96.7.7: provided IP is already allocated" in taken.message
    together = await asyncio.gather(*(api.post(SERVICES, service(f"t{n}", clusterIP="10.96.8.8")) for n in range(10)))
    assert sorted(answer.status for answer in together) == [201] + [422] * 9
    await api.delete(f"{SERVICES}/first")
    assert (await api.post(SERVICES, service("second", clusterIP="10.96.7.7"))).status == 201


@pytest.mark.parametrize("query", ["?dryRun=All", ""])
async def test_what_a_failed_request_or_a_dry_run_held_is_free_again(api: InProcess, query: str) -> None:
    wanted = service("s", clusterIP="10.96.9.9", type="NodePort", ports=[{"port": 80, "nodePort": 31000}])
    if not query:
        wanted["metadata"]["name"] = "not_a_name"
    answer = await api.post(SERVICES + query, wanted)
    assert answer.status == (201 if query else 422)
    wanted["metadata"]["name"] = "s"
    assert (await api.post(SERVICES, wanted)).status == 201


@pytest.mark.parametrize(("spec", "part"), [
    ({"clusterIP": "10.97.0.1"}, "the provided network does not match the current range"), ({"clusterIP": "10.96.0.0"}, "does not match the current range"),
    ({"clusterIP": "10.96.255.255"}, "does not match the current range"), ({"clusterIP": "127.0.0.1"}, "failed to allocate IP 127.0.0.1"),
    ({"clusterIP": "fd00::1"}, ""), ({"clusterIP": "no address"}, "must be"),
    ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "provided port is not in the valid range. The range of valid ports is 30000-32767")])
async def test_what_cannot_be_given(api: InProcess, spec: dict[str, Any], part: str) -> None:
    answer = await api.post(SERVICES, service(**spec))
    assert answer.status == 422 and part in answer.message, answer.text


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.org"}])
async def test_some_services_have_no_address(api: InProcess, spec: dict[str, Any]) -> None:
    made = await api.made(SERVICES, service(**spec))
    assert made["spec"].get("clusterIP") in (None, "None")


async def test_node_ports_are_one_per_protocol(api: InProcess) -> None:
    both = [{"name": "t", "port": 53, "protocol": "TCP", "nodePort": 31053}, {"name": "u", "port": 53, "protocol": "UDP", "nodePort": 31053}]
    await api.made(SERVICES, service("dns", type="NodePort", ports=both))
    refused = await api.post(SERVICES, service("other", type="NodePort", ports=[{"port": 1, "nodePort": 31053}]))
    assert refused.status == 422 and "spec.ports[0].nodePort: Invalid value: 31053: provided port is already allocated" in refused.message
    chosen = await api.made(SERVICES, service("any", type="NodePort"))
    assert chosen["spec"]["ports"][0]["nodePort"] in NODE_PORTS


async def test_a_service_that_ceases_to_need_ports_gives_them_back(api: InProcess) -> None:
    await api.made(SERVICES, service("s", type="NodePort", ports=[{"port": 80, "nodePort": 31001}]))
    await api.patch(f"{SERVICES}/s", {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}]}})
    assert (await api.post(SERVICES, service("t", type="NodePort", ports=[{"port": 80, "nodePort": 31001}]))).status == 201


async def test_what_is_taken_is_known_after_a_restart(pki: Pki) -> None:
    store = Store(MemoryLog())
    stored = service("s", clusterIP="10.96.0.20", clusterIPs=["10.96.0.20"], type="NodePort", ports=[{"port": 80, "nodePort": 30500}])
    await store.commit(Write("services", Key("default", "s"), stored, 0))
    allocator = ServiceAllocator(store, "10.96.0.0/24", new_uid)
    for spec in ({"clusterIP": "10.96.0.20", "clusterIPs": ["10.96.0.20"]}, {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30500}]}):
        with pytest.raises(ApiError):
            allocator.before_create(service("t", **spec), False)
    await store.commit(Write("services", Key("default", "s"), None, None))
    allocator.before_create(service("t", clusterIP="10.96.0.20", clusterIPs=["10.96.0.20"]), False)()


def test_a_range_that_is_full_says_so_and_recovers() -> None:
    allocator = ServiceAllocator(Store(MemoryLog()), "10.96.0.0/29", new_uid, range(30000, 30003))
    releases = []
    given = set()
    for number in range(6):
        obj = service(f"s{number}")
        releases.append(allocator.before_create(obj, False))
        given.add(obj["spec"]["clusterIP"])
    assert given == {f"10.96.0.{n}" for n in range(1, 7)}
    with pytest.raises(ApiError, match="failed to allocate a serviceIP: range is full"):
        allocator.before_create(service("more"), False)
    releases.pop()()
    allocator.before_create(service("more"), False)
    ports = [{"port": n} for n in range(4)]
    with pytest.raises(ApiError, match="failed to allocate a nodePort: range is full"):
        allocator.before_create(service("ports", clusterIP="None", clusterIPs=["None"], type="NodePort", ports=ports), False)
    allocator.before_create(service("ports", clusterIP="None", clusterIPs=["None"], type="NodePort", ports=ports[:3]), False)


async def test_addresses_outlive_a_whole_server(pki: Pki) -> None:
    async with in_process(pki) as api:
        made = await api.made(SERVICES, service())
        updated = await api.patch(f"{SERVICES}/s", {"metadata": {"labels": {"a": "b"}}})
        assert updated.object["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        moved = await api.patch(f"{SERVICES}/s", {"spec": {"clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"]}})
        assert moved.status == 422 and "may not change once set" in moved.message


# --- ServiceCIDR and IPAddress ---------------------------------------------------------------------------------------------

ADDRESSES, RANGES = "/apis/networking.k8s.io/v1/ipaddresses", "/apis/networking.k8s.io/v1/servicecidrs"


def names(answer: Any) -> set[str]:
    return {obj["metadata"]["name"] for obj in answer.object["items"]}


async def test_an_ip_address_comes_and_goes_with_its_service(api: InProcess) -> None:
    made = await api.made(SERVICES, service())
    ip = made["spec"]["clusterIP"]
    told = (await api.get(f"{ADDRESSES}/{ip}")).object
    assert told["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}
    assert told["metadata"]["labels"] == {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    await api.patch(f"{SERVICES}/s", {"spec": {"type": "ExternalName", "externalName": "example.org"}})
    assert (await api.get(f"{ADDRESSES}/{ip}")).status == 404
    again = await api.patch(f"{SERVICES}/s", {"spec": {"type": "ClusterIP"}})
    assert (await api.get(f"{ADDRESSES}/{again.object['spec']['clusterIP']}")).status == 200
    await api.delete(f"{SERVICES}/s")
    assert not names(await api.get(ADDRESSES))


async def test_dry_runs_and_failures_leave_no_ip_address(api: InProcess) -> None:
    assert (await api.post(f"{SERVICES}?dryRun=All", service())).status == 201
    assert (await api.post(SERVICES, service("not_a_name"))).status == 422
    assert not names(await api.get(ADDRESSES))


async def test_an_address_somebody_else_took_is_not_given_and_not_deleted(api: InProcess) -> None:
    await api.made(ADDRESSES, {"metadata": {"name": "10.96.5.5"}, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}})
    refused = await api.post(SERVICES, service(clusterIP="10.96.5.5"))
    assert refused.status == 422 and "failed to allocate IP 10.96.5.5: provided IP is already allocated" in refused.message
    await api.made(SERVICES, service("t", clusterIP="10.96.6.6"))
    await api.delete(f"{ADDRESSES}/10.96.6.6")
    await api.made(ADDRESSES, {"metadata": {"name": "10.96.6.6"}, "spec": {"parentRef": {"resource": "gateways", "name": "g"}}})
    await api.delete(f"{SERVICES}/t")
    assert names(await api.get(ADDRESSES)) == {"10.96.5.5", "10.96.6.6"}


async def test_another_range_widens_the_pool_until_it_goes(api: InProcess) -> None:
    assert (await api.post(SERVICES, service("a", clusterIP="10.97.0.9"))).status == 422
    for name, cidr in (("kubernetes", "10.96.0.0/16"), ("more", "10.97.0.0/24"), ("six", "fd00::/112")):
        await api.made(RANGES, {"metadata": {"name": name, "finalizers": ["x/y"]}, "spec": {"cidrs": [cidr]}})
    assert (await api.post(SERVICES, service("a", clusterIP="10.97.0.9"))).status == 201
    assert (await api.post(SERVICES, service("six", clusterIP="fd00::9"))).status == 422
    await api.delete(f"{RANGES}/more")
    assert (await api.post(SERVICES, service("b", clusterIP="10.97.0.10"))).status == 422
    assert (await api.get(f"{SERVICES}/a")).status == 200


@pytest.mark.parametrize(("size", "count"), [(14, 0), (254, 16), (4094, 255), (65534, 256)])
def test_the_beginning_of_a_range_is_given_out_last(size: int, count: int) -> None:
    assert reserved(size) == count
