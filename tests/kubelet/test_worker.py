"""Lives of pods on a make-believe node: in order, with time standing still but for what the test lets pass."""
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.kubelet.builders import container, pod
from tests.kubelet.scenario import Scenario, scenario
from tiffin.kubelet.publish import PODS
from tiffin.kubelet.references import CONFIG_MAPS, SECRETS
from tiffin.kubelet.runtime import RuntimeFault
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig

SIDE = container("side", restartPolicy="Always")


@pytest_asyncio.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scenario]:
    async with scenario(tmp_path) as found:
        yield found


def is_ready(wish: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in dig(wish, "status", "conditions", default=[]))


async def test_a_pod_starts_with_one_write(play: Scenario) -> None:
    await play.run(pod())
    assert is_ready(play.pod()) and play.pod()["status"]["phase"] == "Running"
    assert [verb for verb, resource, _ in play.client.requests if resource == PODS] == ["patch"]
    assert play.calls("sandbox", "create", "start", "pull") == ["sandbox p", "create main", "start main"]


async def test_a_pod_that_takes_its_time_shows_that_it_is_being_made(play: Scenario) -> None:
    play.runtime.pulls_hang = True
    await play.run(pod(container(image="far:1")))
    assert play.status()["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert play.reasons() == ["Pulling"]


async def test_restarts_and_back_off(play: Scenario) -> None:
    await play.run(pod())
    play.runtime.finish("main", 1)
    await play.wait(0.5)
    assert play.status()["restartCount"] == 1 and play.status()["lastState"]["terminated"]["exitCode"] == 1
    assert is_ready(play.pod()) and "BackOff" not in play.reasons()
    assert all("message" not in c for c in play.pod()["status"]["conditions"])
    for delay in (10, 20, 40, 80, 160, 300, 300):
        play.runtime.finish("main", 1)
        await play.wait()
        count = play.status()["restartCount"]
        assert play.status()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        await play.wait(delay - 1)
        assert play.status()["restartCount"] == count
        await play.wait(2)
        assert play.status()["restartCount"] == count + 1
    await play.wait(601)
    play.runtime.finish("main", 1)
    await play.wait(0.5)
    assert "running" in play.status()["state"]


async def test_out_of_memory_is_named(play: Scenario) -> None:
    await play.run(pod(restartPolicy="Never"))
    play.runtime.finish("main", 137, oom=True)
    await play.wait(0.5)
    assert play.status()["state"]["terminated"]["reason"] == "OOMKilled" and play.pod()["status"]["phase"] == "Failed"


async def test_a_pod_that_succeeds_is_taken_down_but_stays(play: Scenario) -> None:
    await play.run(pod(restartPolicy="Never", init=[SIDE]))
    play.runtime.finish("main", 0)
    await play.wait(0.5)
    assert play.pod()["status"]["phase"] == "Succeeded"
    assert play.calls("stop", "stop-sandbox", "remove", "remove-sandbox")[0].startswith("stop side")
    assert not play.calls("remove-sandbox")
    await play.client.delete(PODS, "default", "p", grace_period=0)
    await play.until(lambda: not play.runtime.sandbox_map and not play.runtime.container_map)


async def test_deletion_in_order(play: Scenario) -> None:
    hooked = container(lifecycle={"preStop": {"exec": {"command": ["bye"]}}})
    await play.run(pod(hooked, init=[SIDE], terminationGracePeriodSeconds=20))
    play.runtime.calls.clear()
    await play.client.delete(PODS, "default", "p", grace_period=20)
    await play.until(lambda: not play.has())
    await play.until(lambda: not play.agent.kubelet.workers())
    calls = play.calls("exec", "stop", "stop-sandbox", "remove", "remove-sandbox")
    assert [c.split()[0] for c in calls] == ["exec", "stop", "stop", "stop-sandbox", "remove", "remove", "remove-sandbox"]
    assert calls[1] == "stop main 20" and calls[2].startswith("stop side")
    assert not (play.root / "kubelet" / "pods").exists() or not list((play.root / "kubelet" / "pods").iterdir())


async def test_the_last_status_comes_before_the_end(play: Scenario) -> None:
    seen = []
    await play.run(pod())
    fault = play.client.fault
    play.client.fault = lambda verb, resource, key: seen.append((verb, play.pod()["status"]["phase"])) or fault(verb, resource, key) if resource == PODS and play.has() else None  # type: ignore[func-returns-value]
    await play.client.delete(PODS, "default", "p", grace_period=5)
    await play.until(lambda: not play.has())
    assert seen[-1] == ("delete", "Succeeded")


async def test_a_shorter_grace_overtakes_a_longer_one(play: Scenario) -> None:
    play.runtime.ignores_term = True
    await play.run(pod())
    await play.client.delete(PODS, "default", "p", grace_period=600)
    await play.wait(1)
    await play.client.delete(PODS, "default", "p", grace_period=1)
    await play.wait(1)
    assert play.calls("stop") == ["stop main 600", "stop main 2"]
    play.runtime.finish("main", 137)
    play.runtime.ignores_term = False


async def test_a_pod_removed_by_force_is_stopped_all_the_same(play: Scenario) -> None:
    await play.run(pod())
    await play.client.delete(PODS, "default", "p", grace_period=0)
    await play.until(lambda: not play.runtime.sandbox_map)
    assert play.calls("stop") == ["stop main 30"]


async def test_deleting_a_pod_breaks_off_its_pull(play: Scenario) -> None:
    play.runtime.pulls_hang = True
    await play.run(pod(container(image="far:1")))
    await play.client.delete(PODS, "default", "p", grace_period=30)
    await play.until(lambda: not play.has())


async def test_images_that_cannot_be_had(play: Scenario) -> None:
    play.runtime.fault = lambda call: RuntimeFault("UNKNOWN", "no such host") if call.startswith("pull") else None
    await play.run(pod(container(image="far:1")))
    assert play.status()["state"]["waiting"] == {"reason": "ErrImagePull", "message": "rpc error: code = Unknown desc = no such host"}
    await play.wait(3)
    waiting = play.status()["state"]["waiting"]
    assert waiting == {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "far:1": ErrImagePull: rpc error: code = Unknown desc = no such host'}
    assert play.messages() == [
        'Pulling image "far:1"', 'Failed to pull image "far:1": rpc error: code = Unknown desc = no such host', "Error: ErrImagePull",
        'Back-off pulling image "far:1"', "Error: ImagePullBackOff",
    ]
    await play.wait(8)
    assert len(play.calls("pull")) == 2
    play.runtime.fault = lambda call: None
    await play.wait(21)
    assert is_ready(play.pod())


@pytest.mark.parametrize(("image", "policy", "reason"), [("far:1", "Never", "ErrImageNeverPull"), ("Not A Name", "IfNotPresent", "InvalidImageName")])
async def test_images_that_are_not_even_tried(play: Scenario, image: str, policy: str, reason: str) -> None:
    await play.run(pod(container(image=image, imagePullPolicy=policy)))
    assert play.status()["state"]["waiting"]["reason"] == reason and not play.calls("pull")


async def test_always_asks_the_registry_for_what_came_from_one_only(play: Scenario) -> None:
    always = container(imagePullPolicy="Always")
    await play.run(pod(always))
    assert is_ready(play.pod()) and not play.calls("pull")
    await play.run(pod(container(image="far:1", imagePullPolicy="Always"), meta={"name": "q", "uid": "u2"}))
    await play.run(pod(container(image="far:1", imagePullPolicy="Always"), meta={"name": "r", "uid": "u3"}))
    assert play.calls("pull") == ["pull far:1", "pull far:1"]


async def test_pull_secrets(play: Scenario) -> None:
    import base64
    import json

    login = base64.b64encode(json.dumps({"auths": {"reg.example": {"username": "me", "password": "x"}}}).encode()).decode()
    play.client.put(SECRETS, {"metadata": {"name": "login", "namespace": "default"}, "data": {".dockerconfigjson": login}})
    await play.run(pod(container(image="reg.example/a:1"), imagePullSecrets=[{"name": "login"}]))
    assert play.calls("pull") == ["pull reg.example/a:1 as me"]


async def test_what_is_missing_is_waited_for(play: Scenario) -> None:
    await play.run(pod(container(envFrom=[{"configMapRef": {"name": "later"}}])))
    assert play.status()["state"]["waiting"] == {"reason": "CreateContainerConfigError", "message": 'configmap "later" not found'}
    play.client.put(CONFIG_MAPS, {"metadata": {"name": "later", "namespace": "default"}, "data": {"A": "1"}})
    await play.wait(0.5)
    assert is_ready(play.pod())


async def test_volumes_are_waited_for_and_followed(play: Scenario) -> None:
    await play.run(pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[{"name": "v", "configMap": {"name": "later"}}]))
    assert play.reasons() == ["FailedMount"] and not play.calls("sandbox")
    play.client.put(CONFIG_MAPS, {"metadata": {"name": "later", "namespace": "default"}, "data": {"A": "1"}})
    await play.wait(0.5)
    assert is_ready(play.pod())
    file = play.root / "kubelet" / "pods" / "u1" / "volumes" / "kubernetes.io~configmap" / "v" / "A"
    assert file.read_text() == "1"
    play.client.put(CONFIG_MAPS, dict(play.client.objects(CONFIG_MAPS)[0], data={"A": "2"}))
    await play.wait(0.1)
    assert file.read_text() == "2"


async def test_a_sandbox_that_is_lost_is_replaced(play: Scenario) -> None:
    await play.run(pod())
    play.runtime.lose_sandbox(next(iter(play.runtime.sandbox_map)))
    await play.wait(1)
    assert is_ready(play.pod()) and play.status()["restartCount"] == 1
    assert "SandboxChanged" in play.reasons() and len(play.runtime.sandbox_map) <= 2


async def test_a_sandbox_that_cannot_be_made_is_tried_again(play: Scenario) -> None:
    play.runtime.fault = lambda call: RuntimeFault("UNKNOWN", "no network") if call.startswith("sandbox") else None
    await play.run(pod())
    assert "Failed to create pod sandbox: rpc error: code = Unknown desc = no network" in play.messages()
    play.runtime.fault = lambda call: None
    await play.wait(10)
    assert is_ready(play.pod())


async def test_liveness_kills_and_readiness_hides(play: Scenario) -> None:
    broken: set[str] = set()
    play.runtime.exec_code = lambda command: int(command[0] in broken)
    probed = container(
        readinessProbe={"exec": {"command": ["ready"]}, "periodSeconds": 5, "failureThreshold": 1}, livenessProbe={"exec": {"command": ["alive"]}, "periodSeconds": 5, "failureThreshold": 2},
        startupProbe={"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 10},
    )
    broken.add("up")
    await play.run(pod(probed))
    assert play.status()["started"] is False and set(play.calls("exec")) == {"exec up"}
    broken.clear()
    await play.wait(1.2)
    assert play.status()["ready"] is True
    broken.add("ready")
    await play.wait(6)
    assert play.status()["ready"] is False and not is_ready(play.pod())
    broken.clear()
    await play.wait(6)
    assert is_ready(play.pod())
    broken.add("alive")
    await play.wait(11)
    assert "Container main failed liveness probe, will be restarted" in play.messages()
    broken.clear()
    await play.wait(2)
    assert play.status()["restartCount"] == 1


async def test_hooks_that_fail(play: Scenario) -> None:
    play.runtime.exec_code = lambda command: 1
    await play.run(pod(container(lifecycle={"postStart": {"exec": {"command": ["no"]}}})))
    assert "FailedPostStartHook" in play.reasons()
    assert play.calls("stop")[0] == "stop main 30"


async def test_the_deadline(play: Scenario) -> None:
    await play.run(pod(activeDeadlineSeconds=60))
    await play.wait(60)
    assert play.pod()["status"]["phase"] == "Failed" and play.pod()["status"]["reason"] == "DeadlineExceeded"
    assert play.has()


async def test_pods_the_node_has_no_room_for(play: Scenario) -> None:
    await play.run(pod(container(resources={"requests": {"cpu": "5"}})))
    assert (play.pod()["status"]["phase"], play.pod()["status"]["reason"]) == ("Failed", "OutOfcpu")
    assert play.pod()["status"]["message"] == "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000"
    assert not play.calls("sandbox")


async def test_an_ephemeral_container_joins(play: Scenario) -> None:
    await play.run(pod())
    wish = play.pod()
    debug = container("debug", targetContainerName="main")
    play.client.put(PODS, wish | {"spec": wish["spec"] | {"ephemeralContainers": [debug]}})
    await play.wait(0.5)
    assert "running" in play.status("debug", "ephemeralContainerStatuses")["state"]
    config = next(c for c in play.runtime.configs.values() if c.metadata.name == "debug")
    assert config.linux.security_context.namespace_options.target_id == next(c.id for c in play.runtime.container_map.values() if c.name == "main")


async def test_an_agent_that_restarts_adopts_and_cleans_up(play: Scenario) -> None:
    await play.run(pod())
    await play.run(pod(meta={"name": "q", "uid": "u2"}))
    await play.stop_agent()
    await play.client.delete(PODS, "default", "q", grace_period=0)
    play.runtime.calls.clear()
    play.start_agent()
    await play.wait(0.5)
    await play.until(lambda: len(play.runtime.sandbox_map) == 1)
    assert play.calls("sandbox", "create", "start") == [] and play.calls("stop") == ["stop main 30"]
    assert is_ready(play.pod()) and play.status()["restartCount"] == 0


async def test_ends_that_happened_meanwhile_are_found(play: Scenario) -> None:
    await play.run(pod())
    await play.stop_agent()
    play.runtime.finish("main", 3)
    play.runtime._happenings.get_nowait()
    play.start_agent()
    await play.wait(0.5)
    assert play.status()["restartCount"] == 1 and play.status()["lastState"]["terminated"]["exitCode"] == 3


async def test_a_server_that_is_away_hears_of_it_later(play: Scenario) -> None:
    play.client.fault = lambda verb, resource, key: ApiError(503, "ServiceUnavailable", "away") if verb == "patch" and resource == PODS else None
    await play.run(pod())
    assert play.pod()["status"]["phase"] == "Pending" and play.calls("start")
    play.client.fault = lambda verb, resource, key: None
    await play.wait(40)
    assert is_ready(play.pod())


async def test_what_others_write_into_conditions_stays(play: Scenario) -> None:
    await play.run(pod(readinessGates=[{"conditionType": "ex/gate"}]))
    assert not is_ready(play.pod())
    await play.client.patch(PODS, "default", "p", {"status": {"conditions": [*play.pod()["status"]["conditions"], {"type": "ex/gate", "status": "True"}]}}, subresource="status")
    await play.wait(0.1)
    assert is_ready(play.pod()) and play.pod()["status"]["conditions"][0] == {"type": "ex/gate", "status": "True"}


async def test_an_idle_node_does_next_to_nothing(play: Scenario) -> None:
    await play.run(pod())
    play.runtime.calls.clear()
    writes = len(play.client.requests)
    await play.wait(60)
    assert {c.split()[0] for c in play.runtime.calls} == {"info"} and len(play.runtime.calls) <= 7
    assert len(play.client.requests) - writes <= 7
