"""Validating and mutating admission policies in a whole server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.hook_server import hook_server, reviewed
from tests.apiserver.inprocess import NOBODY, Answer, InProcess
from tiffin.machinery.cel import Budget
from tiffin.machinery.object import Object
from tiffin.net.pki import Pki

V1 = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ON_MAPS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
KEYS = {"Validating": "validations", "Mutating": "mutations"}


async def policy(api: InProcess, kind: str, rules: list[Object], name: str = "p", rule: Object | None = None, binding: Object | None = None, **spec: Any) -> Answer:
    """A policy and its binding, which denies."""
    operations = ["CREATE", "UPDATE", "DELETE"] if kind == "Validating" else ["CREATE", "UPDATE"]
    base: Object = {"matchConstraints": {"resourceRules": [rule or ON_MAPS | {"operations": operations}]}, KEYS[kind]: rules}
    if kind == "Mutating":
        base["reinvocationPolicy"] = "Never"
    plural = f"{kind.lower()}admissionpolicies"
    answer = await api.post(f"{V1}/{plural}", {"metadata": {"name": name}, "spec": base | spec})
    if answer.status == 201:
        bound = {"policyName": name} | ({"validationActions": ["Deny"]} if kind == "Validating" else {}) | (binding or {})
        made = await api.post(f"{V1}/{plural.removesuffix('ies')}ybindings", {"metadata": {"name": f"{name}-b"}, "spec": bound})
        assert made.status == 201, made.text
    return answer


def config_map(name: str = "m", **data: str) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def says(text: str, name: str = "p") -> str:
    return f"ValidatingAdmissionPolicy '{name}' with binding '{name}-b' denied request: {text}"


@pytest.mark.parametrize(("validation", "code", "reason", "message"), [
    ({"expression": "false"}, 422, "Invalid", "failed expression: false"),
    ({"expression": "false", "message": "no"}, 422, "Invalid", "no"),
    ({"expression": "false", "message": "no", "reason": "Forbidden"}, 403, "Forbidden", "no"),
    ({"expression": "false", "reason": "RequestEntityTooLarge"}, 413, "RequestEntityTooLarge", "failed expression: false"),
    ({"expression": "false", "message": "no", "messageExpression": "'not ' + object.metadata.name"}, 422, "Invalid", "not m"),
    ({"expression": "false", "message": "no", "messageExpression": "object.data.none + ''"}, 422, "Invalid", "no"),
    ({"expression": "false", "message": "no", "messageExpression": "'  '"}, 422, "Invalid", "no"),
    ({"expression": "false", "messageExpression": "'a\\nb'"}, 422, "Invalid", "failed expression: false"),
    ({"expression": "object.data.none == ''"}, 422, "Invalid", "expression 'object.data.none == ''' resulted in error: no such key: none"),
    ({"expression": "!authorizer.requestResource.check('create').allowed()"}, 422, "Invalid", "failed expression: !authorizer.requestResource.check('create').allowed()"),
])  # fmt: skip
async def test_a_refusal(api: InProcess, validation: Object, code: int, reason: str, message: str) -> None:
    await policy(api, "Validating", [validation])
    answer = await api.post(MAPS, config_map(a="1"))
    assert (answer.status, answer.reason, answer.message) == (code, reason, f'configmaps "m" is forbidden: {says(message)}')
    assert answer.object["details"] == {"name": "m", "kind": "configmaps", "causes": [{"message": says(message)}]}
    assert (await api.get(MAPS)).object["items"] == []


@pytest.mark.parametrize(("actions", "status", "warned"), [(["Warn"], 201, True), (["Audit"], 201, False), (["Deny", "Audit"], 422, False), (["Warn", "Audit"], 201, True)])
async def test_actions(api: InProcess, actions: list[str], status: int, warned: bool) -> None:
    await policy(api, "Validating", [{"expression": "false", "message": "no"}], binding={"validationActions": actions})
    answer = await api.post(MAPS, config_map())
    assert answer.status == status
    assert answer.warnings == (("299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p-b': no\"",) if warned else ())


async def test_failures_may_be_ignored(api: InProcess) -> None:
    await policy(api, "Validating", [{"expression": "object.data.none == ''"}], failurePolicy="Ignore")
    assert (await api.post(MAPS, config_map(a="1"))).status == 201
    assert (await api.post(MAPS, config_map("n", none="x"))).status == 422


async def test_a_policy_without_binding_does_nothing_and_a_binding_narrows(api: InProcess) -> None:
    other = {"matchResources": {"resourceRules": [ON_MAPS | {"resourceNames": ["other"]}]}}
    await policy(api, "Validating", [{"expression": "false"}], binding=other)
    assert (await api.post(MAPS, config_map())).status == 201
    assert (await api.post(MAPS, config_map("other"))).status == 422
    await api.delete(f"{V1}/validatingadmissionpolicybindings/p-b")
    assert (await api.post(MAPS, config_map("other"))).status == 201


async def test_exclusions(api: InProcess) -> None:
    constraints = {"resourceRules": [ON_MAPS], "excludeResourceRules": [ON_MAPS | {"resourceNames": ["free"]}]}
    await policy(api, "Validating", [{"expression": "false"}], matchConstraints=constraints)
    assert (await api.post(MAPS, config_map("free"))).status == 201
    assert (await api.post(MAPS, config_map())).status == 422


async def test_variables_are_computed_once_and_when_needed(api: InProcess) -> None:
    variables = [
        {"name": "name", "expression": "object.metadata.name"}, {"name": "long", "expression": "size(variables.name) > 3"},
        {"name": "broken", "expression": "object.data.none"},
    ]  # fmt: skip
    validations = [{"expression": "!variables.long", "messageExpression": "variables.name + ' is long'"}, {"expression": "size(variables.name) > 0 || variables.broken == ''"}]
    await policy(api, "Validating", validations, variables=variables)
    assert (await api.post(MAPS, config_map("m"))).status == 201
    assert (await api.post(MAPS, config_map("mmmm"))).message.endswith("mmmm is long")


async def test_the_namespace_and_the_old_object(api: InProcess) -> None:
    await policy(api, "Validating", [
        {"expression": "namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == request.namespace"},
        {"expression": "oldObject == null || oldObject.data == object.data", "message": "frozen"},
    ], rule=ON_MAPS | {"operations": ["CREATE", "UPDATE"]})  # fmt: skip
    await api.made(MAPS, config_map(a="1"))
    assert (await api.patch(f"{MAPS}/m", {"data": {"a": "2"}})).message.endswith("frozen")
    assert (await api.patch(f"{MAPS}/m", {"metadata": {"labels": {"b": "c"}}})).status == 200


async def test_a_runaway_expression_is_stopped(api: InProcess) -> None:
    every = "object.data.all(a, object.data.all(b, object.data.all(c, object.data.all(d, a + b + c + d != 'x'))))"
    await policy(api, "Validating", [{"expression": every}])
    answer = await api.post(MAPS, config_map(**{f"k{i}": "v" for i in range(60)}))
    assert answer.status == 422 and "cost" in answer.message


async def test_parameters(api: InProcess) -> None:
    reference = {"name": "limits", "parameterNotFoundAction": "Deny"}
    validation = {"expression": "size(object.data) <= int(params.data.max)", "messageExpression": "'more than ' + params.data.max"}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    await policy(api, "Validating", [validation], rule=rule, paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, binding={"paramRef": reference})
    secrets = "/api/v1/namespaces/default/secrets"
    secret = {"metadata": {"name": "s"}, "data": {"a": "", "b": ""}}
    missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert (await api.post(secrets, secret)).message == f'secrets "s" is forbidden: {says(missing)}'
    await api.made(MAPS, config_map("limits", max="1"))
    assert (await api.post(secrets, secret)).message.endswith("more than 1")
    await api.patch(f"{MAPS}/limits", {"data": {"max": "2"}})
    assert (await api.post(secrets, secret)).status == 201


async def test_parameters_of_an_unknown_kind(api: InProcess) -> None:
    kind = {"apiVersion": "rules.example.com/v1", "kind": "Limit"}
    binding = {"paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}}
    await policy(api, "Validating", [{"expression": "params.x == 1"}], paramKind=kind, binding=binding)
    missing = "failed to configure policy: failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Limit'"
    assert (await api.post(MAPS, config_map())).message == f"configmaps \"m\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: {missing}"


async def test_who_refers_to_parameters_has_to_be_able_to_read_them(api: InProcess) -> None:
    rules = [{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.made(f"{rbac}/clusterroles", {"metadata": {"name": "policies"}, "rules": rules})
    subject = {"kind": "User", "name": "nobody", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "policies", "apiGroup": "rbac.authorization.k8s.io"}
    await api.made(f"{rbac}/clusterrolebindings", {"metadata": {"name": "policies"}, "roleRef": role, "subjects": [subject]})
    kind = {"apiVersion": "v1", "kind": "Secret"}
    spec = {"matchConstraints": {"resourceRules": [ON_MAPS]}, "validations": [{"expression": "false", "messageExpression": "string(params.data.key)"}], "paramKind": kind}
    answer = await api.post(f"{V1}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec}, token=NOBODY)
    assert (answer.status, answer.reason) == (422, "Invalid") and 'must have "get" permission on all objects' in answer.message
    await api.made(f"{V1}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    reference = {"name": "s", "namespace": "kube-system", "parameterNotFoundAction": "Deny"}
    bound = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Warn"], "paramRef": reference}}
    assert (await api.post(f"{V1}/validatingadmissionpolicybindings", bound, token=NOBODY)).status == 422
    assert (await api.post(f"{V1}/validatingadmissionpolicybindings", bound)).status == 201


async def test_what_does_not_compile_is_refused(api: InProcess) -> None:
    answer = await policy(api, "Validating", [{"expression": "object.metadata.name"}, {"expression": "request.nope", "messageExpression": "authorizer.path('x')"}])
    assert [cause["field"] for cause in answer.object["details"]["causes"]] == [
        "spec.validations[0].expression", "spec.validations[1].expression", "spec.validations[1].messageExpression"]
    assert "must evaluate to bool but got dyn" in answer.message and "undefined field 'nope'" in answer.message


async def test_policies_do_not_guard_themselves(api: InProcess) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    await policy(api, "Validating", [{"expression": "false"}], rule=everything)
    assert (await api.post(MAPS, config_map())).status == 422
    assert (await api.delete(f"{V1}/validatingadmissionpolicies/p")).status == 200
    assert (await api.post(MAPS, config_map())).status == 201


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


async def test_evictions_bindings_and_connections_are_seen_as_what_they_are(api: InProcess) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "CONNECT"], "resources": ["pods/*", "serviceaccounts/token"]}
    tell = "request.operation + ' ' + request.subResource + ' ' + request.name + ' ' + object.kind + (has(object.command) ? ' ' + object.command[0] : '')"
    await policy(api, "Validating", [{"expression": "request.subResource == ''", "messageExpression": tell}], rule=rule | {"resources": [*rule["resources"], "pods"]},
                 matchConditions=[{"name": "sub", "expression": "has(request.subResource)"}])  # fmt: skip
    pods = "/api/v1/namespaces/default/pods"
    await api.made(pods, POD)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    for path, body, text in (
        (f"{pods}/p/binding", binding, "CREATE binding p Binding"),
        (f"{pods}/p/eviction", eviction, "CREATE eviction p Eviction"),
        (f"{pods}/p/exec?command=sh&stdin=true", None, "CONNECT exec p PodExecOptions sh"),
        (f"{pods}/p/attach", None, "CONNECT attach p PodAttachOptions"),
        (f"{pods}/p/portforward?ports=80", None, "CONNECT portforward p PodPortForwardOptions"),
        (f"{pods}/p/proxy/x", None, "CONNECT proxy p PodProxyOptions"),
        ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}, "CREATE token default TokenRequest"),
    ):
        answer = await api.post(path, body)
        assert answer.status == 422 and answer.message.endswith(f"denied request: {text}"), answer.text
    assert (await api.get(f"{pods}/p")).object["spec"].get("nodeName") is None


async def test_a_scale_is_seen_as_a_scale(api: InProcess) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    await policy(api, "Validating", [{"expression": "object.spec.replicas <= 2 && oldObject.kind == 'Scale'"}], rule=rule)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]}
    web = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    await api.made("/apis/apps/v1/namespaces/default/deployments", web)
    scale = "/apis/apps/v1/namespaces/default/deployments/web/scale"
    assert (await api.patch(scale, {"spec": {"replicas": 3}})).status == 422
    assert (await api.patch(scale, {"spec": {"replicas": 2}})).status == 200


# mutating


def applying(expression: str) -> Object:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patching(expression: str) -> Object:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def test_mutations_follow_one_another(api: InProcess) -> None:
    await policy(api, "Mutating", [
        applying("Object{data: {'a': '1'}, metadata: Object.metadata{labels: {'l': variables.l}}}"),
        patching("[JSONPatch{op: 'add', path: '/data/b', value: object.data.a + '2'}]"),
        patching("[JSONPatch{op: 'test', path: '/data/b', value: 'else'}, JSONPatch{op: 'remove', path: '/data/a'}]"),
    ], variables=[{"name": "l", "expression": "'v'"}])  # fmt: skip
    made = await api.made(MAPS, config_map(own="x"))
    assert made["data"] == {"a": "1", "b": "12", "own": "x"} and made["metadata"]["labels"] == {"l": "v"}


async def test_configurations_merge_lists_by_their_keys(api: InProcess) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    await policy(api, "Mutating", [applying("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'side', image: 'proxy'}]}}")], rule=rule)
    made = await api.made("/api/v1/namespaces/default/pods", POD)
    assert {c["name"]: c["image"] for c in made["spec"]["containers"]} == {"c": "i", "side": "proxy"}
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_configurations_may_not_replace_atomic_lists(api: InProcess) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    await policy(api, "Mutating", [applying("Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: 'a'}]}}")], rule=rule)
    answer = await api.post("/api/v1/namespaces/default/pods", POD)
    assert answer.status == 403 and answer.message == (
        "policy 'p' with binding 'p-b' denied request: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.tolerations")


async def test_all_that_failed_is_told_or_ignored(api: InProcess) -> None:
    broken = [applying("Object{data: {'a': object.data.none}}"), patching("[JSONPatch{op: 'remove', path: '/data/none'}]")]
    await policy(api, "Mutating", broken)
    answer = await api.post(MAPS, config_map(x="1"))
    assert (answer.status, answer.reason, len(answer.object["details"]["causes"])) == (403, "Invalid", 2)
    await api.patch(f"{V1}/mutatingadmissionpolicies/p", {"spec": {"failurePolicy": "Ignore"}})
    assert (await api.made(MAPS, config_map(x="1")))["data"] == {"x": "1"}


async def test_a_policy_is_asked_again_when_a_webhook_has_changed_the_object(api: InProcess, pki: Pki) -> None:
    count = [patching("[JSONPatch{op: 'add', path: '/data/' + (has(object.data.hook) ? 'second' : 'first'), value: '1'}]")]
    add = [{"op": "add", "path": "/data/hook", "value": "1"}]
    hook = {"name": "a.example.com", "rules": [ON_MAPS], "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    async with hook_server(pki, lambda review: reviewed(review, patch=add)) as server:
        body = {"metadata": {"name": "w"}, "webhooks": [hook | {"clientConfig": server.url()}]}
        await api.made(f"{V1}/mutatingwebhookconfigurations", body)
        for name, again in (("never", "Never"), ("again", "IfNeeded")):
            await policy(api, "Mutating", count, name=name, reinvocationPolicy=again)
            made = await api.made(MAPS, config_map(name, x="1"))
            assert made["data"] == {"x": "1", "hook": "1", "first": "1"} | ({"second": "1"} if again == "IfNeeded" else {})
            await api.delete(f"{V1}/mutatingadmissionpolicies/{name}")


# match conditions of webhooks


async def test_match_conditions_of_webhooks(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki) as server:
        conditions = [{"name": "breaks", "expression": "object.data.x == 'y'"}, {"name": "no-z", "expression": "object.metadata.name != 'z'"}]
        hook = {"name": "a.example.com", "rules": [ON_MAPS], "sideEffects": "None", "admissionReviewVersions": ["v1"], "matchConditions": conditions}
        await api.made(f"{V1}/validatingwebhookconfigurations", {"metadata": {"name": "w"}, "webhooks": [hook | {"clientConfig": server.url()}]})
        assert (await api.post(MAPS, config_map("z"))).status == 201  # one that is false decides
        assert (await api.post(MAPS, config_map("m", x="n"))).status == 201
        assert not server.seen
        answer = await api.post(MAPS, config_map("n"))
        assert (answer.status, answer.message) == (403, "configmaps \"n\" is forbidden: expression 'object.data.x == 'y'' resulted in error: no such key: data")
        await api.made(MAPS, config_map("o", x="y"))
        assert len(server.seen) == 1


async def test_which_policies_are_met_is_told_before_anything_changes(api: InProcess) -> None:
    """The first policy adds the label that the second asks for: too late."""
    await policy(api, "Mutating", [applying("Object{metadata: Object.metadata{labels: {'l': 'v'}}}")], name="a")
    await policy(api, "Mutating", [applying("Object{data: {'seen': 'yes'}}")], name="b", binding={"matchResources": {"objectSelector": {"matchLabels": {"l": "v"}}}})
    made = await api.made(MAPS, config_map(x="1"))
    assert made["metadata"]["labels"] == {"l": "v"} and made["data"] == {"x": "1"}


async def test_what_keeps_a_mutating_policy_from_being_used(api: InProcess) -> None:
    reference = {"paramRef": {"name": "none", "parameterNotFoundAction": "Deny"}}
    await policy(api, "Mutating", [applying("Object{data: {'a': params.data.k}}")], paramKind={"apiVersion": "v1", "kind": "ConfigMap"}, binding=reference)
    answer = await api.post(MAPS, config_map())
    missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert (answer.status, answer.reason, answer.message) == (403, "Forbidden", f"policy 'p' with binding 'p-b' denied request: {missing}")
    await policy(api, "Mutating", [applying("Object{}")], name="o", paramKind={"apiVersion": "e.com/v1", "kind": "Limit"}, binding=reference)
    answer = await api.post(MAPS, config_map())
    unknown = "failed to configure policy: failed to find resource referenced by paramKind: 'e.com/v1, Kind=Limit'"
    assert answer.message == f'policy "o" denied request: {unknown}' and len(answer.object["details"]["causes"]) == 2


async def test_a_request_that_costs_too_much_is_refused_for_that_alone(api: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.apiserver.admission.validation.Budget", lambda: Budget(10))
    await policy(api, "Validating", [{"expression": "false", "message": "no"}, {"expression": "[1,2,3,4,5,6,7,8,9].all(a, a > 0)"}])
    answer = await api.post(MAPS, config_map())
    words = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert answer.message == f'configmaps "m" is forbidden: {says(words)}'
