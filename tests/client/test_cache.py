"""The indexed cache, alone and kept true by a watch."""
from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tiffin.client.cache import Cache, Caches
from tiffin.client.memory import MemoryClient
from tiffin.client.watcher import Applied, Removed, Replaced
from tiffin.machinery.errors import expired, internal_error
from tiffin.machinery.object import Object, Resource
from tiffin.runtime.clock import FakeClock

PODS = Resource("", "v1", "pods")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(name: str, version: int = 1, namespace: str = "default", owner: str = "", **more: object) -> Object:
    references = [{"uid": owner, "controller": True}] if owner else []
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version), "ownerReferences": references}, **more}


def cache(**arguments: object) -> Cache:
    return Cache(PODS, lambda: NOW, **arguments)  # type: ignore[arg-type]


def test_finds_by_key_namespace_and_owner() -> None:
    c = cache()
    a, b = pod("a", owner="u"), pod("b", namespace="other", owner="u")
    c.deliver(Replaced((a, b), "7"))
    assert c.get("default", "a") is a and c.get("default", "b") is None
    assert c.list("other") == [b] and len(c) == 2 and c.synced.is_set()
    assert c.by_index("owner", "u") == [a, b]
    c.deliver(Applied(pod("a", 8)))
    assert c.by_index("owner", "u") == [b]


def test_subscribers_see_differences_of_a_relist() -> None:
    c, seen = cache(), []
    c.deliver(Replaced((pod("a"), pod("b"), pod("c")), "3"))
    c.subscribe(lambda old, new: seen.append((old and old["metadata"]["name"], new and new["metadata"]["name"])))
    seen.clear()
    c.deliver(Replaced((pod("a"), pod("b", 4), pod("d", 5)), "6"))
    assert seen == [("c", None), ("b", "b"), (None, "d")]


def test_a_failing_subscriber_does_not_stop_the_others() -> None:
    c, seen = cache(), []
    c.subscribe(lambda old, new: 1 / 0)
    c.subscribe(lambda old, new: seen.append(new))
    c.deliver(Applied(pod("a")))
    assert len(seen) == 1


def test_own_writes_are_seen_by_revision() -> None:
    c = cache()
    c.deliver(Replaced((), "10"))
    assert c.seen("10") and not c.seen("11")
    c.deliver(Removed(pod("gone", 12)))
    assert c.seen("12")


def test_observations_keep_our_own_time() -> None:
    clock = FakeClock(NOW)
    c = Cache(PODS, clock.now)
    c.add_observation("phase", lambda obj: obj.get("phase"))
    c.deliver(Applied(pod("a", 1, phase="Pending")))
    clock._now += timedelta(seconds=5)
    c.deliver(Applied(pod("a", 2, phase="Pending")))
    assert c.observed("default", "a", "phase") == NOW
    c.deliver(Applied(pod("a", 3, phase="Running")))
    assert c.observed("default", "a", "phase") == NOW + timedelta(seconds=5)


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "remove"]), st.sampled_from(["", "u", "v"])), max_size=40)


@given(STEPS)
def test_indexes_agree_with_the_objects(steps: list[tuple[str, str, str]]) -> None:
    c, model = cache(), {}
    for version, (name, verb, owner) in enumerate(steps, 1):
        if verb == "put":
            model[name] = pod(name, version, owner=owner)
            c.deliver(Applied(model[name]))
        else:
            model.pop(name, None)
            c.deliver(Removed(pod(name, version)))
    key = lambda obj: obj["metadata"]["name"]  # noqa: E731
    assert sorted(c.list(), key=key) == sorted(model.values(), key=key)
    for owner in "uv":
        owned = [obj for obj in model.values() if obj["metadata"]["ownerReferences"] and obj["metadata"]["ownerReferences"][0]["uid"] == owner]
        assert sorted(c.by_index("owner", owner), key=key) == sorted(owned, key=key)


async def test_caches_follow_a_server_through_its_troubles() -> None:
    clock = FakeClock(NOW)
    client = MemoryClient(clock.now)
    troubles = [internal_error("not yet"), OSError("reset")]
    client.fault = lambda verb, resource, key: troubles.pop() if troubles and verb in ("list", "watch") else None
    client.put(PODS, pod("a"))
    caches = Caches(client, clock.now, clock.sleep)
    caches.add(PODS)
    running = asyncio.create_task(caches.run())
    await clock.advance(10)
    assert caches[PODS].synced.is_set() and len(caches.list(PODS)) == 1
    await client.create(PODS, "default", pod("b"))
    await clock.settle()
    assert len(caches.list(PODS)) == 2
    troubles.append(expired("too old"))
    await client.create(PODS, "default", pod("c"))
    await client.delete(PODS, "default", "a")
    await clock.advance(10)
    assert sorted(obj["metadata"]["name"] for obj in caches.list(PODS)) == ["b", "c"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
