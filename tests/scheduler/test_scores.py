"""How good nodes are for a pod, plugin by plugin."""
from __future__ import annotations

from collections import Counter

from tests.scheduler.stage import Board, Shelf, container, node, pod
from tiffin.machinery.selectors import Selector, from_label_map
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import default_profile

ZONE = "topology.kubernetes.io/zone"
MB = 1024 * 1024


def _selected(info: PodInfo) -> Selector:
    return from_label_map({"app": "web"})


def test_the_least_allocated_node_is_best() -> None:
    board = Board(node("busy", cpu="4", memory="4Gi"), node("free", cpu="4", memory="4Gi"), pod(on="busy", containers=[container("2", "2Gi")]))
    assert board.scores("NodeResourcesFit", pod(containers=[container("1", "1Gi")])) == {"busy": 25, "free": 75}
    assert board.place(pod(containers=[container("1", "1Gi")])).node == "free"


def test_pods_without_requests_count_as_something() -> None:
    board = Board(node("a", cpu="1", memory="2000Mi"), node("b", cpu="1", memory="2000Mi"), pod(on="a"))
    assert board.scores("NodeResourcesFit", pod()) == {"a": 80, "b": 90}


def test_balanced_allocation_likes_even_use() -> None:
    board = Board(node("even", cpu="4", memory="4Gi"), node("uneven", cpu="8", memory="2Gi"))
    assert board.scores("NodeResourcesBalancedAllocation", pod(containers=[container("2", "2Gi")])) == {"even": 100, "uneven": 62}
    assert board.scores("NodeResourcesBalancedAllocation", pod()) == {}


def test_untolerated_soft_taints_count_against_a_node() -> None:
    soft = [{"key": k, "effect": "PreferNoSchedule"} for k in "xy"]
    board = Board(node("none"), node("one", taints=soft[:1]), node("two", taints=soft))
    assert board.scores("TaintToleration", pod()) == {"none": 100, "one": 50, "two": 0}
    assert board.scores("TaintToleration", pod(tolerations=[{"operator": "Exists"}])) == {}


def test_preferred_node_affinity() -> None:
    board = Board(node("a", labels={"x": "1", "y": "1"}), node("b", labels={"x": "1"}), node("c"))
    preferred = [{"weight": w, "preference": {"matchExpressions": [{"key": k, "operator": "Exists"}]}} for k, w in (("x", 10), ("y", 30))]
    wanted = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
    assert board.scores("NodeAffinity", wanted) == {"a": 100, "b": 25, "c": 0}


def test_images_that_are_there() -> None:
    image = [{"names": ["shop/web:1"], "sizeBytes": 600 * MB}]
    board = Board(node("a", images=image), node("b"))
    scores = board.scores("ImageLocality", pod(containers=[container(image="shop/web:1")]))
    assert scores == {"a": 28, "b": 0}
    assert board.scores("ImageLocality", pod(containers=[container(image="shop/other")])) == {}


def test_preferred_pod_affinity_both_ways() -> None:
    def likes(kind: str) -> dict[str, object]:
        term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
        return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": term}]}}}

    board = Board(node("a"), node("b"), pod(on="a", labels={"app": "db"}))
    assert board.scores("InterPodAffinity", pod(**likes("podAffinity"))) == {"a": 100, "b": 0}
    assert board.scores("InterPodAffinity", pod(**likes("podAntiAffinity"))) == {"a": 0, "b": 100}
    board = Board(node("a"), node("b"), pod(on="a", **likes("podAffinity")))
    assert board.scores("InterPodAffinity", pod(labels={"app": "db"})) == {"a": 100, "b": 0}


def test_soft_spreading_prefers_emptier_domains() -> None:
    soft = [{"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "web"}}}]
    board = Board(node("a", labels={ZONE: "a"}), node("b", labels={ZONE: "b"}), pod(on="a", labels={"app": "web"}))
    scores = board.scores("PodTopologySpread", pod(labels={"app": "web"}, topologySpreadConstraints=soft))
    assert scores["b"] == 100 > scores["a"]


def test_pods_that_belong_together_spread_by_default() -> None:
    board = Board(*(node(f"n{i}") for i in range(5)), profile=default_profile(_selected, Shelf()))
    for turn in range(20):
        wanted = pod(labels={"app": "web"})
        info = PodInfo.of(wanted)
        info.node = board.place(wanted, turn).node
        board.state.place(info)
    assert Counter(p.node for p in board.state.pods.values()) == {f"n{i}": 4 for i in range(5)}


def test_equals_take_turns() -> None:
    board = Board(node("a"), node("b"), node("c"))
    wanted = pod()
    assert {board.place(wanted, turn).node for turn in range(3)} == {"a", "b", "c"}
