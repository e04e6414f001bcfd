"""Simulated nodes: the same plan on a make-believe runtime, with annotations that choose how pods behave."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.kubelet.builders import NODE, NOW, container, pod
from tests.kubelet.fakes import ApiServer
from tiffin.kubelet.make_believe import advance, behaviour, first_sight
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.simulated import LEASES, NODES, Simulation, Size
from tiffin.kubelet.status import pod_status
from tiffin.machinery.object import Object, dig
from tiffin.runtime.clock import FakeClock

JOB = {"ownerReferences": [{"kind": "Job", "name": "j", "uid": "j", "controller": True}]}


def after(wish: Object, seconds: float) -> Object:
    """The status of a pod, that long after it was first seen; turns are taken only when one was asked for."""
    memory, now, end = first_sight(wish, NOW), NOW, NOW + timedelta(seconds=seconds)
    while True:
        turn = advance(wish, memory, NODE, "10.0.0.9", now)
        memory = turn.memory
        if turn.wake is None or turn.wake > end:
            return pod_status(turn.state, now)
        now = turn.wake


def annotated(*containers: Any, **annotations: str) -> Object:
    return pod(*containers, meta={"annotations": {f"tiffin.dev/simulate-{k.replace('_', '-')}": v for k, v in annotations.items()}})


@pytest.mark.parametrize(("wish", "seconds", "phase", "state"), [
    (pod(), 0, "Running", "running"),
    (pod(init=[container("i"), container("s", restartPolicy="Always")]), 0, "Running", "running"),
    (pod(restartPolicy="Never", meta=JOB), 0, "Running", "running"),
    (pod(restartPolicy="Never", meta=JOB), 1, "Succeeded", "terminated"),
    (annotated(start_delay="5s"), 4, "Pending", "waiting"),
    (annotated(start_delay="5s"), 5, "Running", "running"),
    (annotated(run_time="30s") | {"spec": {"restartPolicy": "Never", "containers": [container()]}}, 30, "Succeeded", "terminated"),
    (annotated(exit_code="3") | {"spec": {"restartPolicy": "Never", "containers": [container()]}}, 1, "Failed", "terminated"),
    (annotated(exit_code="3"), 3, "Running", "waiting"),
    (annotated(failure="ErrImagePull", failure_message="no"), 100, "Pending", "waiting"),
    (annotated(run_time="nonsense"), 100, "Running", "running"),
])
def test_behaviour(wish: Object, seconds: float, phase: str, state: str) -> None:
    status = after(wish, seconds)
    assert status["phase"] == phase and state in status["containerStatuses"][0]["state"]


def test_crash_loops_and_readiness() -> None:
    status = after(annotated(exit_code="3"), 3)["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff" and status["restartCount"] == 1
    late = annotated(container(readinessProbe={"exec": {}}), ready_delay="10s")
    assert [after(late, s)["containerStatuses"][0]["ready"] for s in (9, 10)] == [False, True]
    assert behaviour(annotated(exit_code="-1")).exit_code == 0


@asynccontextmanager
async def simulation(count: int) -> AsyncIterator[tuple[ApiServer, FakeClock]]:
    clock = FakeClock(NOW)
    client = ApiServer(clock.now)
    task = asyncio.create_task(Simulation(client, count, "sim", clock, Size()).run())
    await clock.settle()
    yield client, clock
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle(clock: FakeClock, seconds: float = 0.0) -> None:
    for _ in range(5):
        await clock.advance(seconds / 5)


async def test_nodes_are_ready_and_stay_alive() -> None:
    async with simulation(3) as (client, clock):
        await settle(clock)
        assert [n["metadata"]["name"] for n in client.objects(NODES)] == ["sim-0", "sim-1", "sim-2"]
        node = client.objects(NODES)[0]
        assert node["status"]["allocatable"] == node["status"]["capacity"] and node["status"]["capacity"]["cpu"] == "32"
        assert node["metadata"]["labels"]["tiffin.dev/simulated"] == "true"
        assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
        first = [lease["spec"]["renewTime"] for lease in client.objects(LEASES)]
        await settle(clock, 30)
        assert all(a < b for a, b in zip(first, [lease["spec"]["renewTime"] for lease in client.objects(LEASES)]))


async def test_pods_run_and_go() -> None:
    async with simulation(2) as (client, clock):
        for number in range(20):
            client.put(PODS, pod(meta={"name": f"p{number:02d}", "uid": f"u{number}"}, nodeName=f"sim-{number % 2}"))
        client.put(PODS, pod(meta={"name": "elsewhere", "uid": "x"}, nodeName="real"))
        await settle(clock)
        pods = client.objects(PODS)
        assert {p["status"]["phase"] for p in pods if p["metadata"]["name"] != "elsewhere"} == {"Running"}
        assert next(p for p in pods if p["metadata"]["name"] == "elsewhere")["status"]["phase"] == "Pending"
        assert len({dig(p, "status", "podIP") for p in pods}) == 21
        writes = len([r for r in client.requests if r[1] == PODS])
        assert writes == 20
        await client.delete(PODS, "default", "p00", grace_period=30)
        await settle(clock)
        assert len(client.objects(PODS)) == 20
        assert len([r for r in client.requests if r[1] == PODS]) == writes + 2


async def test_a_simulator_that_restarts_takes_pods_as_they_are() -> None:
    async with simulation(1) as (client, clock):
        client.put(PODS, pod(meta={"name": "old", "uid": "o"}, nodeName="sim-0", status={"phase": "Running", "podIP": "10.0.0.7"}))
        await settle(clock)
        assert [r for r in client.requests if r[1] == PODS] == []
        await client.delete(PODS, "default", "old", grace_period=30)
        await settle(clock)
        assert client.objects(PODS) == []
