"""ServiceCIDRs, IPAddress objects put right, and the Services a cluster has of itself."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import ipaddressrepair, kubernetesservice, servicecidrs
from tiffin.controllers.config import Config
from tiffin.controllers.resources import ENDPOINT_SLICES, ENDPOINTS, IP_ADDRESSES, NAMESPACES, SERVICE_CIDRS, SERVICES
from tiffin.machinery.object import Key, Object
from tiffin.machinery.timestamps import format_time
from tiffin.runtime.controller import Create, Delete, RecordEvent
from tiffin.runtime.snapshot import run_table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = Config(service_cidr="10.96.0.0/16", api_address="10.77.0.1", api_port=6443)


def address(ip: str, service: str = "web", age: int = 0, labels: Object | None = None, **parent: Any) -> Object:
    default = {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
    metadata = {"labels": default if labels is None else labels, "creationTimestamp": format_time(NOW - timedelta(seconds=age))}
    return made(IP_ADDRESSES, ip, "", spec={"parentRef": {"resource": "services", "namespace": "default", "name": service, **parent}}, metadata=metadata)


def service(*ips: str, name: str = "web") -> Object:
    return made(SERVICES, name, spec={"clusterIP": ips[0] if ips else "None", "clusterIPs": list(ips) or ["None"]})


def cidr(*ranges: str, name: str = "kubernetes", **metadata: Any) -> Object:
    return made(SERVICE_CIDRS, name, "", spec={"cidrs": list(ranges)}, metadata=metadata)


def repaired(key: Key, services: list[Object], addresses: list[Object]) -> list[str]:
    """What the repair does: reasons of events, and verbs with names."""
    objects = {SERVICES: services, IP_ADDRESSES: addresses, SERVICE_CIDRS: [cidr("10.96.0.0/16")]}
    told = []
    for change in run_table(ipaddressrepair.controller(CONFIG), objects, key, NOW).changes:
        match change:
            case RecordEvent():
                told.append(f"{change.reason}: {change.message}")
            case Create():
                told.append(f"create {change.obj['metadata']['name']} for {change.obj['spec']['parentRef']['name']}")
            case Delete():
                told.append(f"delete {change.name}")
    return told


WEB = Key("default", "web")


@pytest.mark.parametrize(("services", "addresses", "told"), [
    ([service("10.96.0.9")], [address("10.96.0.9")], []),
    ([service()], [], []),
    ([service("10.96.0.9")], [], ["ClusterIPNotAllocated: Cluster IP [IPv4]: 10.96.0.9 is not allocated; repairing", "create 10.96.0.9 for web"]),
    ([service("1.2.3.4")], [], ["ClusterIPOutOfRange: Cluster IP [IPv4]: 1.2.3.4 is not within any configured Service CIDR; please recreate service"]),
    ([service("10.96.0.9")], [address("10.96.0.9", "gone")], [
        "ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
        "delete 10.96.0.9", "create 10.96.0.9 for web"]),
    ([service("10.96.0.9")], [address("10.96.0.9", resource="gateways")], [
        "ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.96.0.9 for Service default/web has a wrong reference; repairing",
        "delete 10.96.0.9", "create 10.96.0.9 for web"]),
    ([service("10.96.0.9"), service("10.96.0.9", name="two")], [address("10.96.0.9", "two")], [
        "ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.96.0.9 was assigned to multiple services; please recreate service"]),
    ([service("10.96.0.9")], [address("10.96.0.9", labels={})], ["delete 10.96.0.9", "create 10.96.0.9 for web"])])
def test_services_get_what_they_lost(services: list[Object], addresses: list[Object], told: list[str]) -> None:
    assert repaired(WEB, services, addresses) == told


@pytest.mark.parametrize(("services", "obj", "told"), [
    ([service("10.96.0.9")], address("10.96.0.9", age=90), []),
    ([], address("10.96.0.9", age=30), []),
    ([], address("10.96.0.9", age=90), ["IPAddressNotAllocated: IPAddress: 10.96.0.9 for Service default/web appears to have leaked: cleaning up", "delete 10.96.0.9"]),
    ([], address("10.96.0.9", age=90, labels={}), []),
    ([service("10.96.0.8")], address("10.96.0.9"), ["IPAddressWrongReference: IPAddress: 10.96.0.9 for Service default/web has a wrong reference; cleaning up",
                                                     "delete 10.96.0.9"])])
def test_addresses_nobody_has_are_cleaned_up(services: list[Object], obj: Object, told: list[str]) -> None:
    assert repaired(Key("", "10.96.0.9"), services, [obj]) == told


async def test_repair_notices_by_itself() -> None:
    async with Cluster(ipaddressrepair, config=CONFIG, kubelet=False) as cluster:
        await cluster.create(SERVICE_CIDRS, cidr("10.96.0.0/16"))
        await cluster.create(SERVICES, service("10.96.0.9"))
        await cluster.clock.advance(6)
        assert cluster.names(IP_ADDRESSES) == ["10.96.0.9"]
        await cluster.delete(IP_ADDRESSES, "10.96.0.9", "")
        await cluster.clock.advance(6)
        assert cluster.names(IP_ADDRESSES) == ["10.96.0.9"]
        await cluster.delete(SERVICES, "web")
        await cluster.clock.advance(70)
        await cluster.settle()
        assert not cluster.names(IP_ADDRESSES)


async def test_the_default_range_is_made_and_ready_and_made_again() -> None:
    async with Cluster(servicecidrs, config=CONFIG, kubelet=False) as cluster:
        await cluster.create(NAMESPACES, made(NAMESPACES, "default", ""))
        (obj,) = cluster.all(SERVICE_CIDRS)
        assert obj["spec"] == {"cidrs": ["10.96.0.0/16"]} and obj["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
        (ready,) = obj["status"]["conditions"]
        assert (ready["status"], ready["reason"], ready["message"]) == ("True", "", "Kubernetes Service CIDR is ready")


@pytest.mark.parametrize(("others", "used", "goes"), [
    ([], [], True), ([], ["10.96.0.9"], False), (["10.0.0.0/8"], ["10.96.0.9"], True), (["10.96.0.0/24"], ["10.96.0.9"], True),
    (["10.96.0.0/24"], ["10.96.9.9"], False), (["fd00::/112"], ["10.96.0.9"], False)])
async def test_a_range_goes_when_nobody_needs_it(others: list[str], used: list[str], goes: bool) -> None:
    async with Cluster(servicecidrs, config=CONFIG, kubelet=False) as cluster:
        for number, other in enumerate(others):
            await cluster.create(SERVICE_CIDRS, cidr(other, name=f"o{number}"))
        for ip in used:
            await cluster.create(IP_ADDRESSES, address(ip))
        await cluster.create(SERVICE_CIDRS, cidr("10.96.0.0/16", name="more"))
        await cluster.delete(SERVICE_CIDRS, "more", "")
        assert "more" in cluster.names(SERVICE_CIDRS)
        await cluster.clock.advance(11)
        await cluster.settle()
        assert ("more" not in cluster.names(SERVICE_CIDRS)) == goes
        if not goes:
            condition = cluster.one(SERVICE_CIDRS, "more", "")["status"]["conditions"][0]
            assert (condition["status"], condition["reason"]) == ("False", "Terminating")
            await cluster.delete(IP_ADDRESSES, used[0], "")
            await cluster.clock.advance(11)
            await cluster.settle()
            assert "more" not in cluster.names(SERVICE_CIDRS)


async def test_a_cluster_has_its_own_services_and_gets_them_back() -> None:
    async with Cluster(kubernetesservice, config=CONFIG, kubelet=False) as cluster:
        for namespace in ("default", "kube-system"):
            await cluster.create(NAMESPACES, made(NAMESPACES, namespace, ""))
        api, dns = cluster.one(SERVICES, "kubernetes"), cluster.one(SERVICES, "kube-dns", "kube-system")
        assert (api["spec"]["clusterIP"], dns["spec"]["clusterIP"]) == ("10.96.0.1", "10.96.0.10")
        assert dns["metadata"]["labels"] == {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
        assert cluster.one(ENDPOINTS, "kubernetes")["subsets"] == [
            {"addresses": [{"ip": "10.77.0.1"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}]
        assert cluster.one(ENDPOINT_SLICES, "kubernetes")["endpoints"] == [{"addresses": ["10.77.0.1"], "conditions": {"ready": True}}]
        await cluster.patch(ENDPOINTS, "kubernetes", {"subsets": [{"addresses": [{"ip": "6.6.6.6"}], "ports": []}]})
        assert cluster.one(ENDPOINTS, "kubernetes")["subsets"][0]["addresses"] == [{"ip": "10.77.0.1"}]
        await cluster.patch(SERVICES, "kubernetes", {"spec": {"selector": {"app": "evil"}}})
        assert "selector" not in cluster.one(SERVICES, "kubernetes")["spec"]
        for resource, name, namespace in ((SERVICES, "kubernetes", "default"), (SERVICES, "kube-dns", "kube-system"), (ENDPOINT_SLICES, "kubernetes", "default")):
            await cluster.delete(resource, name, namespace)
            assert cluster.one(resource, name, namespace)


@pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
async def test_nothing_points_to_loopback(where: str) -> None:
    async with Cluster(kubernetesservice, config=Config(service_cidr="10.96.0.0/16", api_address=where), kubelet=False) as cluster:
        await cluster.create(ENDPOINTS, made(ENDPOINTS, "kubernetes", subsets=[{"addresses": [{"ip": "10.1.1.1"}]}]))
        await cluster.create(NAMESPACES, made(NAMESPACES, "default", ""))
        assert cluster.names(SERVICES) == ["kubernetes"] and not cluster.all(ENDPOINTS) and not cluster.all(ENDPOINT_SLICES)
