"""Whom a node that runs short evicts."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kubelet.builders import container, pod
from tests.kubelet.scenario import scenario
from tiffin.kubelet.eviction import message, victim
from tiffin.kubelet.housekeeping import relieve
from tiffin.machinery.object import name_of


def named(name: str, request: str = "", **spec: Any) -> Any:
    one = container(resources={"requests": {"memory": request}} if request else {})
    return pod(one, meta={"name": name, "uid": name}, **spec)


@pytest.mark.parametrize(("pods", "usage", "chosen"), [
    ([named("a", "1Gi"), named("b")], {"a": 500, "b": 100}, "b"),
    ([named("a"), named("b")], {"a": 500, "b": 100}, "a"),
    ([named("a", priority=5), named("b", priority=1)], {"a": 500, "b": 100}, "b"),
    ([named("a", priority=2_000_000_000), named("b", "1Gi")], {"a": 500, "b": 100}, "b"),
    ([pod(meta={"annotations": {"kubernetes.io/config.source": "file"}})], {}, None),
    ([], {}, None),
])
def test_the_order(pods: Any, usage: dict[str, int], chosen: str | None) -> None:
    found = victim(pods, {uid: {"main": used} for uid, used in usage.items()}, "memory")
    assert (found and name_of(found)) == chosen


def test_the_words() -> None:
    assert message(named("a", "1Mi"), {"a": {"main": 2 * 2**20}}, "memory") == (
        "The node was low on resource: memory. Container main was using 2048Ki, request is 1024Ki, has larger consumption of memory. "
    )


async def test_an_evicted_pod_fails_and_stays(tmp_path: Path) -> None:
    async with scenario(tmp_path) as play:
        await play.run(pod())
        await relieve(play.agent.kubelet, "memory")
        await play.until(lambda: play.pod()["status"]["phase"] == "Failed")
        await play.wait()
        assert play.pod()["status"]["reason"] == "Evicted" and play.pod()["status"]["message"].startswith("The node was low on resource: memory.")
        assert play.calls("stop") == ["stop main 2"] and "Evicted" in play.reasons()
        await relieve(play.agent.kubelet, "memory")
