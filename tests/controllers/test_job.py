"""Jobs: pods counted exactly once, ends told in two steps, indexes, policies, suspension."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import garbagecollector, job
from tiffin.controllers import jobindexes as ji
from tiffin.controllers.resources import JOBS, PODS
from tiffin.machinery.object import Object, dig, name_of

UID = "batch.kubernetes.io/controller-uid"


def work(**spec: Any) -> Object:
    template = {"metadata": {"labels": {UID: "j-uid"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}
    given = {"parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "podReplacementPolicy": "TerminatingOrFailed", **spec}
    if "completions" not in given and given["parallelism"] == 1:
        given["completions"] = 1
    return made(JOBS, "j", metadata={"uid": "j-uid"}, spec={"selector": {"matchLabels": {UID: "j-uid"}}, "template": template, **given})


def indexed(completions: int = 3, **spec: Any) -> Object:
    return work(completionMode="Indexed", completions=completions, parallelism=completions, **spec)


async def end(c: Cluster, pod: str, phase: str, code: int = 0, **status: Any) -> None:
    terminated = {"name": "c", "state": {"terminated": {"exitCode": code, "finishedAt": c.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}}}
    conditions = [{"type": "Ready", "status": "False"}]
    await c.patch(PODS, pod, {"status": {"phase": phase, "conditions": conditions, "containerStatuses": [terminated], **status}}, subresource="status")


def status(c: Cluster) -> Object:
    return {name: value for name, value in c.one(JOBS, "j")["status"].items() if name not in ("conditions", "startTime", "completionTime")}


def conditions(c: Cluster) -> list[tuple[str, str, str, str]]:
    return [(x["type"], x["status"], x["reason"], x["message"]) for x in c.one(JOBS, "j")["status"].get("conditions", ())]


def running(c: Cluster) -> list[Object]:
    return [pod for pod in c.all(PODS) if dig(pod, "status", "phase") == "Running"]


async def test_one_pod_succeeds() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, work())
        (pod,) = c.all(PODS)
        assert pod["metadata"]["finalizers"] == [job.FINALIZER] and pod["metadata"]["generateName"] == "j-"
        assert status(c) == {"active": 1, "terminating": 0, "uncountedTerminatedPods": {}, "ready": 1}
        await end(c, name_of(pod), "Succeeded")
        assert status(c) == {"succeeded": 1, "terminating": 0, "uncountedTerminatedPods": {}, "ready": 0}
        reached = ("True", "CompletionsReached", "Reached expected number of succeeded pods")
        assert conditions(c) == [("SuccessCriteriaMet", *reached), ("Complete", *reached)]
        assert c.one(JOBS, "j")["status"]["completionTime"] and "finalizers" not in c.one(PODS, name_of(pod))["metadata"]
        assert c.events("Completed") == ["Job completed"]


async def test_a_failure_is_retried_after_a_while_and_then_too_much() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, work(backoffLimit=1))
        await end(c, name_of(running(c)[0]), "Failed", 1)
        assert running(c) == [] and status(c)["failed"] == 1
        await c.clock.advance(10)
        await end(c, name_of(running(c)[0]), "Failed", 1)
        assert [x[0] for x in conditions(c)] == ["FailureTarget", "Failed"] and status(c)["failed"] == 2
        assert conditions(c)[0][1:] == ("True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        assert c.events("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]


async def test_parallelism_goes_up_and_down_without_counting_failures() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, work(parallelism=3))
        assert status(c)["active"] == 3
        await c.patch(JOBS, "j", {"spec": {"parallelism": 1}})
        assert status(c) == {"active": 1, "terminating": 0, "uncountedTerminatedPods": {}, "ready": 1}
        await c.patch(JOBS, "j", {"spec": {"parallelism": 0}})
        assert c.names(PODS) == [] and "failed" not in status(c)


async def test_suspended_and_resumed() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, work(suspend=True))
        assert c.names(PODS) == [] and conditions(c) == [("Suspended", "True", "JobSuspended", "Job suspended")]
        await c.patch(JOBS, "j", {"spec": {"suspend": False}})
        assert conditions(c) == [("Suspended", "False", "JobResumed", "Job resumed")] and len(running(c)) == 1
        await c.patch(JOBS, "j", {"spec": {"suspend": True}})
        assert c.names(PODS) == [] and "failed" not in status(c) and "startTime" not in c.one(JOBS, "j")["status"]


async def test_indexes() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, indexed(4))
        by_index = {pod["metadata"]["labels"][ji.INDEX]: pod for pod in c.all(PODS)}
        first = by_index["0"]
        assert sorted(by_index) == ["0", "1", "2", "3"] and first["spec"]["hostname"] == "j-0" and first["metadata"]["generateName"] == "j-0-"
        assert first["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
        for index in "02":
            await end(c, name_of(by_index[index]), "Succeeded")
        assert (status(c)["completedIndexes"], status(c)["succeeded"], status(c)["active"]) == ("0,2", 2, 2)
        await end(c, name_of(by_index["1"]), "Succeeded")
        await c.patch(JOBS, "j", {"spec": {"completions": 3, "parallelism": 3}})
        assert status(c)["completedIndexes"] == "0-2" and [x[0] for x in conditions(c)] == ["SuccessCriteriaMet", "Complete"]


async def test_success_policy_ends_the_rest() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, indexed(successPolicy={"rules": [{"succeededIndexes": "0"}]}))
        leader = next(pod for pod in c.all(PODS) if ji.index_of(pod) == 0)
        await end(c, name_of(leader), "Succeeded")
        assert conditions(c)[-1] == ("Complete", "True", "SuccessPolicy", "Matched rules at index 0")
        assert c.names(PODS) == [name_of(leader)] and status(c)["succeeded"] == 1 and "failed" not in status(c)


async def test_failure_limit_per_index() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, indexed(2, backoffLimitPerIndex=1, backoffLimit=100))
        for _ in range(2):
            pod = next(pod for pod in running(c) if ji.index_of(pod) == 0)
            await end(c, name_of(pod), "Failed", 1)
            await c.clock.advance(25)
        assert status(c)["failedIndexes"] == "0" and len(running(c)) == 1
        await end(c, name_of(running(c)[0]), "Succeeded")
        assert conditions(c)[-1] == ("Failed", "True", "FailedIndexes", "Job has failed indexes")


async def test_failure_policy() -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}]
    async with Cluster(job) as c:
        await c.create(JOBS, work(podFailurePolicy={"rules": rules}, podReplacementPolicy="Failed"))
        (pod,) = c.names(PODS)
        await end(c, pod, "Failed", 42)
        assert conditions(c)[-1] == (
            "Failed", "True", "PodFailurePolicy", f"Container c for pod default/{pod} failed with exit code 42 matching FailJob rule at index 0",
        )  # fmt: skip


async def test_ignored_failures_do_not_count() -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    async with Cluster(job) as c:
        await c.create(JOBS, work(backoffLimit=0, podFailurePolicy={"rules": rules}))
        (pod,) = c.names(PODS)
        await end(c, pod, "Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
        await c.clock.advance(11)
        assert len(running(c)) == 1 and "failed" not in status(c) and conditions(c) == []


async def test_deadline() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, work(activeDeadlineSeconds=5))
        await c.clock.advance(6)
        await c.settle()
        assert conditions(c)[-1] == ("Failed", "True", "DeadlineExceeded", "Job was active longer than specified deadline")
        assert c.names(PODS) == [] and status(c)["failed"] == 1


async def test_a_replacement_waits_for_the_failure() -> None:
    async with Cluster(job, kubelet=False) as c:
        await c.create(JOBS, work(podReplacementPolicy="Failed"))
        (pod,) = c.names(PODS)
        await c.delete(PODS, pod)
        assert c.names(PODS) == [pod] and status(c) == {"terminating": 1, "uncountedTerminatedPods": {}, "ready": 0}


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
async def test_a_deleted_job_lets_its_pods_go(propagation: str) -> None:
    async with Cluster(job, garbagecollector) as c:
        await c.create(JOBS, work())
        await c.delete(JOBS, "j", propagation=propagation)
        assert c.names(JOBS) == []
        assert [pod["metadata"].get("finalizers") for pod in c.all(PODS)] == ([None] if propagation == "Orphan" else [])


@given(st.sets(st.integers(0, 40)))
def test_indexes_as_text(indexes: set[int]) -> None:
    assert ji.parsed(ji.formatted(indexes), 41) == indexes


@pytest.mark.parametrize(("indexes", "text"), [({0, 2}, "0,2"), ({0, 1}, "0,1"), ({0, 1, 2, 5}, "0-2,5"), (set(), "")])
def test_index_text_as_kubernetes_writes_it(indexes: set[int], text: str) -> None:
    assert ji.formatted(indexes) == text


async def test_a_failure_of_an_index_counts_once_its_successor_is_there() -> None:
    rules = [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]
    async with Cluster(job) as c:
        await c.create(JOBS, indexed(1, backoffLimitPerIndex=5, backoffLimit=100, podFailurePolicy={"rules": rules}))
        for code in (42, 1):
            (pod,) = running(c)
            await end(c, name_of(pod), "Failed", code)
            assert "failed" not in status(c) and job.is_tracked(c.one(PODS, name_of(pod)))
            await c.clock.advance(25)
            assert not job.is_tracked(c.one(PODS, name_of(pod)))
        assert status(c)["failed"] == 1 and status(c)["failedIndexes"] == ""
        (last,) = running(c)
        notes = last["metadata"]["annotations"]
        assert (notes[ji.FAILURES], notes[ji.IGNORED]) == ("1", "1")


async def test_an_index_that_may_not_fail_again_is_counted_at_once() -> None:
    async with Cluster(job) as c:
        await c.create(JOBS, indexed(2, backoffLimitPerIndex=0, backoffLimit=100))
        for pod in running(c):
            await end(c, name_of(pod), "Failed", 1)
        assert status(c)["failedIndexes"] == "0,1" and status(c)["failed"] == 2 and not running(c)
        assert conditions(c)[-1] == ("Failed", "True", "FailedIndexes", "Job has failed indexes")
