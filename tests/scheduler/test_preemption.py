"""Which pods have to go so that a more important one finds a node."""
from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.stage import Board, node, pod
from tiffin.machinery.object import Object
from tiffin.scheduler.podinfo import PodInfo


def _budget(app: str, allowed: int) -> Object:
    return {"metadata": {"namespace": "default", "name": app}, "spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"disruptionsAllowed": allowed}}


def _small(name: str, on: str, priority: int, cpu: str = "1", **more: Any) -> Object:
    return pod(name, cpu=cpu, on=on, priority=priority, **more)


def _decided(board: Board, wanted: Object, *budgets: Object) -> tuple[str, list[str]]:
    before = board.state.requested.copy(), set(board.state.pods)
    chosen = board.preempt(wanted, *budgets)
    assert (board.state.requested == before[0]).all() and set(board.state.pods) == before[1]
    return chosen.node, [v.key.name for v in chosen.victims]


def test_the_least_important_pods_that_suffice_go() -> None:
    board = Board(node("a", cpu="3"), _small("x", "a", 1), _small("y", "a", 2), _small("z", "a", 3))
    assert _decided(board, pod(cpu="1", priority=10)) == ("a", ["x"])
    assert _decided(board, pod(cpu="2", priority=10)) == ("a", ["y", "x"])
    assert _decided(board, pod(cpu="2", priority=2)) == ("", [])


@pytest.mark.parametrize(("others", "expected"), [
    ([_small("x", "a", 5, "2"), _small("y", "b", 4, "2")], ("b", ["y"])),
    ([_small("x", "a", 4), _small("w", "a", 3), _small("y", "b", 4, "2")], ("b", ["y"])),
    ([_small("x", "a", 4), _small("w", "a", -4), _small("y", "b", 4, "2")], ("b", ["y"])),
])  # fmt: skip
def test_the_node_with_the_cheapest_victims_is_chosen(others: list[Object], expected: Any) -> None:
    assert _decided(Board(node("a", cpu="2"), node("b", cpu="2"), *others), pod(cpu="2", priority=10)) == expected


def test_the_latest_started_victim_goes() -> None:
    old, new = ({"status": {"startTime": f"2026-01-0{day}T00:00:00Z"}} for day in (1, 2))
    board = Board(node("a", cpu="1"), node("b", cpu="1"), _small("x", "a", 1) | old, _small("y", "b", 1) | new)
    assert _decided(board, pod(cpu="1", priority=10)) == ("b", ["y"])


def test_disruption_budgets_are_kept_where_that_can_be() -> None:
    guarded = _small("x", "a", 1)
    guarded["metadata"]["labels"] = {"app": "db"}
    board = Board(node("a", cpu="1"), node("b", cpu="1"), guarded, _small("y", "b", 5))
    assert _decided(board, pod(cpu="1", priority=10), _budget("db", 0)) == ("b", ["y"])
    assert _decided(board, pod(cpu="1", priority=10), _budget("db", 1)) == ("a", ["x"])
    assert _decided(board, pod(cpu="1", priority=10, nodeSelector={"kubernetes.io/hostname": "a"}), _budget("db", 0)) == ("a", ["x"])


def test_pods_that_keep_others_away_go_too() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    guard = _small("x", "a", 1, affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    assert _decided(Board(node("a"), guard), pod(labels={"app": "web"}, priority=10)) == ("a", ["x"])


def test_what_cannot_be_mended_by_leaving_pods() -> None:
    board = Board(node("a", cpu="1"), _small("x", "a", 1))
    assert _decided(board, pod(cpu="2", priority=10)) == ("", [])
    never = pod(cpu="1", priority=10, preemptionPolicy="Never")
    assert board.message(never) == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.")
    assert board.message(pod(cpu="1", priority=10)) == "0/1 nodes are available: 1 Insufficient cpu."


def test_nominated_pods_hold_their_room_against_lesser_pods_only() -> None:
    board = Board(node("a", cpu="2"), node("b", cpu="2"))
    board.state.nominated["n"] = PodInfo.of(pod("n", cpu="2", on="a", priority=5) | {})
    assert board.possible(pod(cpu="1", priority=1)) == "b"
    assert board.possible(pod(cpu="1", priority=9)) == "a b"
    assert not board.state.pods


def test_a_pod_goes_to_the_node_it_is_nominated_to() -> None:
    board = Board(node("a"), node("b"), pod(cpu="1", on="b"))
    wanted = pod("n", cpu="1", priority=5)
    nominated = PodInfo.of(wanted)
    nominated.node = "b"
    board.state.nominated[nominated.uid] = nominated
    assert board.place(wanted).node == "b"
