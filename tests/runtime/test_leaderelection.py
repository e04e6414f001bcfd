"""Leader election between candidates on one clock."""
from __future__ import annotations

import asyncio

from tiffin.client.memory import MemoryClient
from tiffin.machinery.errors import service_unavailable
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.leaderelection import LEASES, Candidate, Election


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


class Field:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)

    def enter(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(Candidate(self.client, self.clock, Election("kube-system", "boss", name)).run(forever))

    def holder(self) -> str:
        return self.client.objects(LEASES)[0]["spec"]["holderIdentity"]


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_leads_and_a_returned_lease_passes_on_at_once() -> None:
    field = Field()
    a = field.enter("a")
    await field.clock.settle()
    b = field.enter("b")
    await field.clock.advance(60)
    assert field.holder() == "a" and not a.done() and not b.done()
    await ended(a)
    await field.clock.advance(3)
    assert field.holder() == "b" and field.client.objects(LEASES)[0]["spec"]["leaseTransitions"] == 1
    await ended(b)


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin() -> None:
    field = Field()
    a = field.enter("a")
    await field.clock.settle()
    field.client.fault = lambda verb, resource, key: service_unavailable("down")
    await field.clock.advance(13)
    assert a.done()
    field.client.fault = lambda verb, resource, key: None
    b = field.enter("b")
    await field.clock.advance(14)
    assert field.holder() == "a"
    await field.clock.advance(4)
    assert field.holder() == "b"
    await ended(b)
