"""The proxy at work against a make-believe API server and make-believe tables, with a clock moved by hand."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.proxy.builders import CONFIG, HERE, endpoint, port, service, slice_of
from tests.proxy.model import Model
from tests.proxy.test_policies import pod, policy
from tiffin.client.cache import Caches
from tiffin.client.memory import MemoryClient
from tiffin.machinery.object import Object
from tiffin.proxy import nftables
from tiffin.proxy.nftables import NftError
from tiffin.proxy.policywatch import NAMESPACES, NETWORK_POLICIES, PODS
from tiffin.proxy.run import NODES, SERVICES, SLICES, Proxy
from tiffin.runtime.clock import FakeClock

_WEB = "10.96.0.20 . tcp . 80"


class Running:
    """A proxy, and what it stands between."""

    def __init__(self) -> None:
        self.clock, self.tables = FakeClock(), Model()
        self.client = MemoryClient(self.clock.now)
        self.caches = Caches(self.client, self.clock.now, self.clock.sleep)
        self.client.put(NODES, {"metadata": {"name": HERE}, "spec": {"podCIDR": "10.244.1.0/24"}})
        self.client.put(SERVICES, service())
        self.client.put(SLICES, slice_of("web", endpoint("10.244.2.2")))

    def elements(self, name: str) -> dict[str, str]:
        return self.tables.tables["ip"].elements.get(name, {})

    async def settled(self, condition: Callable[[], bool], seconds: float = 1.0) -> None:
        """Lets the clock go on until it is so."""
        for _ in range(200):
            if condition():
                return
            await self.clock.advance(seconds / 100)
            await asyncio.sleep(0.001)  # threads: flows are forgotten in one
        raise AssertionError("it does not come to that")


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    made = Running()
    proxy = Proxy(CONFIG, made.caches, made.clock, made.tables)
    tasks = [asyncio.create_task(made.caches.run()), asyncio.create_task(proxy.run())]
    try:
        await made.settled(lambda: "ip" in made.tables.tables)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_services_are_programmed_and_changes_follow() -> None:
    async with running() as at:
        assert at.elements("services") == {_WEB: "goto open-endpoint-0"}
        assert at.elements("pods") == {"10.244.1.0/24": ""}
        before = len(at.tables.transactions)
        at.client.put(SLICES, slice_of("web", endpoint("10.244.2.3")))
        at.client.put(SERVICES, service("other", "10.96.0.21"))
        await at.settled(lambda: at.elements("endpoints-0") == {_WEB: "10.244.2.3 . 8080"})
        assert "10.96.0.21" in at.elements("cluster-ips")
        assert len(at.tables.transactions) == before + 1, "what changes together goes together"
        await at.client.delete(SERVICES, "default", "web")
        await at.settled(lambda: not at.elements("services"))


async def test_nothing_is_run_when_nothing_changes() -> None:
    async with running() as at:
        before = len(at.tables.transactions)
        at.client.put(NODES, {"metadata": {"name": HERE}, "spec": {"podCIDR": "10.244.1.0/24"}, "status": {"heartbeat": 1}})
        await at.clock.advance(100)
        assert len(at.tables.transactions) == before


async def test_a_failure_is_told_of_once_and_retried_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as at:
        at.tables.faults = [NftError("no"), NftError("no"), OSError("nft is gone")]
        with caplog.at_level(logging.WARNING):
            at.client.put(SLICES, slice_of("web", endpoint("10.244.2.3")))
            await at.settled(lambda: at.elements("endpoints-0") == {_WEB: "10.244.2.3 . 8080"}, 10)
        assert [record.getMessage() for record in caplog.records] == ["services are not up to date on this node, will be tried again: no"]


@pytest.mark.parametrize(
    "harm",
    [
        "delete table ip tiffin",
        "delete element ip tiffin endpoints-0 { 10.96.0.20 . tcp . 80 }",
        "add element ip tiffin services { 10.96.0.99 . tcp . 1 : drop }",
        "flush chain ip tiffin dispatch",
        "flush chain ip tiffin endpoint-0",
        "add chain ip tiffin strange",
    ],
)
async def test_what_others_do_to_the_table_is_put_right(harm: str) -> None:
    async with running() as at:
        good = nftables_state(at)
        at.tables.apply(harm)
        await at.settled(lambda: nftables_state(at) == good, 20)


def nftables_state(at: Running) -> object:
    table = at.tables.tables.get("ip")
    return table and (dict(table.sets), {name: dict(each) for name, each in table.elements.items()}, {name: list(rules) for name, rules in table.chains.items()})


async def test_a_table_from_before_is_taken_over_with_its_clients() -> None:
    """A restart of the agent changes nothing that is right, and forgets no session."""
    async with running() as at:
        at.client.put(SERVICES, service(sessionAffinity="ClientIP"))
        await at.settled(lambda: any(name.startswith("clients-") for name in at.tables.tables["ip"].sets))
        before = len(at.tables.transactions)
        again = Proxy(CONFIG, at.caches, at.clock, at.tables)
        task = asyncio.create_task(again.run())
        await at.clock.advance(5)
        task.cancel()
        assert len(at.tables.transactions) == before


async def test_bad_endpoints_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as at:
        bad: Object = slice_of("web", endpoint("127.0.0.1"), endpoint("169.254.169.254"), endpoint("10.244.2.9"))
        with caplog.at_level(logging.WARNING):
            at.client.put(SLICES, bad)
            await at.settled(lambda: at.elements("endpoints-0") == {_WEB: "10.244.2.9 . 8080"})
            at.client.put(SLICES, bad | {"ports": [{"name": "", "protocol": "TCP", "port": 81}]})
            await at.settled(lambda: at.elements("endpoints-0") == {_WEB: "10.244.2.9 . 81"})
        assert [record.getMessage() for record in caplog.records] == [
            "endpoint slice default/web-abcde: the address 127.0.0.1 is no endpoint and is ignored",
            "endpoint slice default/web-abcde: the address 169.254.169.254 is no endpoint and is ignored",
        ]


async def test_one_service_nobody_understands_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as at:
        at.client.put(SERVICES, service("broken", "10.96.0.30", [port("eighty")]))  # type: ignore[arg-type]
        at.client.put(SLICES, slice_of("broken", endpoint("10.244.2.2")))
        at.client.put(SERVICES, service("fine", "10.96.0.31"))
        at.client.put(SLICES, slice_of("fine", endpoint("10.244.2.2")))
        await at.settled(lambda: "10.96.0.31 . tcp . 80" in at.elements("services"))
        assert "service default/broken is left out" in caplog.text


async def test_a_second_family_gets_its_table_when_it_is_needed() -> None:
    async with running() as at:
        assert set(at.tables.tables) == {"ip"}
        at.client.put(SERVICES, service("six", "fd00::1"))
        at.client.put(SLICES, slice_of("six", endpoint("fd01::1"), family="IPv6"))
        await at.settled(lambda: "ip6" in at.tables.tables)
        assert at.tables.tables["ip6"].elements["endpoints-0"] == {"fd00::1 . tcp . 80": "fd01::1 . 8080"}


def test_cleanup_leaves_nothing() -> None:
    tables = Model()
    tables.apply(nftables.made_anew("ip", {}))
    tables.apply(nftables.removed())
    assert not tables.tables


async def test_policies_are_programmed_while_there_are_any_and_pods_followed_for_them() -> None:
    async with running() as at:
        at.client.put(NAMESPACES, {"metadata": {"name": "a"}})
        at.client.put(PODS, pod("web", node=HERE))
        assert PODS not in at.caches
        at.client.put(NETWORK_POLICIES, policy())
        await at.settled(lambda: list(at.elements("policy-ingress")) == ["10.244.1.5"])
        at.client.put(PODS, pod("api", node=HERE, address="10.244.1.6"))
        await at.settled(lambda: list(at.elements("policy-ingress")) == ["10.244.1.5", "10.244.1.6"])
        await at.client.delete(NETWORK_POLICIES, "a", "p")
        await at.settled(lambda: not at.elements("policy-ingress"))
        assert PODS not in at.caches
