"""Which nodes a pod may go to, filter by filter, and what is said of the others."""
from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.stage import Board, container, node, pod
from tiffin.scheduler.podinfo import PodInfo

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
DED = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(("tolerations", "expected"), [
    ([], "free"),
    ([{"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}], "db free"),
    ([{"key": "dedicated", "value": "db"}], "db free"),
    ([{"key": "dedicated", "value": "web"}], "free"),
    ([{"key": "dedicated", "operator": "Exists"}], "db free"),
    ([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}], "free"),
    ([{"operator": "Exists"}], "cordoned db evicting free"),
    ([{"operator": "Exists", "effect": "NoExecute"}], "evicting free"),
    ([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}], "cordoned free"),
])  # fmt: skip
def test_taints_and_cordons(tolerations: Any, expected: str) -> None:
    board = Board(
        node("free", taints=[{"key": "soft", "effect": "PreferNoSchedule"}]), node("db", taints=[DED]),
        node("evicting", taints=[{"key": "bad", "effect": "NoExecute"}]), node("cordoned", unschedulable=True))
    assert board.possible(pod(tolerations=tolerations)) == expected


def _requires(*expressions: Any, fields: Any = ()) -> Any:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}


@pytest.mark.parametrize(("expression", "expected"), [
    (("disk", "In", ["ssd", "nvme"]), "a b"),
    (("disk", "NotIn", ["ssd"]), "b c"),
    (("disk", "Exists", None), "a b"),
    (("disk", "DoesNotExist", None), "c"),
    (("cores", "Gt", ["4"]), "b"),
    (("cores", "Lt", ["16"]), "a"),
    (("disk", "Gt", ["4"]), ""),
])  # fmt: skip
def test_node_affinity_operators(expression: Any, expected: str) -> None:
    board = Board(node("a", labels={"disk": "ssd", "cores": "4"}), node("b", labels={"disk": "nvme", "cores": "16"}), node("c"))
    key, operator, values = expression
    assert board.possible(pod(**_requires({"key": key, "operator": operator} | ({"values": values} if values else {})))) == expected


def test_terms_are_alternatives_and_an_empty_term_means_nothing() -> None:
    board = Board(node("a", labels={"x": "1"}), node("b", labels={"y": "1"}), node("c"))
    terms = [{"matchExpressions": [{"key": k, "operator": "Exists"}]} for k in "xy"]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [*terms, {}]}}
    assert board.possible(pod(affinity={"nodeAffinity": required})) == "a b"
    assert board.possible(pod(affinity={"nodeAffinity": required}, nodeSelector={"y": "1"})) == "b"


def test_a_pod_that_names_its_node_goes_nowhere_else() -> None:
    board = Board(node("a"), node("b"))
    field = {"key": "metadata.name", "operator": "In", "values": ["b"]}
    assert board.possible(pod(**_requires(fields=[field]))) == "b"
    assert "2 node(s) didn't satisfy plugin(s) [NodeAffinity]." in board.message(pod(**_requires(fields=[{**field, "values": ["none"]}])))
    other = {**field, "values": ["a"]}
    assert board.message(pod(**_requires(fields=[field, other]))) == "0/2 nodes are available: pod affinity terms conflict. not found"


@pytest.mark.parametrize(("port", "expected"), [
    ({"hostPort": 80}, "b"),
    ({"hostPort": 81}, "a b"),
    ({"hostPort": 80, "protocol": "UDP"}, "a b"),
    ({"hostPort": 80, "hostIP": "10.0.0.2"}, "a b"),
    ({"hostPort": 80, "hostIP": "10.0.0.1"}, "b"),
    ({"hostPort": 80, "hostIP": "0.0.0.0"}, "b"),
    ({"containerPort": 80}, "a b"),
])  # fmt: skip
def test_host_ports(port: Any, expected: str) -> None:
    taken = pod(on="a", containers=[container(ports=[{"hostPort": 80, "hostIP": "10.0.0.1"}])])
    board = Board(node("a"), node("b"), taken)
    assert board.possible(pod(containers=[container(ports=[port])])) == expected
    board.state.displace(taken["metadata"]["uid"])
    assert board.possible(pod(containers=[container(ports=[port])])) == "a b"


@pytest.mark.parametrize(("spec", "cpu", "memory"), [
    ({"containers": [container("1", "1Gi"), container("500m")]}, 1500, 1 << 30),
    ({"containers": [container("1")], "initContainers": [container("3"), container("2")]}, 3000, 0),
    ({"containers": [container("1")], "initContainers": [container("1", restartPolicy="Always"), container("2")]}, 3000, 0),
    ({"containers": [container("2")], "initContainers": [container("1"), container("1", restartPolicy="Always")]}, 3000, 0),
    ({"containers": [container("1")], "overhead": {"cpu": "250m", "memory": "1Mi"}}, 1250, 1 << 20),
    ({"containers": [container("1")], "resources": {"requests": {"cpu": "2"}}}, 2000, 0),
])  # fmt: skip
def test_what_a_pod_requests(spec: Any, cpu: int, memory: int) -> None:
    requests = PodInfo.of(pod(**spec)).requests
    assert (requests.get("cpu", 0), requests.get("memory", 0)) == (cpu, memory)


def test_resources_fit_to_the_last_unit() -> None:
    board = Board(node("a", cpu="2", pods="3", allocatable={"example.com/gpu": "1"}), node("b", cpu="4", pods="1"), pod(cpu="1", on="a"))
    assert board.possible(pod(cpu="1")) == "a b"
    assert board.possible(pod(cpu="1001m")) == "b"
    assert board.possible(pod(containers=[container(requests={"example.com/gpu": "1"})])) == "a"
    assert board.possible(pod(containers=[container(requests={"example.com/gpu": "2"})])) == ""
    board.state.place(PodInfo.of(pod(on="b")))
    assert board.possible(pod()) == "a"


def _near(kind: str, labels: dict[str, str], key: str, **more: Any) -> Any:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": key, **more}
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


ZONED = (node("a1", labels={ZONE: "a"}), node("a2", labels={ZONE: "a"}), node("b1", labels={ZONE: "b"}), node("none"))


@pytest.mark.parametrize(("wanted", "expected"), [
    (pod(**_near("podAffinity", {"app": "db"}, ZONE)), "a1 a2"),
    (pod(**_near("podAffinity", {"app": "db"}, HOST)), "a1"),
    (pod(**_near("podAffinity", {"app": "other"}, ZONE)), ""),
    (pod(labels={"app": "new"}, **_near("podAffinity", {"app": "new"}, ZONE)), "a1 a2 b1"),
    (pod(**_near("podAntiAffinity", {"app": "db"}, ZONE)), "b1 none"),
    (pod(**_near("podAntiAffinity", {"app": "db"}, HOST)), "a2 b1 none"),
    (pod(namespace="elsewhere", **_near("podAntiAffinity", {"app": "db"}, ZONE)), "a1 a2 b1 none"),
    (pod(namespace="elsewhere", **_near("podAntiAffinity", {"app": "db"}, ZONE, namespaces=["default"])), "b1 none"),
    (pod(namespace="elsewhere", **_near("podAntiAffinity", {"app": "db"}, ZONE, namespaceSelector={})), "b1 none"),
    (pod(labels={"v": "2"}, **_near("podAntiAffinity", {"app": "db"}, ZONE, matchLabelKeys=["v"])), "a1 a2 b1 none"),
    (pod(labels={"v": "2"}, **_near("podAntiAffinity", {"app": "db"}, ZONE, mismatchLabelKeys=["v"])), "b1 none"),
])  # fmt: skip
def test_pod_affinity(wanted: Any, expected: str) -> None:
    assert Board(*ZONED, pod(labels={"app": "db", "v": "1"}, on="a1")).possible(wanted) == expected


def test_pods_keep_others_away() -> None:
    guarded = pod(on="a1", **_near("podAntiAffinity", {"app": "noisy"}, ZONE))
    board = Board(*ZONED, guarded)
    assert board.possible(pod(labels={"app": "noisy"})) == "b1 none"
    assert board.possible(pod(labels={"app": "quiet"})) == "a1 a2 b1 none"
    assert board.possible(pod(labels={"app": "noisy"}, namespace="elsewhere")) == "a1 a2 b1 none"
    board.state.displace(guarded["metadata"]["uid"])
    assert board.possible(pod(labels={"app": "noisy"})) == "a1 a2 b1 none"


def _spread(key: str, skew: int, when: str = "DoNotSchedule", **more: Any) -> Any:
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"app": "web"}}, **more}


@pytest.mark.parametrize(("constraint", "expected"), [
    (_spread(ZONE, 1), "b1"),
    (_spread(ZONE, 2), "a1 a2 b1"),
    (_spread(HOST, 1), "a2 b1 none"),
    (_spread(ZONE, 1, minDomains=3), "b1"),
    (_spread(ZONE, 2, minDomains=3), "a1 a2 b1"),
    (_spread(ZONE, 1, "ScheduleAnyway"), "a1 a2 b1 none"),
])  # fmt: skip
def test_topology_spread(constraint: Any, expected: str) -> None:
    board = Board(*ZONED, pod(labels={"app": "web"}, on="a1"), pod(labels={"app": "web"}, on="a1", namespace="elsewhere"))
    assert board.possible(pod(labels={"app": "web"}, topologySpreadConstraints=[constraint])) == expected


def test_too_few_domains_make_the_least_nothing() -> None:
    board = Board(node("a", labels={ZONE: "a"}), node("b", labels={ZONE: "b"}), *(pod(labels={"app": "web"}, on=n) for n in "ab"))
    assert board.possible(pod(labels={"app": "web"}, topologySpreadConstraints=[_spread(ZONE, 1)])) == "a b"
    assert board.possible(pod(labels={"app": "web"}, topologySpreadConstraints=[_spread(ZONE, 1, minDomains=3)])) == ""


def test_domains_that_the_pod_cannot_use_do_not_count() -> None:
    board = Board(node("a", labels={ZONE: "a"}), node("b", labels={ZONE: "b"}), pod(labels={"app": "web"}, on="a"))
    only_a = {"nodeSelector": {ZONE: "a"}}
    assert board.possible(pod(labels={"app": "web"}, topologySpreadConstraints=[_spread(ZONE, 1)], **only_a)) == "a"
    assert board.possible(pod(labels={"app": "web"}, topologySpreadConstraints=[_spread(ZONE, 1, nodeAffinityPolicy="Ignore")], **only_a)) == ""


HELPLESS = "no new claims to deallocate, preemption: 0/{n} nodes are available: {n} Preemption is not helpful for scheduling."


@pytest.mark.parametrize(("board", "wanted", "reason"), [
    (Board(node("a"), node("b")), pod(cpu="500"), "2 Insufficient cpu"),
    (Board(node("a"), node("b")), pod(containers=[container(requests={"example.com/gpu": "1"})]), "2 Insufficient example.com/gpu"),
    (Board(node("a"), node("b")), pod(nodeSelector={"x": "y"}), "2 node(s) didn't match Pod's node affinity/selector"),
    (Board(node("a"), node("b")), pod(**_near("podAffinity", {"app": "none"}, HOST)), "2 node(s) didn't match pod affinity rules"),
    (Board(node("a", unschedulable=True), node("b", taints=[DED])), pod(), "1 node(s) had untolerated taint(s), 1 node(s) were unschedulable"),
    (Board(node("a", cpu="1", memory="1Mi"), node("b", labels={"x": "y"})), pod(containers=[container("8", "1Gi")]), "1 Insufficient memory, 2 Insufficient cpu"),
])  # fmt: skip
def test_messages(board: Board, wanted: Any, reason: str) -> None:
    assert board.message(wanted) == f"0/2 nodes are available: {reason}. " + HELPLESS.format(n=2)


def test_message_where_preemption_might_help_but_finds_nobody() -> None:
    board = Board(node("a", cpu="1"), node("b", labels={"other": ""}), pod(cpu="1", on="a"))
    assert board.message(pod(cpu="1", nodeSelector={"kubernetes.io/hostname": "a"})) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: "
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.")  # fmt: skip
    assert Board().message(pod()) == "no nodes available to schedule pods"


def test_of_several_reasons_within_a_filter_the_first_is_told() -> None:
    """A node that two rules of one filter refuse is counted once."""
    away = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": HOST, "labelSelector": {"matchLabels": {"a": "b"}}}]}}
    board = Board(node("a"), pod(on="a", labels={"a": "b"}, affinity=away))
    assert board.message(pod(labels={"a": "b"}, affinity=away)).startswith("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.")
    assert board.message(pod(labels={"a": "b"})).startswith("0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.")
    constraints = [
        {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2, "labelSelector": {"matchLabels": {"a": "b"}}}
        for key in (HOST, ZONE)
    ]
    crowded = Board(node("a"), pod(on="a", labels={"a": "b"}))
    said = "node(s) didn't match pod topology spread constraints"
    assert crowded.message(pod(labels={"a": "b"}, topologySpreadConstraints=constraints)).startswith(f"0/1 nodes are available: 1 {said}.")
    other = crowded.message(pod(labels={"a": "b"}, topologySpreadConstraints=constraints[::-1]))
    assert other.startswith(f"0/1 nodes are available: 1 {said} (missing required label).")
