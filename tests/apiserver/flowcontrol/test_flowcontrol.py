"""Priority and fairness: which flow, how many seats, whose turn, and what the refused are told."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.apiserver.inprocess import JSON_PATCH, NOBODY, InProcess
from tiffin.apiserver import metrics
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.flowcontrol import level as levels
from tiffin.apiserver.flowcontrol.control import FlowControl, seats_of_list
from tiffin.apiserver.flowcontrol.level import Level, Refused, deal
from tiffin.apiserver.flowcontrol.sharing import Limits, Need, divide, limits_of
from tiffin.apiserver.user import ANONYMOUS_USER, AUTHENTICATED, MASTERS, NODES, User, service_account_groups
from tiffin.machinery.object import Object

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ADMIN_USER = User("admin", groups=(MASTERS, AUTHENTICATED))
NODE = User("system:node:a", groups=(NODES, AUTHENTICATED))
MANAGER = User("system:kube-controller-manager", groups=(AUTHENTICATED,))
ACCOUNT = User("system:serviceaccount:kube-system:job-controller", groups=(*service_account_groups("kube-system"), AUTHENTICATED))
ENDPOINTER = User("system:serviceaccount:kube-system:endpoint-controller", groups=(*service_account_groups("kube-system"), AUTHENTICATED))
POD = User("system:serviceaccount:shop:web", groups=(*service_account_groups("shop"), AUTHENTICATED))
SOMEBODY = User("somebody", groups=(AUTHENTICATED,))


def on(user: User, verb: str, resource: str, group: str = "", namespace: str = "", subresource: str = "") -> Attributes:
    return Attributes(user, verb, group, "v1", resource, subresource, namespace)


@pytest.mark.parametrize(
    ("action", "schema", "level", "distinguisher"),
    [
        (on(ADMIN_USER, "get", "pods"), "exempt", "exempt", ""),
        (on(NODE, "update", "nodes", subresource="status"), "system-node-high", "node-high", "system:node:a"),
        (on(NODE, "update", "leases", "coordination.k8s.io", "kube-node-lease"), "system-node-high", "node-high", "system:node:a"),
        (on(NODE, "get", "pods", namespace="x"), "system-nodes", "system", "system:node:a"),
        (on(MANAGER, "update", "leases", "coordination.k8s.io", "kube-system"), "system-leader-election", "leader-election", MANAGER.name),
        (on(MANAGER, "delete", "leases", "coordination.k8s.io", "kube-system"), "kube-controller-manager", "workload-high", "kube-system"),
        (on(MANAGER, "update", "endpoints", namespace="x"), "endpoint-controller", "workload-high", MANAGER.name),
        (on(ENDPOINTER, "update", "endpoints", namespace="x"), "endpoint-controller", "workload-high", ENDPOINTER.name),
        (on(ACCOUNT, "update", "configmaps", namespace="x"), "workload-leader-election", "leader-election", ACCOUNT.name),
        (on(ACCOUNT, "create", "pods", namespace="x"), "kube-system-service-accounts", "workload-high", "x"),
        (on(POD, "list", "pods", namespace="x"), "service-accounts", "workload-low", POD.name),
        (on(SOMEBODY, "list", "pods"), "global-default", "global-default", "somebody"),
        (Attributes(ANONYMOUS_USER, "get", path="/healthz", is_resource=False), "probes", "exempt", ""),
        (Attributes(ANONYMOUS_USER, "get", path="/metrics", is_resource=False), "global-default", "global-default", "system:anonymous"),
        (on(User("odd", groups=()), "get", "pods"), "catch-all", "catch-all", "odd"),
    ],
)
def test_the_suggested_schemas_classify_as_kubernetes_does(action: Attributes, schema: str, level: str, distinguisher: str) -> None:
    flow = FlowControl().flow(action)
    assert (flow.schema.name, flow.level.name, flow.distinguisher) == (schema, level, distinguisher)


def test_limits_follow_shares_lending_and_borrowing() -> None:
    assert limits_of({"limited": {"nominalConcurrencyShares": 40, "lendablePercent": 25}}, 600, 245) == Limits(98, 74, 698)
    assert limits_of({"limited": {"nominalConcurrencyShares": 40, "borrowingLimitPercent": 50}}, 600, 245) == Limits(98, 98, 147)
    assert limits_of({"exempt": {}}, 600, 245) == Limits(0, 0, 600)


def test_who_needs_more_borrows_what_others_lend() -> None:
    busy, idle = Limits(100, 50, 400), Limits(100, 10, 400)
    got = divide(200, [Need(busy, 190), Need(idle, 1)])
    assert got[0] > 150 and got[1] >= 10 and abs(sum(got) - 200) <= 2
    assert divide(200, [Need(Limits(100, 100, 100), 500), Need(Limits(100, 0, 100), 0)]) == [100, 0]


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100), st.integers(0, 500)), min_size=1, max_size=8))
def test_division_keeps_every_bound(rows: list[tuple[int, int, int]]) -> None:
    total = sum(nominal for nominal, _, _ in rows)
    needs = [Need(Limits(nominal, nominal - nominal * lend // 100, nominal + total), demand) for nominal, lend, demand in rows]
    got = divide(total, needs)
    assert all(need.limits.least <= seats <= need.limits.most for need, seats in zip(needs, got))
    assert sum(got) <= total + len(rows)


def test_lists_take_seats_by_their_size() -> None:
    assert [seats_of_list(*x) for x in ((0, 0), (100, 0), (101, 0), (5000, 0), (5000, 500), (5000, 50))] == [1, 1, 2, 10, 5, 1]


def test_a_flow_is_always_dealt_the_same_hand_of_distinct_queues() -> None:
    hand = deal("a/b", 64, 8)
    assert list(deal("a/b", 64, 8)) == list(hand) and len(set(hand)) == 8 and max(hand) < 64
    assert sorted(deal("x", 3, 8)) == [0, 1, 2]


def made_level(limit: int, queues: int = 4, hand: int = 2, length: int = 3) -> Level:
    level = Level("l", lambda: None)
    response: Object = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}} if queues else {"type": "Reject"}
    obj = {"metadata": {"name": "l", "uid": "u"}, "spec": {"type": "Limited", "limited": {"limitResponse": response}}}
    level.configure(obj, Limits(limit, limit, limit))
    return level


async def test_a_full_level_queues_and_serves_in_turn() -> None:
    level = made_level(1)
    assert level.enter(1) and not level.enter(1)
    order: list[str] = []

    async def request(flow: str) -> None:
        await level.wait("s", flow, 1)
        order.append(flow)
        level.leave(1)

    tasks = [asyncio.create_task(request(flow)) for flow in ("a", "a", "b")]
    await asyncio.sleep(0)
    assert (level.waiting, order) == (3, [])
    level.leave(1)
    await asyncio.gather(*tasks)
    assert sorted(order) == ["a", "a", "b"] and (level.seats, level.waiting, level.executing) == (0, 0, 0)


async def test_a_busy_flow_fills_its_own_queues_only() -> None:
    level = made_level(1, queues=64, hand=1, length=2)
    assert level.enter(1)
    tasks = [asyncio.create_task(level.wait("s", "elephant", 1)) for _ in range(3)]
    mouse = asyncio.create_task(level.wait("s", "mouse", 1))
    await asyncio.sleep(0)
    assert tasks[2].done() and isinstance(tasks[2].exception(), Refused) and level.refused == {("s", "queue-full"): 1}
    level.leave(1)
    await tasks[0]
    level.leave(1)
    await mouse  # before the elephant's second
    assert not tasks[1].done()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (level.waiting, level.waiting_seats, level.seats) == (0, 0, 1)


async def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "WAIT_SECONDS", 0.01)
    level = made_level(1)
    assert level.enter(1)
    with pytest.raises(Refused, match="time-out"):
        await level.wait("s", "f", 1)
    assert (level.waiting, level.seats) == (0, 1)


async def test_who_leaves_at_the_moment_of_being_served_gives_the_seat_back() -> None:
    level = made_level(1)
    assert level.enter(1)
    task = asyncio.create_task(level.wait("s", "f", 1))
    await asyncio.sleep(0)
    level.leave(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (level.seats, level.executing, level.waiting) == (0, 0, 0)


def limited(name: str, **limits: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}, **limits}}}


def schema_for_nobody(level: str) -> Object:
    rules = [{"subjects": [{"kind": "User", "user": {"name": "nobody"}}], "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]
    return {"metadata": {"name": "mine"}, "spec": {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 50, "rules": rules}}


async def allow_nobody(api: InProcess) -> None:
    await api.made("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "n"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}]})


async def test_too_many_at_once_are_told_to_come_back(api: InProcess) -> None:
    await allow_nobody(api)
    level = await api.made(f"{GROUP}/prioritylevelconfigurations", limited("few"))
    schema = await api.made(f"{GROUP}/flowschemas", schema_for_nobody("few"))
    answers = await asyncio.gather(*(api.post(MAPS, {"metadata": {"name": f"x{n}"}}, token=NOBODY) for n in range(20)))
    refused = [answer for answer in answers if answer.status == 429]
    assert sum(answer.status == 201 for answer in answers) == 5 and len(refused) == 15  # a 246th of all seats
    for answer in refused:
        assert answer.headers["Retry-After"] == "1" and answer.text == "Too many requests, please try again later.\n"
        assert answer.headers["X-Kubernetes-Pf-Flowschema-Uid"] == schema["metadata"]["uid"]
        assert answer.headers["X-Kubernetes-Pf-Prioritylevel-Uid"] == level["metadata"]["uid"]
    assert (await api.post(MAPS, {"metadata": {"name": "later"}}, token=NOBODY)).status == 201
    shown = (await api.get("/metrics")).text
    assert 'apiserver_flowcontrol_rejected_requests_total{flow_schema="mine",priority_level="few",reason="concurrency-limit"} 15.0' in shown
    assert 'apiserver_flowcontrol_current_executing_seats{priority_level="few"} 0.0' in shown


async def test_administrators_are_exempt(api: InProcess) -> None:
    answer = await api.get(MAPS)
    exempt = (await api.get(f"{GROUP}/flowschemas/exempt")).object
    assert answer.headers["X-Kubernetes-Pf-Flowschema-Uid"] == exempt["metadata"]["uid"]


async def until(api: InProcess, target: str, condition: Any) -> Any:
    async with asyncio.timeout(5):
        while True:
            answer = await api.get(target)
            if condition(answer):
                return answer
            await asyncio.sleep(0)


def dangling_of(answer: Any) -> str:
    return next((c["status"] for c in answer.object.get("status", {}).get("conditions", ()) if c["type"] == "Dangling"), "")


async def test_a_schema_without_its_level_dangles_until_there_is_one(api: InProcess) -> None:
    await api.made(f"{GROUP}/flowschemas", schema_for_nobody("absent"))
    answer = await until(api, f"{GROUP}/flowschemas/mine", lambda a: dangling_of(a) == "True")
    condition = answer.object["status"]["conditions"][0]
    assert (condition["reason"], condition["message"]) == (
        "NotFound", 'This FlowSchema references the PriorityLevelConfiguration object named "absent" but there is no such object')
    await api.made(f"{GROUP}/prioritylevelconfigurations", limited("absent"))
    await until(api, f"{GROUP}/flowschemas/mine", lambda a: dangling_of(a) == "False")


async def test_mandatory_objects_come_back_and_suggested_ones_may_be_changed(api: InProcess) -> None:
    levels = f"{GROUP}/prioritylevelconfigurations"
    await api.delete(f"{levels}/catch-all")
    await until(api, f"{levels}/catch-all", lambda a: a.status == 200)
    shares = [{"op": "replace", "path": "/spec/limited/nominalConcurrencyShares", "value": 77}]
    await api.patch(f"{levels}/global-default", shares, JSON_PATCH)
    await until(api, f"{levels}/global-default", lambda a: a.object["spec"]["limited"]["nominalConcurrencyShares"] == 20)
    own = [*shares, {"op": "replace", "path": "/metadata/annotations/apf.kubernetes.io~1autoupdate-spec", "value": "false"}]
    await api.patch(f"{levels}/global-default", own, JSON_PATCH)
    await api.delete(f"{GROUP}/flowschemas/probes")
    await until(api, f"{GROUP}/flowschemas/probes", lambda a: a.status == 200)
    assert (await api.get(f"{levels}/global-default")).object["spec"]["limited"]["nominalConcurrencyShares"] == 77


async def test_mandatory_specs_are_fixed(api: InProcess) -> None:
    wider = {"spec": {"matchingPrecedence": 9999}}
    answer = await api.patch(f"{GROUP}/flowschemas/catch-all", wider)
    assert answer.status == 422 and "spec of 'catch-all' must equal the fixed value" in answer.message
    assert '"PriorityLevelConfiguration":{"Name":"catch-all"},"MatchingPrecedence":9999,"DistinguisherMethod":{"Type":"ByUser"}' in answer.message
    answer = await api.patch(f"{GROUP}/prioritylevelconfigurations/catch-all", {"spec": {"limited": {"nominalConcurrencyShares": 50}}})
    assert answer.status == 422 and "spec of 'catch-all' must equal the fixed value" in answer.message
    lent = await api.patch(f"{GROUP}/prioritylevelconfigurations/exempt", {"spec": {"exempt": {"lendablePercent": 10}}})
    assert lent.status == 200


def test_the_labels_of_metrics_are_names_of_the_configuration() -> None:
    control = FlowControl()
    for name in ("a", "b", "c"):
        control.flow(on(User(name, groups=(AUTHENTICATED,)), "get", name))
    assert {s.labels["flow_schema"] for family in control.collect() for s in family.samples if "flow_schema" in s.labels} <= {
        schema.name for schema in control._schemas}
    assert metrics.KNOWN_VERBS
