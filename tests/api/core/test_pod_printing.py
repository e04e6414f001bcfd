"""The table of pods, in every state a pod can be in."""
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiffin.api.core.pod import KIND
from tiffin.api.core.podtemplate import KIND as TEMPLATE

NOW = datetime(2024, 1, 1, 0, 10, tzinfo=UTC)
CREATED = "2024-01-01T00:00:00Z"


def shown(init=(), containers=("c",), status=None, sidecars=(), **metadata):
    pod = {
        "metadata": {"name": "p", "creationTimestamp": CREATED} | metadata,
        "spec": {"initContainers": [{"name": n, "restartPolicy": "Always"} if n in sidecars else {"name": n} for n in init],
                 "containers": [{"name": n} for n in containers]},
        "status": status or {},
    }
    return KIND.row(pod, NOW)[1:4]


def state(name="c", restarts=0, ready=False, started=None, last=None, **state):
    made = {"name": name, "restartCount": restarts, "ready": ready, "started": started, "state": state}
    return made | ({"lastState": {"terminated": {"finishedAt": last}}} if last else {})


RUNNING = {"running": {"startedAt": CREATED}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


def crashed(**terminated):
    return {"terminated": {"exitCode": 1} | terminated}


@pytest.mark.parametrize("arguments, cells", [
    ({"status": {"phase": "Pending"}}, ["0/1", "Pending", "0"]),
    ({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}}, ["0/1", "SchedulingGated", "0"]),
    ({"status": {"phase": "Failed", "reason": "Evicted"}}, ["0/1", "Evicted", "0"]),
    ({"status": {"containerStatuses": [state(waiting={"reason": "ImagePullBackOff"})]}}, ["0/1", "ImagePullBackOff", "0"]),
    ({"status": {"phase": "Running", "containerStatuses": [state(ready=True, **RUNNING)]}}, ["1/1", "Running", "0"]),
    ({"status": {"containerStatuses": [state(restarts=3, last="2024-01-01T00:05:00Z", waiting={"reason": "CrashLoopBackOff"})]}},
     ["0/1", "CrashLoopBackOff", "3 (5m ago)"]),
    ({"status": {"containerStatuses": [state(**crashed(signal=15))]}}, ["0/1", "Signal:15", "0"]),
    ({"status": {"containerStatuses": [state(**crashed())]}}, ["0/1", "ExitCode:1", "0"]),
    ({"status": {"containerStatuses": [state(**crashed(reason="OOMKilled"))]}}, ["0/1", "OOMKilled", "0"]),
    ({"status": {"phase": "Succeeded", "containerStatuses": [state(**DONE)]}}, ["0/1", "Completed", "0"]),
    ({"containers": ("a", "b"), "status": {"containerStatuses": [state("a", **DONE), state("b", ready=True, **RUNNING)]}}, ["1/2", "NotReady", "0"]),
    ({"containers": ("a", "b"), "status": {"conditions": [{"type": "Ready", "status": "True"}],
                                           "containerStatuses": [state("a", **DONE), state("b", ready=True, **RUNNING)]}}, ["1/2", "Running", "0"]),
    ({"containers": ("a", "b"), "status": {"containerStatuses": [state("a", **DONE), state("b", **crashed(reason="Error"))]}}, ["0/2", "Error", "0"]),
    ({"deletionTimestamp": CREATED, "status": {"phase": "Running", "containerStatuses": [state(ready=True, **RUNNING)]}}, ["1/1", "Terminating", "0"]),
    ({"deletionTimestamp": CREATED, "status": {"phase": "Running", "reason": "NodeLost"}}, ["0/1", "Unknown", "0"]),
    ({"deletionTimestamp": CREATED, "status": {"phase": "Succeeded", "containerStatuses": [state(**DONE)]}}, ["0/1", "Completed", "0"]),
    ({"init": "ij", "status": {"initContainerStatuses": [state("i", **RUNNING), state("j", **WAITING)]}}, ["0/1", "Init:0/2", "0"]),
    ({"init": "ij", "status": {"initContainerStatuses": [state("i", **DONE), state("j", **RUNNING)]}}, ["0/1", "Init:1/2", "0"]),
    ({"init": "ij", "status": {"initContainerStatuses": [state("i", **crashed(exitCode=3))]}}, ["0/1", "Init:ExitCode:3", "0"]),
    ({"init": "ij", "status": {"initContainerStatuses": [state("i", **crashed(reason="Error"))]}}, ["0/1", "Init:Error", "0"]),
    ({"init": "ij", "status": {"initContainerStatuses": [state("i", restarts=4, waiting={"reason": "CrashLoopBackOff"})]}}, ["0/1", "Init:CrashLoopBackOff", "4"]),
    ({"init": "i", "status": {"initContainerStatuses": [state("i", restarts=2, **DONE)], "containerStatuses": [state(**WAITING)]}},
     ["0/1", "PodInitializing", "0"]),
    ({"init": "sj", "sidecars": "s", "status": {
        "phase": "Running", "initContainerStatuses": [state("s", restarts=2, ready=True, started=True, **RUNNING), state("j", restarts=9, **DONE)],
        "containerStatuses": [state(ready=True, **RUNNING)]}}, ["2/2", "Running", "2"]),
    ({"init": "sj", "sidecars": "s", "status": {"initContainerStatuses": [state("s", started=True, **RUNNING), state("j", **RUNNING)]}}, ["0/2", "Init:1/2", "0"]),
    ({"init": "sj", "sidecars": "s", "status": {"initContainerStatuses": [state("s", started=False, **RUNNING), state("j", **WAITING)]}}, ["0/2", "Init:0/2", "0"]),
])
def test_states(arguments, cells):
    assert shown(**arguments) == cells


def test_wide_cells_and_conditions():
    pod = {
        "metadata": {"name": "p", "creationTimestamp": CREATED}, "spec": {"nodeName": "n", "readinessGates": [{"conditionType": "a"}, {"conditionType": "b"}]},
        "status": {"phase": "Succeeded", "podIPs": [{"ip": "10.1.1.1"}], "nominatedNodeName": "m", "conditions": [{"type": "a", "status": "True"}]},
    }
    assert KIND.row(pod, NOW)[4:] == ["10m", "10.1.1.1", "n", "m", "1/2"] and len(KIND.columns) == 9
    assert KIND.row_conditions(pod)[0]["reason"] == "Succeeded"
    assert KIND.row({"metadata": {"name": "p"}}, NOW)[4:] == ["<unknown>", "<none>", "<none>", "<none>", "<none>"] and KIND.row_conditions({}) == []


def test_templates():
    template = {"metadata": {"name": "t"}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]}}}
    assert TEMPLATE.row(template, NOW) == ["t", "c,d", "x,y", "app=a"]
