"""The parts all pods share: the gate before the runtime, watches of referenced objects, the writer of statuses, retries."""
from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.kubelet.builders import NOW, container, pod
from tests.kubelet.fakes import ApiServer
from tiffin.kubelet.gate import Gate, Turn
from tiffin.kubelet.publish import PODS, Publisher
from tiffin.kubelet.references import CONFIG_MAPS, SECRETS, References, references_of
from tiffin.kubelet.retries import LONGEST, Retries
from tiffin.machinery.errors import ApiError
from tiffin.runtime.clock import FakeClock


async def test_the_gate_lets_in_those_nearest_to_running() -> None:
    gate, order, done = Gate(1), [], asyncio.Event()

    async def enter(name: str, turn: Turn) -> None:
        async with gate.place(turn):
            order.append(name)
            await done.wait()

    tasks = [asyncio.create_task(enter(n, t)) for n, t in (("s1", Turn.SANDBOX), ("s2", Turn.SANDBOX), ("c1", Turn.CONTAINER), ("gone", Turn.CONTAINER), ("c2", Turn.CONTAINER))]
    await asyncio.sleep(0)
    assert order == ["s1"]
    tasks[3].cancel()
    done.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["s1", "c1", "c2", "s2"]
    async with asyncio.timeout(1), gate.place(Turn.SANDBOX):
        pass


def test_every_reference_is_found() -> None:
    """CVE-2024-3177 and its kin: init and ephemeral containers and envFrom count like all others."""
    wish = pod(
        container(env=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]),
        init=[container("i", envFrom=[{"configMapRef": {"name": "c1"}}, {"secretRef": {"name": "s2"}}])],
        ephemeralContainers=[container("e", env=[{"name": "a", "valueFrom": {"configMapKeyRef": {"name": "c2", "key": "k"}}}])],
        imagePullSecrets=[{"name": "s3"}, {}],
        volumes=[{"name": "1", "configMap": {"name": "c3"}}, {"name": "2", "secret": {"secretName": "s4"}}, {"name": "3", "projected": {"sources": [{"configMap": {"name": "c4"}}, {"secret": {"name": "s5"}}]}}],
    )
    assert {(r.plural, n) for r, _, n in references_of(wish)} == {
        *(("configmaps", f"c{i}") for i in range(1, 5)), *(("secrets", f"s{i}") for i in range(1, 6)),
    }


async def test_objects_are_watched_while_somebody_needs_them() -> None:
    clock, told = FakeClock(NOW), []
    client = ApiServer(clock.now)
    client.put(CONFIG_MAPS, {"metadata": {"name": "m", "namespace": "default"}, "data": {"a": "1"}}, {"metadata": {"name": "other", "namespace": "default"}})
    references = References(client, clock, told.append)
    needy = pod(container(envFrom=[{"configMapRef": {"name": "m"}}, {"secretRef": {"name": "none"}}]))
    references.hold(needy)
    found = await references.gathered(needy)
    assert found[CONFIG_MAPS, "default", "m"] is not None and found[SECRETS, "default", "none"] is None
    assert await references.config_map("default", "other") is None and told == []
    client.put(CONFIG_MAPS, dict(client.objects(CONFIG_MAPS)[0], data={"a": "2"}))
    client.put(SECRETS, {"metadata": {"name": "none", "namespace": "default"}})
    await clock.settle()
    assert told == ["u1", "u1"]
    references.hold(pod())
    client.put(CONFIG_MAPS, dict(client.objects(CONFIG_MAPS)[0], data={"a": "3"}))
    await clock.settle()
    assert told == ["u1", "u1"]
    references.release("u1")
    references.close()


async def test_statuses_are_written_in_order_and_the_newest_wins() -> None:
    clock = FakeClock(NOW)
    client = ApiServer(clock.now)
    client.put(PODS, pod())
    shown, publisher = client.objects(PODS)[0], Publisher(client, clock)
    publisher.publish(shown, {"phase": "Pending", "message": "1"}, delay=0.4)
    await clock.advance(0.3)
    assert client.requests == []
    publisher.publish(shown, {"phase": "Running"})
    await clock.settle()
    assert client.objects(PODS)[0]["status"] == {"phase": "Running"} and len(client.requests) == 1
    publisher.publish(shown, {"phase": "Running"})
    await clock.settle()
    assert len(client.requests) == 1
    client.fault = lambda verb, resource, key: ConnectionError("away")
    publisher.publish(shown, {"phase": "Failed"})
    await clock.settle()
    publisher.publish(shown, {"phase": "Succeeded"})
    client.fault = lambda verb, resource, key: None
    await clock.advance(1)
    await publisher.settled(shown)
    assert client.objects(PODS)[0]["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("code", [404, 409, 422])
async def test_a_status_that_can_never_be_written_is_dropped(code: int) -> None:
    clock = FakeClock(NOW)
    client = ApiServer(clock.now)
    client.put(PODS, pod())
    client.fault = lambda verb, resource, key: ApiError(code, "", "no") if verb == "patch" else None
    publisher = Publisher(client, clock)
    publisher.publish(client.objects(PODS)[0], {"phase": "Running"})
    await clock.advance(600)
    assert len(client.requests) == 1


async def test_a_namesake_does_not_get_the_status_of_the_one_before() -> None:
    clock = FakeClock(NOW)
    client = ApiServer(clock.now)
    client.put(PODS, pod())
    publisher = Publisher(client, clock)
    publisher.publish(client.objects(PODS)[0] | {"metadata": pod()["metadata"] | {"uid": "earlier"}}, {"phase": "Failed"})
    await clock.settle()
    assert client.objects(PODS)[0]["status"]["phase"] == "Pending"


def test_retries_take_longer_and_longer() -> None:
    clock = FakeClock(NOW)
    retries = Retries(clock.now)
    waits = []
    for _ in range(12):
        retries.put_off("x")
        wait = retries.wait_of("x")
        assert wait is not None
        waits.append(wait - NOW)
    assert waits[:3] == [timedelta(milliseconds=ms) for ms in (250, 500, 1000)] and waits[-1] == LONGEST
    retries.allow(lambda key: key == "x")
    assert retries.wait_of("x") is None
    retries.succeeded("x")
    retries.put_off("x")
    assert retries.wait_of("x") == NOW + timedelta(milliseconds=250)
