"""The state's sums are those of its pods, whatever happened before; a plan never gives out what a node does not have."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduler.stage import Board, container, node, pod
from tiffin.machinery.selectors import from_label_map
from tiffin.scheduler.plan import feasible_rows
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import State

NAMES = [f"n{i}" for i in range(6)]
WEB = from_label_map({"app": "web"})
ANTI = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}]}}

names = st.sampled_from(NAMES)
pods = st.fixed_dictionaries({
    "name": st.sampled_from([f"p{i}" for i in range(12)]), "cpu": st.sampled_from(["", "500m", "1", "2"]), "gpu": st.booleans(),
    "port": st.sampled_from([0, 80, 81]), "app": st.sampled_from(["web", "db"]), "anti": st.booleans()})
steps = st.lists(st.one_of(
    st.tuples(st.just("node"), names, st.sampled_from(["1", "2", "4"])), st.tuples(st.just("drop"), names, st.none()),
    st.tuples(st.just("place"), names, pods), st.tuples(st.just("displace"), st.sampled_from([f"p{i}" for i in range(12)]), st.none()),
    st.tuples(st.just("plan"), names, pods)), max_size=40)


def _info(given: Any, on: str = "") -> PodInfo:
    requests = {"example.com/gpu": "1"} if given["gpu"] else {}
    ports = [{"hostPort": given["port"]}] if given["port"] else []
    more = {"affinity": ANTI} if given["anti"] else {}
    obj = pod(given["name"], on=on, labels={"app": given["app"]}, containers=[container(given["cpu"], requests=requests, ports=ports)], **more)
    obj["metadata"]["uid"] = given["name"]
    return PodInfo.of(obj)


def _check(state: State) -> None:
    """Everything counted is what a fresh state, given the same nodes and pods, counts."""
    fresh = State()
    for obj in state.nodes:
        if obj is not None:
            fresh.put_node(obj)
    for info in state.pods.values():
        fresh.place(info)
    assert fresh.rows.keys() == state.rows.keys()
    assert len(set(state.rows.values())) == len(state.rows)
    for name, row in state.rows.items():
        other = fresh.rows[name]
        assert state.alive[row] == fresh.alive[other]
        assert state.pod_count[row] == fresh.pod_count[other] == len(state.on_row[row])
        assert (state.nonzero[row] == fresh.nonzero[other]).all()
        for resource, column in state.resources.items():
            same = fresh.column(resource)
            assert state.requested[row, column] == fresh.requested[other, same]
            assert state.allocatable[row, column] == fresh.allocatable[other, same]
        assert state.matching("default", WEB)[row] == fresh.matching("default", WEB)[other]
        for term, counts in state.anti_terms.items():
            expected = fresh.anti_terms.get(term)
            assert counts[row] == (0 if expected is None else expected[other])
    unused = [row for row in range(len(state.nodes)) if row not in state.rows.values()]
    assert not state.alive[unused].any() and not state.requested[unused].any() and not state.pod_count[unused].any()


@settings(max_examples=150, deadline=None)
@given(steps)
def test_sums_are_those_of_the_pods(given_steps: list[Any]) -> None:
    board = Board()
    state = board.state
    state.matching("default", WEB)
    for action, name, more in given_steps:
        match action:
            case "node":
                state.put_node(node(name, cpu=more, labels={"zone": name[-1]}, allocatable={"example.com/gpu": "2"}))
            case "drop":
                state.remove_node(name)
            case "place":
                state.place(_info(more, name))
            case "displace":
                state.displace(name)
            case "plan":
                _plan(board, _info(more))
    _check(state)


def _plan(board: Board, info: PodInfo) -> None:
    """Put a pod where the plan wants it: nothing may be given out twice."""
    state = board.state
    state.displace(info.uid)
    rows, _ = feasible_rows(info, state, board.profile)
    assert not (rows & ~state.alive).any()
    for row in np.flatnonzero(rows):
        for resource, value in info.requests.items():
            column = state.column(resource)
            assert value == 0 or state.requested[row, column] + value <= state.allocatable[row, column]
        assert state.pod_count[row] < state.max_pods[row]
        taken = {(port, protocol) for p in state.on_row[row].values() for _, protocol, port in p.ports}
        assert not taken & {(port, protocol) for _, protocol, port in info.ports}
        if info.anti_affinity:
            assert not any(p.labels.get("app") == "web" for p in state.on_row[row].values())
    info.node = board.place(info.pod).node
    if info.node:
        state.place(info)


def test_more_nodes_than_the_first_rows() -> None:
    state = State()
    state.matching("default", WEB)
    for i in range(200):
        state.put_node(node(f"n{i}", labels={"zone": str(i % 3)}))
        state.place(_info({"name": f"p{i}", "cpu": "1", "gpu": False, "port": 0, "app": "web", "anti": i % 2 == 0}, f"n{i}"))
    _check(state)
    for i in range(0, 200, 2):
        state.displace(f"p{i}")
        state.remove_node(f"n{i}")
    _check(state)


def test_a_pod_may_come_before_its_node_and_stay_longer() -> None:
    state = State()
    state.place(PodInfo.of(pod("p", cpu="1", on="late")))
    state.put_node(node("late", cpu="2"))
    assert state.requested[state.rows["late"], 0] == 1000
    uid = next(iter(state.pods))
    state.remove_node("late")
    assert "late" in state.rows
    state.displace(uid)
    assert "late" not in state.rows
