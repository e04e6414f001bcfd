"""The scheduler at work over the make-believe server."""
from __future__ import annotations

from typing import Any

from tests.scheduler.stage import Stage, node, pod
from tiffin.machinery import errors
from tiffin.machinery.object import Key, Resource, key_of, meta, replaced
from tiffin.scheduler.run import NODES
from tiffin.scheduler.volumes import CLAIMS, VOLUMES
from tiffin.scheduler.writes import PODS, condition


async def test_a_pod_is_bound_and_it_is_said_so() -> None:
    async with Stage(node("a")) as stage:
        await stage.add(pod("p", cpu="1"))
        assert stage.where("p") == "a"
        (event,) = stage.events("Scheduled")
        assert event["message"] == "Successfully assigned default/p to a" and event["action"] == "Binding"
        assert event["reportingComponent"] == "default-scheduler" and event["source"] == {} and "count" not in event


async def test_pods_that_are_not_ours_to_place_stay() -> None:
    async with Stage(node("a")) as stage:
        await stage.add(pod("other", schedulerName="mine"))
        await stage.add(pod("gated", schedulingGates=[{"name": "wait"}]))
        assert stage.where("other") == stage.where("gated") == ""
        stage.put(replaced(stage.pod("gated"), ("spec", "schedulingGates"), None))
        await stage.clock.settle()
        assert stage.where("gated") == "a"


async def test_why_a_pod_waits_is_said_once_and_a_new_node_helps() -> None:
    async with Stage(node("a", cpu="1")) as stage:
        await stage.add(pod("p", cpu="2") | {"metadata": {**meta(pod("p")), "generation": 1}})
        told = condition(stage.pod("p"), "PodScheduled")
        assert (told["status"], told["reason"], told["observedGeneration"]) == ("False", "Unschedulable", 1)
        assert told["message"].startswith("0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1")
        (event,) = stage.events("FailedScheduling")
        assert event["message"] == told["message"] and event["type"] == "Warning"
        writes = len(stage.client.requests)
        await stage.clock.advance(200)
        assert len(stage.client.requests) == writes
        await stage.add(node("b", cpu="4"))
        await stage.clock.advance(15)
        assert stage.where("p") == "b"


async def test_room_is_not_given_out_twice_before_binds_are_seen() -> None:
    async with Stage(node("a", cpu="2"), node("b", cpu="2")) as stage:
        for i in range(5):
            stage.put(pod(f"p{i}", cpu="1"))
        await stage.clock.settle()
        assert sorted(stage.where(f"p{i}") for i in range(5)) == ["", "a", "a", "b", "b"]


async def test_a_failed_bind_is_tried_again_and_gives_its_room_back() -> None:
    stage = Stage(node("a", cpu="1"))
    failures = [errors.conflict("pods", "p", "later"), ConnectionResetError()]

    def fault(verb: str, resource: Resource, key: Key) -> Exception | None:
        return failures.pop() if failures and verb == "create" and resource == PODS else None

    stage.client.fault = fault
    async with stage:
        await stage.add(pod("p", cpu="1"))
        assert stage.where("p") == "" and not stage.scheduler.state.pods
        await stage.clock.advance(10)
        assert stage.where("p") == "a"


async def test_deleted_pods_are_forgotten_and_make_room() -> None:
    async with Stage(node("a", cpu="1"), pod("first", cpu="1", on="a")) as stage:
        await stage.add(pod("gone", cpu="1"))
        await stage.add(pod("second", cpu="1"))
        await stage.client.delete(PODS, "default", "gone")
        await stage.client.delete(PODS, "default", "first", grace_period=0)
        await stage.clock.advance(15)
        assert stage.where("second") == "a"
        assert [p.key.name for p in stage.scheduler.state.pods.values()] == ["second"] and not len(stage.scheduler.queue)


async def test_finished_pods_make_room() -> None:
    async with Stage(node("a", cpu="1"), pod("first", cpu="1", on="a")) as stage:
        await stage.add(pod("second", cpu="1"))
        stage.put(stage.pod("first") | {"status": {"phase": "Succeeded"}})
        await stage.clock.advance(15)
        assert stage.where("second") == "a"


async def test_heartbeats_wake_nobody() -> None:
    async with Stage(node("a", cpu="1")) as stage:
        await stage.add(pod("p", cpu="2"))
        generation = stage.scheduler.state.generation
        beating = stage.client.objects(NODES)[0]
        stage.put(beating | {"status": beating["status"] | {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "later"}]}})
        await stage.clock.settle()
        assert stage.scheduler.state.generation == generation


async def _end(stage: Stage, name: str) -> None:
    await stage.client.delete(PODS, "default", name, grace_period=0)
    await stage.clock.advance(15)


async def test_a_more_important_pod_takes_the_place_of_a_lesser_one() -> None:
    async with Stage(node("a", cpu="1"), pod("lesser", cpu="1", on="a", priority=1)) as stage:
        await stage.add(pod("urgent", cpu="1", priority=100))
        assert stage.pod("urgent")["status"]["nominatedNodeName"] == "a"
        assert condition(stage.pod("urgent"), "PodScheduled")["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        victim = stage.pod("lesser")
        assert meta(victim)["deletionTimestamp"]
        told = condition(victim, "DisruptionTarget")
        assert (told["status"], told["reason"]) == ("True", "PreemptionByScheduler")
        assert told["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
        (event,) = stage.events("Preempted")
        assert event["message"] == f"Preempted by pod {meta(stage.pod('urgent'))['uid']} on node a"
        assert event["involvedObject"]["name"] == "lesser" and event["related"]["name"] == "urgent" and event["action"] == "Preempting"
        await stage.add(pod("thief", cpu="1", priority=50))
        await _end(stage, "lesser")
        assert (stage.where("urgent"), stage.where("thief")) == ("a", "")
        assert not stage.scheduler.state.nominated


async def test_a_nominated_pod_that_is_deleted_gives_its_room_back() -> None:
    async with Stage(node("a", cpu="1"), pod("lesser", cpu="1", on="a", priority=1)) as stage:
        await stage.add(pod("urgent", cpu="1", priority=100))
        await stage.add(pod("next", cpu="1"))
        await _end(stage, "lesser")
        await stage.clock.settle()
        assert stage.where("urgent") == "a"
        await _end(stage, "urgent")
        assert stage.where("next") == "a"


async def test_a_nomination_is_remembered_by_the_next_scheduler() -> None:
    held: Any = pod("held", cpu="2", priority=100) | {"status": {"nominatedNodeName": "a"}}
    leaving = pod("leaving", cpu="2", on="a")
    async with Stage(node("a", cpu="2"), leaving, held) as stage:
        assert key_of(held) in stage.scheduler.queue
        await stage.add(pod("small", cpu="1"))
        await _end(stage, "leaving")
        assert (stage.where("held"), stage.where("small")) == ("a", "")


async def test_a_pod_waits_for_its_claim() -> None:
    async with Stage(node("a")) as stage:
        await stage.add(pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))
        await stage.clock.advance(20)
        told = condition(stage.pod("p"), "PodScheduled")["message"]
        assert told == '0/1 nodes are available: persistentvolumeclaim "data" not found. not found'
        bound = {"name": "data", "namespace": "default", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        stage.put({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {}}, VOLUMES)
        stage.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": bound, "spec": {"volumeName": "v"}}, CLAIMS)
        await stage.clock.settle()
        assert stage.where("p") == "a"
