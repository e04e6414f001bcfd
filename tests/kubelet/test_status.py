"""The status of a pod as tables: phases, conditions, states of containers."""
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.kubelet.builders import NOW, ago, container, pod, run, sandbox, state
from tiffin.kubelet.publish import status_patch
from tiffin.kubelet.state import BackOff, Ending, EndKind, Failure, PodState, Probed
from tiffin.kubelet.status import pod_status

SIDE = container("side", restartPolicy="Always")
DELETED = Ending(EndKind.DELETED, NOW, 30)


def conditions(snapshot: PodState) -> dict[str, Any]:
    return {c["type"]: c for c in pod_status(snapshot, NOW)["conditions"]}


@pytest.mark.parametrize(("snapshot", "phase"), [
    (state(pod(), sandboxes=()), "Pending"),
    (state(pod()), "Pending"),
    (state(pod(), run()), "Running"),
    (state(pod(container("a"), container("b")), run("a")), "Pending"),
    (state(pod(container("a"), container("b")), run("a"), run("b", code=1)), "Running"),
    (state(pod(), run(code=1)), "Running"),
    (state(pod(restartPolicy="OnFailure"), run(code=1)), "Running"),
    (state(pod(restartPolicy="OnFailure"), run(code=0)), "Succeeded"),
    (state(pod(restartPolicy="Never"), run(code=0)), "Succeeded"),
    (state(pod(restartPolicy="Never"), run(code=1)), "Failed"),
    (state(pod(container("a"), container("b"), restartPolicy="Never"), run("a", code=0), run("b")), "Running"),
    (state(pod(init=[container("i")]), run("i")), "Pending"),
    (state(pod(init=[container("i")], restartPolicy="Never"), run("i", code=1)), "Failed"),
    (state(pod(), run(code=0), ending=DELETED), "Succeeded"),
    (state(pod(), run(code=137), ending=DELETED), "Failed"),
    (state(pod(), run(), ending=DELETED), "Running"),
    (state(pod(), sandboxes=(), ending=DELETED, stopped=True), "Failed"),
    (state(pod(), run(), ending=Ending(EndKind.FAILED, NOW, 30, "Evicted", "full")), "Failed"),
    (state(pod(status={"phase": "Succeeded"})), "Succeeded"),
])
def test_phase(snapshot: PodState, phase: str) -> None:
    assert pod_status(snapshot, NOW)["phase"] == phase


def test_conditions_come_in_kubernetes_order_and_words() -> None:
    found = pod_status(state(pod(container("a"), container("b"), init=[container("i")], meta={"generation": 3}), run("i")), NOW)["conditions"]
    assert [(c["type"], c["status"], c.get("reason"), c.get("message")) for c in found] == [
        ("PodReadyToStartContainers", "True", None, None),
        ("Initialized", "False", "ContainersNotInitialized", "containers with incomplete status: [i]"),
        ("Ready", "False", "ContainersNotReady", "containers with unready status: [a b]"),
        ("ContainersReady", "False", "ContainersNotReady", "containers with unready status: [a b]"),
        ("PodScheduled", "True", None, None),
    ]
    assert {c["observedGeneration"] for c in found} == {3}


def test_a_completed_pod_says_so() -> None:
    found = conditions(state(pod(restartPolicy="Never"), run(code=0)))
    assert [found[t].get("reason") for t in ("Initialized", "Ready", "ContainersReady")] == ["PodCompleted"] * 3
    assert found["Ready"]["status"] == "False"


def test_transition_times_move_only_with_the_status() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"}, {"type": "mine.example/x", "status": "True"}]
    found = pod_status(state(pod(status={"conditions": old}), run()), NOW)["conditions"]
    assert found[0] == {"type": "mine.example/x", "status": "True"}
    by_type = {c["type"]: c for c in found}
    assert by_type["Ready"]["lastTransitionTime"] == "2025-01-01T00:00:00Z"
    assert by_type["ContainersReady"]["lastTransitionTime"] == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(("gates", "status", "message"), [
    ([], "False", 'corresponding condition of pod readiness gate "ex/g" does not exist.'),
    ([{"type": "ex/g", "status": "False"}], "False", 'the status of pod readiness gate "ex/g" is not "True", but False'),
    ([{"type": "ex/g", "status": "True"}], "True", None),
])
def test_readiness_gates(gates: list[Any], status: str, message: str | None) -> None:
    found = conditions(state(pod(readinessGates=[{"conditionType": "ex/g"}], status={"conditions": gates}), run()))
    assert found["Ready"]["status"] == status and found["Ready"].get("message") == message
    assert found["ContainersReady"]["status"] == "True"


def only(snapshot: PodState, field: str = "containerStatuses") -> Any:
    return pod_status(snapshot, NOW)[field][0]


PULL = Failure("ErrImagePull", "no route", ago(1), ("ImagePullBackOff", "Back-off pulling"))


@pytest.mark.parametrize(("snapshot", "expected"), [
    (state(pod()), {"waiting": {"reason": "ContainerCreating"}}),
    (state(pod(init=[container("i")])), {"waiting": {"reason": "PodInitializing"}}),
    (state(pod(), failures={"main": Failure("CreateContainerConfigError", 'secret "x" not found', NOW)}), {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}),
    (state(pod(), failures={"main": PULL}), {"waiting": {"reason": "ErrImagePull", "message": "no route"}}),
    (state(pod(), failures={"main": Failure(PULL.reason, PULL.message, ago(3), PULL.back_off)}), {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling"}}),
    (state(pod(), run()), {"running": {"startedAt": "2026-01-01T11:59:00Z"}}),
    (state(pod(), run(), starting=frozenset({"main"})), {"waiting": {"reason": "ContainerCreating"}}),
    (state(pod(), run(code=1), back_offs={"main": BackOff(timedelta(seconds=80), ago(100))}),
     {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container=main pod=p_default(u1)"}}),
    (state(pod(restartPolicy="Never"), run(code=3, message="bye")),
     {"terminated": {"exitCode": 3, "reason": "Error", "startedAt": "2026-01-01T11:59:00Z", "finishedAt": "2026-01-01T11:59:50Z", "containerID": "containerd://main-0", "message": "bye"}}),
])
def test_state_of_a_container(snapshot: PodState, expected: Any) -> None:
    assert only(snapshot)["state"] == expected


def test_last_state_is_the_run_before() -> None:
    status = only(state(pod(), run("main", 1), run("main", 0, code=7)))
    assert status["lastState"]["terminated"]["exitCode"] == 7 and status["restartCount"] == 1
    status = only(state(pod(), run("main", 1, code=2), run("main", 0, code=7), back_offs={"main": BackOff(timedelta(seconds=80), ago(100))}))
    assert status["lastState"]["terminated"]["exitCode"] == 2


def test_what_the_runtime_forgot_the_api_remembers() -> None:
    old = {"name": "main", "state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}}, "lastState": {}, "restartCount": 4, "containerID": "containerd://x", "imageID": "i"}
    status = only(state(pod(status={"containerStatuses": [old]}), ending=DELETED))
    assert status["state"]["terminated"]["reason"] == "ContainerStatusUnknown" and status["restartCount"] == 4
    status = only(state(pod(status={"containerStatuses": [old | {"state": {"terminated": {"exitCode": 0}}}]})))
    assert status["state"] == {"terminated": {"exitCode": 0}}


@pytest.mark.parametrize(("spec", "probed", "ready", "started"), [
    ({}, None, True, True),
    ({"readinessProbe": {"exec": {}}}, None, False, True),
    ({"readinessProbe": {"exec": {}}}, Probed(ready=True), True, True),
    ({"readinessProbe": {"exec": {}}}, Probed(ready=False), False, True),
    ({"startupProbe": {"exec": {}}}, None, False, False),
    ({"startupProbe": {"exec": {}}}, Probed(started=True), True, True),
    ({"startupProbe": {"exec": {}}, "readinessProbe": {"exec": {}}}, Probed(started=True), False, True),
])
def test_ready_and_started(spec: Any, probed: Probed | None, ready: bool, started: bool) -> None:
    status = only(state(pod(container(**spec)), run(), probes={"main-0": probed} if probed else {}))
    assert (status["ready"], status["started"]) == (ready, started)


def test_init_containers_and_sidecars() -> None:
    found = pod_status(state(pod(init=[container("i"), SIDE]), run(), run("side"), run("i", code=0)), NOW)
    first, side = found["initContainerStatuses"]
    assert first["ready"] is True and first["started"] is False and first["state"]["terminated"]["reason"] == "Completed"
    assert side["ready"] is True and side["started"] is True
    unready = conditions(state(pod(init=[SIDE | {"readinessProbe": {"exec": {}}}]), run(), run("side")))
    assert unready["ContainersReady"]["message"] == "containers with unready status: [side]"


def test_addresses_and_start() -> None:
    found = pod_status(state(pod(), run(), sandboxes=(sandbox(ips=("10.0.0.5", "fd00::5")),)), NOW)
    assert found["podIP"] == "10.0.0.5" and found["podIPs"] == [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}]
    assert found["hostIP"] == "192.0.2.1" and found["startTime"] == "2026-01-01T11:59:00Z"
    host = pod_status(state(pod(hostNetwork=True), run(), sandboxes=(sandbox(ips=(), host=True),)), NOW)
    assert host["podIP"] == "192.0.2.1"


def test_the_patch_holds_what_changed_and_nothing_of_others() -> None:
    old = pod_status(state(pod(), run()), NOW) | {"nominatedNodeName": "n2"}
    assert status_patch(old, {k: v for k, v in old.items() if k != "nominatedNodeName"}) is None
    new = old | {"phase": "Failed", "podIPs": [{"ip": "10.0.0.6"}], "reason": "Evicted", "conditions": [{"type": "ex/g", "status": "True"}, {"type": "Ready", "status": "False"}]}
    assert status_patch(old, new) == {
        "phase": "Failed", "reason": "Evicted", "podIPs": [{"ip": "10.0.0.6"}, {"$patch": "replace"}],
        "conditions": [dict.fromkeys(("lastTransitionTime",)) | {"type": "Ready", "status": "False"}], "$setElementOrder/conditions": [{"type": "ex/g"}, {"type": "Ready"}],
    }
    assert (status_patch(new, old) or {})["reason"] is None
    unready = {"conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "m"}]}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert (status_patch(unready, ready) or {})["conditions"] == [{"type": "Ready", "status": "True", "reason": None, "message": None}]
