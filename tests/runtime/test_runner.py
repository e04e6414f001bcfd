"""The runner against the make-believe server: a controller that gives every ConfigMap a twin Secret."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tiffin.client.memory import MemoryClient
from tiffin.machinery.errors import ApiError, conflict, forbidden
from tiffin.machinery.object import Key, Object, Resource
from tiffin.runtime.clock import FakeClock
from tiffin.runtime.controller import Absent, Changes, Controller, Create, Later, Patch, RecordEvent, View, Watch, no_keys
from tiffin.runtime.events import EVENTS
from tiffin.runtime.manager import run_controllers

MAPS, TWINS = Resource("", "v1", "configmaps"), Resource("", "v1", "secrets")


def config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}}


def twin(key: Key) -> Object:
    return {"metadata": {"generateName": key.name + "-", "namespace": key.namespace, "labels": {"of": key.name}}}


def reconcile_twin(key: Key, view: View, now: datetime) -> Changes:
    """Lists by label, so a second look before the first write is seen would make a second twin."""
    owner = view.get(MAPS, *key)
    if owner is None or any(t["metadata"]["labels"]["of"] == key.name for t in view.list(TWINS, key.namespace)):
        return Changes()
    made = lambda obj: (RecordEvent(owner, "Normal", "Made", f"Made {obj['metadata']['name']}"),)  # noqa: E731
    failed = lambda change, error: (RecordEvent(owner, "Warning", "Failed", error.message),)  # noqa: E731
    return Changes((Create(TWINS, twin(key), then=made),), failed=failed)


def controller(reconcile: Callable[[Key, View, datetime], Changes] = reconcile_twin, **more: object) -> Controller:
    watches = (Watch(MAPS), Watch(TWINS, keys=no_keys))
    return Controller(**({"name": "twins", "watches": watches, "reconcile": reconcile, "rules": ()} | more))  # type: ignore[arg-type]


class Stage:
    """A cluster of one controller, running."""

    def __init__(self, what: Controller) -> None:
        self.clock = FakeClock()
        self.client = MemoryClient(self.clock.now)
        self.controller = what

    async def __aenter__(self) -> Stage:
        self.task = asyncio.create_task(run_controllers(lambda name: self.client, [self.controller], self.clock))
        await self.clock.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def writes(self, resource: Resource) -> list[str]:
        return [verb for verb, r, _ in self.client.requests if r == resource]


async def test_existing_and_new_objects_are_reconciled_once() -> None:
    stage = Stage(controller())
    stage.client.put(MAPS, config_map("a"))
    async with stage:
        await stage.client.create(MAPS, "n", config_map("b"))
        await stage.clock.settle()
        await stage.client.patch(MAPS, "n", "b", {"data": {"k": "v"}})
        await stage.clock.settle()
        assert stage.writes(TWINS) == ["create", "create"]
        (event, _) = stage.client.objects(EVENTS)
        assert event["message"].startswith("Made a-")


async def test_a_key_waits_until_its_own_write_is_in_the_cache() -> None:
    stage = Stage(controller())
    gate = asyncio.Event()
    watch = stage.client.watch

    async def slow(resource: Resource, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
        async for event in watch(resource, *arguments, **options):  # type: ignore[arg-type]
            if resource == TWINS:
                await gate.wait()
            yield event

    stage.client.watch = slow  # type: ignore[method-assign, assignment]
    async with stage:
        await stage.client.create(MAPS, "n", config_map("a"))
        await stage.clock.settle()
        for n in range(3):
            await stage.client.patch(MAPS, "n", "a", {"data": {"k": str(n)}})
            await stage.clock.settle()
        assert stage.writes(TWINS) == ["create"]
        gate.set()
        await stage.clock.settle()
        assert stage.writes(TWINS) == ["create"]


async def test_conflicts_are_retried_quietly_and_refusals_are_reported() -> None:
    stage = Stage(controller())
    errors: list[ApiError] = [conflict("secrets", "x", "busy"), forbidden("secrets", "", "no quota")]
    stage.client.fault = lambda verb, resource, key: errors.pop(0) if errors and (verb, resource) == ("create", TWINS) else None
    async with stage:
        await stage.client.create(MAPS, "n", config_map("a"))
        await stage.clock.advance(1)
        assert stage.writes(TWINS) == ["create"] * 3
        assert [e["reason"] for e in stage.client.objects(EVENTS)] == ["Failed", "Made"]


async def test_content_of_a_namespace_that_goes_is_not_retried() -> None:
    stage = Stage(controller())
    going = forbidden("secrets", "", "going", [{"reason": "NamespaceTerminating"}])
    stage.client.fault = lambda verb, resource, key: going if (verb, resource) == ("create", TWINS) else None
    async with stage:
        await stage.client.create(MAPS, "n", config_map("a"))
        await stage.clock.advance(60)
        assert stage.writes(TWINS) == ["create"]


async def test_a_fault_in_a_controller_is_retried() -> None:
    seen: list[datetime] = []

    def faulty(key: Key, view: View, now: datetime) -> Changes:
        seen.append(now)
        if len(seen) < 3:
            raise ZeroDivisionError
        return Changes()

    async with Stage(controller(faulty)) as stage:
        await stage.client.create(MAPS, "n", config_map("a"))
        await stage.clock.advance(1)
        assert len(seen) == 3


async def test_requeue_after_and_later_wait_for_their_time() -> None:
    seen: list[tuple[str, float]] = []
    start = FakeClock().now()

    def reconcile(key: Key, view: View, now: datetime) -> Changes:
        seen.append((key.name, (now - start).total_seconds()))
        return Changes(requeue_after=timedelta(seconds=5) if len(seen) == 1 else None)

    watch = Watch(MAPS, keys=lambda obj, view: (Later(Key("", "later"), timedelta(seconds=40)),))
    async with Stage(controller(reconcile, watches=(watch,))) as stage:
        await stage.client.create(MAPS, "n", config_map("a"))
        await stage.clock.advance(60)
        assert seen == [("later", 40.0), ("later", 45.0)]


@pytest.mark.parametrize(("there", "expected"), [(True, []), (False, ["patch"])])
async def test_absent_asks_the_server_itself(there: bool, expected: list[str]) -> None:
    def reconcile(key: Key, view: View, now: datetime) -> Changes:
        return Changes((Absent(TWINS, "n", "witness"), Patch(MAPS, *key, {"data": {"alone": "yes"}})))

    stage = Stage(controller(reconcile, watches=(Watch(MAPS, changed=lambda old, new: False),)))
    if there:
        stage.client.put(TWINS, {"metadata": {"name": "witness", "namespace": "n"}})
    stage.client.put(MAPS, config_map("a"))
    async with stage:
        assert stage.writes(MAPS) == expected
