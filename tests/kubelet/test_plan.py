"""The plan of a pod as tables: what follows from what is known."""
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubelet.builders import NOW, ago, container, pod, run, sandbox, state
from tiffin.kubelet.make_believe import advance, first_sight
from tiffin.kubelet.plan import (
    Announce,
    End,
    KillContainer,
    RemoveContainer,
    RemoveSandbox,
    RunSandbox,
    SetUpVolumes,
    StartContainer,
    StopSandbox,
    plan,
)
from tiffin.kubelet.state import BackOff, Ending, EndKind, NodeFacts, PodState, Probed

SIDE = container("side", restartPolicy="Always")
DELETED = Ending(EndKind.DELETED, NOW, 30)


def steps(snapshot: PodState) -> list[str]:
    """The plan in short words."""
    words = []
    for action in plan(snapshot, NOW).actions:
        match action:
            case StartContainer(name, attempt):
                words.append(f"start {name} {attempt}")
            case KillContainer(_, name, grace):
                words.append(f"kill {name} {grace}")
            case RunSandbox(attempt):
                words.append(f"sandbox {attempt}")
            case StopSandbox(id):
                words.append(f"stop {id}")
            case RemoveSandbox(id) | RemoveContainer(id):
                words.append(f"remove {id}")
            case SetUpVolumes():
                words.append("volumes")
            case Announce():
                words.append(f"say {action.reason}")
            case End(ending):
                words.append(f"end {ending.reason}")
    return words


def both(**spec: Any) -> Any:
    return pod(container("a"), container("b"), **spec)


@pytest.mark.parametrize(("name", "snapshot", "expected"), [
    ("volumes first", state(pod(), sandboxes=(), volumes_ready=False), ["volumes"]),
    ("then the sandbox", state(pod(), sandboxes=()), ["sandbox 0"]),
    ("then all containers in order", state(both()), ["start a 0", "start b 0"]),
    ("nothing when all runs", state(pod(), run()), []),
    ("a second container", state(both(), run("a")), ["start b 0"]),
    ("the first end is followed at once", state(pod(), run(code=1)), ["start main 1"]),
    ("the next one waits", state(pod(), run(code=1), back_offs={"main": BackOff(timedelta(seconds=20), ago(40))}), ["say BackOff"]),
    ("until its time has come", state(pod(), run(code=1, finished_at=ago(21)), back_offs={"main": BackOff(timedelta(seconds=20), ago(60))}), ["start main 1"]),
    ("OnFailure restarts failures", state(pod(restartPolicy="OnFailure"), run(code=2)), ["start main 1"]),
    ("OnFailure leaves successes", state(pod(restartPolicy="OnFailure"), run(code=0)), ["stop s0"]),
    ("Never leaves failures", state(pod(restartPolicy="Never"), run(code=2)), ["stop s0"]),
    ("one done, one running", state(both(restartPolicy="Never"), run("a", code=0), run("b")), []),
    ("a container's own policy wins", state(pod(container(restartPolicy="Always"), restartPolicy="Never"), run(code=0)), ["start main 1"]),
    ("a rule wins over both", state(pod(container(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}])), run(code=42)), ["start main 1"]),
    ("a rule for other codes does not", state(pod(container(restartPolicy="Never", restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [42]}}])), run(code=42)), ["stop s0"]),
    ("init containers one by one", state(pod(init=[container("i1"), container("i2")])), ["start i1 0"]),
    ("the second when the first succeeded", state(pod(init=[container("i1"), container("i2")]), run("i1", code=0)), ["start i2 0"]),
    ("main when all succeeded", state(pod(init=[container("i1")]), run("i1", code=0)), ["start main 0"]),
    ("a failed init container again", state(pod(init=[container("i1")]), run("i1", code=1)), ["start i1 1"]),
    ("or never again", state(pod(init=[container("i1")], restartPolicy="Never"), run("i1", code=1)), ["stop s0"]),
    ("main waits for a running init container", state(pod(init=[container("i1")]), run("i1")), []),
    ("a sidecar lets the next go once it runs", state(pod(init=[SIDE]), run("side")), ["start main 0"]),
    ("but not before its startup probe", state(pod(init=[SIDE | {"startupProbe": {"exec": {}}}]), run("side")), []),
    ("and not while its hook runs", state(pod(init=[SIDE]), run("side"), starting=frozenset({"side"})), []),
    ("a startup probe that spoke", state(pod(init=[SIDE | {"startupProbe": {"exec": {}}}]), run("side"), probes={"side-0": Probed(started=True)}), ["start main 0"]),
    ("a sidecar that ends comes again, also late", state(pod(init=[SIDE]), run("main"), run("side", code=0)), ["start side 1"]),
    ("sidecars end with the last container", state(pod(init=[SIDE], restartPolicy="Never"), run("main", code=0), run("side")), ["kill side 30"]),
    ("liveness", state(pod(), run(), probes={"main-0": Probed(failed="liveness")}), ["kill main 30"]),
    ("a probe's own grace", state(pod(container(livenessProbe={"terminationGracePeriodSeconds": 3})), run(), probes={"main-0": Probed(failed="liveness")}), ["kill main 3"]),
    ("a new image", state(pod(container(image="img:2")), run()), ["kill main 30"]),
    ("a new image, even under Never", state(pod(container(image="img:2"), restartPolicy="Never"), run(code=137)), ["start main 1"]),
    ("a sandbox without address is renewed", state(pod(), sandboxes=(sandbox(ips=()),)), ["stop s0"]),
    ("first its containers go", state(pod(), run(), sandboxes=(sandbox(ready=False),)), ["kill main 30"]),
    ("then a new one comes", state(pod(), run(code=137), sandboxes=(sandbox(ready=False),)), ["sandbox 1"]),
    ("in which init containers run again", state(pod(init=[container("i1")]), run(code=137), run("i1", code=0, sandbox_id="s0"), sandboxes=(sandbox(1), sandbox(ready=False))), ["start i1 1"]),
    ("host network needs no address", state(pod(hostNetwork=True), run(), sandboxes=(sandbox(ips=(), host=True),)), []),
    ("a pod that completed gets no new sandbox", state(pod(restartPolicy="Never"), run(code=0), sandboxes=(sandbox(ready=False),)), []),
    ("ephemeral containers start beside the others", state(pod(ephemeralContainers=[container("debug")]), run()), ["start debug 0"]),
    ("and never again", state(pod(ephemeralContainers=[container("debug")]), run("debug", code=1), run()), []),
    ("deletion stops all", state(both(), run("a"), run("b"), ending=DELETED), ["kill a 30", "kill b 30"]),
    ("sidecars after the others", state(pod(init=[SIDE]), run(), run("side"), ending=DELETED), ["kill main 30"]),
    ("in reverse", state(pod(init=[SIDE, SIDE | {"name": "side2"}]), run("side2"), run("side"), ending=DELETED), ["kill side2 30"]),
    ("all at once when time is up", state(pod(init=[SIDE]), run(), run("side"), ending=Ending(EndKind.DELETED, ago(31), 30)), ["kill main 0", "kill side 0"]),
    ("then the sandbox", state(pod(), run(code=0), ending=DELETED), ["stop s0"]),
    ("the deadline", state(pod(activeDeadlineSeconds=30), run(), started_at=ago(30)), ["end DeadlineExceeded"]),
    ("a phase that is final is final", state(pod(status={"phase": "Failed"})), ["stop s0"]),
    ("old runs go", state(pod(), run("main", 3), run("main", 2, code=1), run("main", 1, code=1), run("main", 0, code=1)), ["remove main-0"]),
    ("old sandboxes go", state(pod(), run(sandbox_id="s1"), sandboxes=(sandbox(1), sandbox(ready=False))), ["remove s0"]),
])
def test_steps(name: str, snapshot: PodState, expected: list[str]) -> None:
    assert steps(snapshot) == expected


@pytest.mark.parametrize(("snapshot", "wake"), [
    (state(pod(activeDeadlineSeconds=100), run(), started_at=ago(60)), 40),
    (state(pod(), run(code=1), back_offs={"main": BackOff(timedelta(seconds=20), ago(40))}), 10),
    (state(pod(), run(), ending=DELETED), 30),
    (state(pod(), run()), None),
])
def test_when_to_look_again(snapshot: PodState, wake: int | None) -> None:
    assert plan(snapshot, NOW).wake == (None if wake is None else NOW + timedelta(seconds=wake))


def test_back_off_doubles_and_starts_afresh_after_a_long_run() -> None:
    again = {"main": BackOff(timedelta(seconds=160), ago(500))}
    [start] = plan(state(pod(), run(code=1, finished_at=ago(200)), back_offs=again), NOW).actions
    assert isinstance(start, StartContainer) and start.back_off == BackOff(timedelta(minutes=5), ago(200))
    [start] = plan(state(pod(), run(code=1), back_offs={"main": BackOff(timedelta(minutes=5), ago(700))}), NOW).actions
    assert isinstance(start, StartContainer) and start.back_off == BackOff(timedelta(seconds=10), ago(10))


def test_nothing_is_left_to_do_once_stopped() -> None:
    assert plan(state(pod(), stopped=True), NOW).finished
    assert plan(state(pod(), run(code=0), sandboxes=(sandbox(ready=False),), ending=DELETED), NOW).finished


NAMES = ["a", "b", "c"]
CONTAINERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(lambda names: [container(n) for n in names])
INIT = st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), st.booleans()), max_size=3, unique_by=lambda t: t[0]).map(
    lambda found: [container(n, **({"restartPolicy": "Always"} if side else {})) for n, side in found]
)


@given(CONTAINERS, INIT, st.sampled_from(["Always", "OnFailure", "Never"]), st.sampled_from([None, "0s", "1s"]), st.integers(0, 3))
def test_every_pod_comes_to_rest_and_every_deletion_to_an_end(containers: Any, init: Any, policy: str, run_time: str | None, code: int) -> None:
    """Whatever a pod is made of: the plan converges, starts nothing out of order, and ends cleanly when the pod is deleted."""
    annotations = {"tiffin.dev/simulate-run-time": run_time, "tiffin.dev/simulate-exit-code": str(code)} if run_time else {}
    wish = pod(*containers, init=init, restartPolicy=policy, meta={"annotations": annotations})
    node, now = NodeFacts("n1", ("192.0.2.1",)), NOW
    memory = first_sight(wish, now)
    for _ in range(5):
        turn = advance(wish, memory, node, "10.0.0.9", now)
        memory, now = turn.memory, (turn.wake or now + timedelta(seconds=1))
        regular = {c["name"] for c in containers}
        if any(run.name in regular for run in memory.runtime.containers):
            assert {c["name"] for c in init} <= {run.name for run in memory.runtime.containers}
    gone = wish | {"metadata": wish["metadata"] | {"deletionTimestamp": "2026-01-01T12:00:00Z", "deletionGracePeriodSeconds": 5}}
    turn = advance(gone, memory, node, "10.0.0.9", now)
    assert turn.memory.stopped and not turn.memory.runtime.running and not any(s.ready for s in turn.memory.runtime.sandboxes)
