"""Claims for one pod, disks for one node, volumes of a zone."""
from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.stage import Board, Shelf, Stage, node, nothing_selects, pod
from tests.scheduler.test_volumes import claim, late, user, volume
from tiffin.machinery.object import Object, replaced
from tiffin.scheduler.profile import default_profile
from tiffin.scheduler.volumes import CLAIMS, STORAGE_CLASSES

ZONE = "topology.kubernetes.io/zone"
IN_USE = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
NEW = "no new claims to deallocate, preemption: 0/2 nodes are available"


def alone(name: str) -> Object:
    return replaced(claim(name, volume="v"), ("spec", "accessModes"), ["ReadWriteOncePod"])


def test_a_claim_for_one_pod_keeps_others_from_every_node() -> None:
    storage = default_profile(nothing_selects, Shelf(alone("c"), volume("v")))
    board = Board(node("a"), node("b"), user("c", on="a"), profile=storage)
    assert board.message(user("c")) == f"0/2 nodes are available: 2 {IN_USE}. {NEW}: 2 No preemption victims found for incoming pod."
    assert board.preempt(user("c", priority=1)).node == "a"
    assert Board(node("a"), node("b"), profile=storage).possible(user("c")) == "a b"
    other = user("c", on="a", namespace="other")
    assert Board(node("a"), node("b"), other, profile=storage).possible(user("c")) == "a b"


@pytest.mark.parametrize(("mine", "theirs", "possible"), [
    ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "d"}}, "b"),
    ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "e"}}, "a b"),
    ({"gcePersistentDisk": {"pdName": "d", "readOnly": True}}, {"gcePersistentDisk": {"pdName": "d", "readOnly": True}}, "a b"),
    ({"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}}, {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}}, "b"),
    ({"iscsi": {"iqn": "i", "lun": 0}}, {"iscsi": {"iqn": "i", "lun": 0}}, "b"),
    ({"rbd": {"image": "i", "monitors": ["x", "y"]}}, {"rbd": {"image": "i", "monitors": ["y"]}}, "b"),
    ({"rbd": {"image": "i", "monitors": ["x"]}}, {"rbd": {"image": "i", "monitors": ["y"]}}, "a b"),
])  # fmt: skip
def test_disks_that_only_one_may_have(mine: Any, theirs: Any, possible: str) -> None:
    board = Board(node("a"), node("b"), pod(on="a", volumes=[{"name": "t", **theirs}]))
    assert board.possible(pod(volumes=[{"name": "m", **mine}])) == possible


@pytest.mark.parametrize(("labels", "possible"), [
    ({ZONE: "1"}, "a none"),
    ({ZONE: "1__2"}, "a b none"),
    ({"failure-domain.beta.kubernetes.io/zone": "2"}, "b none"),
    ({ZONE: "3"}, "none"),
])  # fmt: skip
def test_volumes_of_a_zone(labels: dict[str, str], possible: str) -> None:
    placed = replaced(volume("v"), ("metadata", "labels"), labels)
    nodes = (node("a", labels={ZONE: "1"}), node("b", labels={ZONE: "2"}), node("none"))
    board = Board(*nodes, profile=default_profile(nothing_selects, Shelf(claim("c", volume="v"), placed, late())))
    assert board.possible(user("c")) == possible
    if possible == "none":
        full = Board(*nodes[:2], profile=board.profile)
        assert full.message(user("c")).startswith("0/2 nodes are available: 2 node(s) had no available volume zone.")


async def test_claims_of_others_give_no_further_try() -> None:
    async with Stage(node("a")) as stage:
        stage.put(late(), STORAGE_CLASSES)
        stage.put(claim("c"), CLAIMS)
        await stage.add(user("c", name="p"))
        await stage.clock.advance(30)
        assert len(stage.events("FailedScheduling")) == 1
        stage.put(claim("other"), CLAIMS)
        await stage.clock.advance(30)
        assert len(stage.events("FailedScheduling")) == 1
        stage.put(claim("c", labels={"a": "b"}), CLAIMS)
        await stage.clock.advance(30)
        assert len(stage.events("FailedScheduling")) == 2
