"""The audit log: what the policy picks, what an event tells, and that no secret is ever in it."""
from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.apiserver.inprocess import JSON_PATCH, NOBODY, TOKENS, InProcess
from tiffin.apiserver.audit.auditor import Auditor
from tiffin.apiserver.audit.log import LogFile, MemorySink
from tiffin.apiserver.audit.policy import LEVELS, Policy, PolicyError
from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.server import Assembly, Options
from tiffin.apiserver.user import AUTHENTICATED, User
from tiffin.machinery.object import Object, Resource
from tiffin.net.pki import Pki
from tiffin.store.log import MemoryLog
from tiffin.store.store import Store

MAPS, SECRETS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/secrets"
JANE = User("jane", groups=("dev", AUTHENTICATED))


def policy(*rules: Object, **more: Any) -> Policy:
    return Policy({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more})


def pods(verb: str = "get", name: str = "", sub: str = "", namespace: str = "shop") -> Attributes:
    return Attributes(JANE, verb, "", "v1", "pods", sub, namespace, name)


@pytest.mark.parametrize(
    ("rule", "action", "matches"),
    [
        ({}, pods(), True),
        ({"users": ["jane"]}, pods(), True), ({"users": ["joe"]}, pods(), False),
        ({"userGroups": ["x", "dev"]}, pods(), True), ({"userGroups": ["ops"]}, pods(), False),
        ({"verbs": ["list"]}, pods(), False),
        ({"namespaces": ["shop"]}, pods(), True), ({"namespaces": ["kube-system"]}, pods(), False), ({"namespaces": [""]}, pods(namespace=""), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, pods(), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, pods(sub="log"), False),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, pods(sub="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, pods(sub="log"), True),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, pods(sub="log"), True),
        ({"resources": [{"group": "", "resources": ["*"]}]}, pods(sub="log"), True),
        ({"resources": [{"group": ""}]}, pods(), True), ({"resources": [{"group": "apps"}]}, pods(), False),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]}, pods(name="a"), True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]}, pods(name="b"), False),
        ({"resources": [{"group": ""}]}, Attributes(JANE, "get", path="/healthz", is_resource=False), False),
        ({"nonResourceURLs": ["/healthz*"]}, Attributes(JANE, "get", path="/healthz/ping", is_resource=False), True),
        ({"nonResourceURLs": ["/healthz"]}, Attributes(JANE, "get", path="/healthz/ping", is_resource=False), False),
        ({"nonResourceURLs": ["*"]}, pods(), False),
    ],
)
def test_rules_match_as_in_kubernetes(rule: Object, action: Attributes, matches: bool) -> None:
    assert (policy({"level": "Metadata", **rule}).choose(action).level == 1) is matches


def test_the_first_rule_decides_and_stages_add_up() -> None:
    made = policy({"level": "None", "verbs": ["get"]}, {"level": "Request", "omitStages": ["Panic"], "omitManagedFields": False},
                  omitStages=["RequestReceived"], omitManagedFields=True)  # fmt: skip
    assert made.choose(pods("get")).level == 0
    assert made.choose(pods("list")) == (2, {"RequestReceived", "Panic"}, False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no Policy"), ("kind: Policy\napiVersion: audit.k8s.io/v1beta1\nrules: [{level: None}]", "is no Policy"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1", "0 rules"), ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: All}]", "Unsupported value"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, verb: [get]}]", 'unknown field "verb"'),
        ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, omitStages: [End]}]", "allowed stages"),
        ("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None, namespaces: [a], nonResourceURLs: [/x]}]", "cannot apply to both"),
        ("{", "audit policy file"),
    ],
)
def test_a_bad_policy_file_is_named_with_its_fault(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError) as caught:
        Policy.load(file)
    assert complaint in str(caught.value) and str(file) in str(caught.value)
    with pytest.raises(PolicyError, match=r"nowhere\.yaml"):
        Policy.load(tmp_path / "nowhere.yaml")


class Audited(InProcess):
    """A server with an audit log in memory."""

    sink: MemorySink

    def stages(self, resource: str = "configmaps") -> list[tuple[str, str]]:
        return [(e["verb"], e["stage"]) for e in self.sink.events if e.get("objectRef", {}).get("resource") == resource]

    def last(self, **wanted: str) -> Object:
        return next(e for e in reversed(self.sink.events) if all(e.get(key) == value for key, value in wanted.items()))


async def audited(pki: Pki, *rules: Object, **more: Any) -> Audited:
    sink = MemorySink()
    options = Options(pki, TOKENS, "127.0.0.1:6443", "10.96.0.0/16", auditor=Auditor(policy(*rules, **more), sink))
    assembly = Assembly(Store(MemoryLog()), options)
    await assembly.start()
    api = Audited(assembly)
    api.sink = sink
    return api


async def test_an_event_for_each_stage_tells_who_did_what(pki: Pki) -> None:
    api = await audited(pki, {"level": "RequestResponse", "resources": [{"group": "", "resources": ["configmaps"]}], "namespaces": ["default"]}, omitManagedFields=True)
    try:
        answer = await api.post(MAPS, {"metadata": {"generateName": "a-"}, "data": {"x": "y"}}, user_agent="curl/8", impersonate_user="jane",
                                impersonate_group="system:masters")  # fmt: skip
        assert answer.status == 201
        assert api.stages() == [("create", "RequestReceived"), ("create", "ResponseComplete")]
        event = api.sink.events[-1]
        assert (event["level"], event["auditID"], event["requestURI"]) == ("RequestResponse", answer.headers["Audit-Id"], MAPS)
        assert (event["user"]["username"], event["impersonatedUser"]["username"]) == ("admin", "jane")
        assert (event["userAgent"], event["sourceIPs"]) == ("curl/8", ["127.0.0.1"])
        assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": answer.object["metadata"]["name"], "apiVersion": "v1"}
        assert event["responseStatus"]["code"] == 201 and event["requestObject"]["data"] == {"x": "y"}
        assert event["responseObject"]["metadata"]["name"].startswith("a-") and "managedFields" not in event["responseObject"]["metadata"]
        assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
        assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
        await api.get("/api/v1/namespaces/kube-system/configmaps")
        assert len(api.stages()) == 2
    finally:
        await api.stop()


async def test_which_object_is_told_at_every_level(pki: Pki) -> None:
    api = await audited(pki, {"level": "Metadata", "resources": [{"group": "", "resources": ["configmaps"]}], "namespaces": ["default"]})
    try:
        made = await api.made(MAPS, {"metadata": {"name": "a"}, "data": {"x": "y"}})
        assert api.sink.events[-1]["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"}
        await api.put(f"{MAPS}/a", made)
        assert api.sink.events[-1]["objectRef"]["uid"] == made["metadata"]["uid"]
        assert api.sink.events[-1]["objectRef"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert not any("requestObject" in event or "responseObject" in event for event in api.sink.events)
    finally:
        await api.stop()


async def test_refusals_streams_and_faults_are_noted(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await audited(pki, {"level": "Metadata"}, omitStages=["RequestReceived"])
    try:
        await api.get(MAPS, token=NOBODY)
        event = api.last(stage="ResponseComplete", requestURI=MAPS)
        assert event["annotations"]["authorization.k8s.io/decision"] == "forbid" and event["responseStatus"]["reason"] == "Forbidden"
        await api.get(MAPS, token="made-up-token")
        assert (api.sink.events[-1]["stage"], api.sink.events[-1]["responseStatus"]["code"]) == ("ResponseStarted", 401)
        watch = await api.watch(f"{MAPS}?watch=1")
        assert api.last(verb="watch", requestURI=f"{MAPS}?watch=1")["stage"] == "ResponseStarted"
        watch.leave()
        await watch.until_ended()
        assert api.last(verb="watch", requestURI=f"{MAPS}?watch=1")["stage"] == "ResponseComplete"

        def fail(*arguments: Any) -> Any:
            raise RuntimeError

        monkeypatch.setattr("tiffin.apiserver.writes.ordered", fail)
        await api.post(MAPS, {"metadata": {"name": "x"}})
        event = api.last(verb="create", requestURI=MAPS)
        assert (event["stage"], event["responseStatus"]["code"]) == ("Panic", 500)
    finally:
        await api.stop()


async def test_the_servers_own_controllers_are_noted_too(pki: Pki) -> None:
    api = await audited(pki, {"level": "Request", "users": ["system:serviceaccount:kube-system:job-controller"]})
    try:
        client = api.assembly.client_for("job-controller")
        maps = Resource("", "v1", "configmaps")
        with pytest.raises(Exception, match="forbidden"):
            await client.create(maps, "default", {"metadata": {"name": "x"}})
        await api.assembly.client_for("").list(maps, "default")
        assert [(e["verb"], e["stage"], e["requestURI"]) for e in api.sink.events] == [
            ("create", "RequestReceived", "/api/v1/namespaces/default/configmaps"), ("create", "ResponseComplete", "/api/v1/namespaces/default/configmaps")]
        assert api.sink.events[-1]["responseStatus"]["code"] == 403 and api.sink.events[-1]["userAgent"] == "kube-controller-manager"
    finally:
        await api.stop()


async def test_no_secret_and_no_token_is_ever_written(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    """Attack 18: at the highest level of the audit log and of every other log."""
    caplog.set_level(logging.DEBUG)
    api = await audited(pki, {"level": "RequestResponse"})
    api.assembly.api.log_requests = True
    try:
        value = "aHVudGVyMg=="
        applied = {"kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"p":"{value}"}}}}'}
        await api.post(SECRETS, {"metadata": {"name": "s", "annotations": applied}, "data": {"p": value}, "stringData": {"q": "hunter3"}})
        await api.patch(f"{SECRETS}/s", {"data": {"p": value}})
        await api.patch(f"{SECRETS}/s", [{"op": "replace", "path": "/data/p", "value": value}], JSON_PATCH)
        await api.put(f"{SECRETS}/s", (await api.get(f"{SECRETS}/s")).object)
        await api.get(SECRETS)
        await api.get(SECRETS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        await api.get(f"{SECRETS}?includeObject=Object", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        await api.get(SECRETS, accept="application/yaml")
        await api.post(SECRETS, b'{"data": {"p": "aHVudGVyMg==" broken')
        await api.delete(f"{SECRETS}/s")
        await api.made("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "sa"}})
        token = (await api.post("/api/v1/namespaces/default/serviceaccounts/sa/token", {})).object["status"]["token"]
        assert api.sink.events[-1]["annotations"]["authentication.kubernetes.io/issued-credential-id"].startswith("JTI=")
        review = await api.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
        assert review.object["status"]["authenticated"]
        await api.get(MAPS, token=token)
        await api.get(MAPS, token=f"{token}x")
        websocket = "base64url.bearer.authorization.k8s.io.YWRtaW4tdG9rZW4"
        await api.get(MAPS, token=None, sec_websocket_protocol=f"{websocket}, v4.channel.k8s.io")
        written = orjson.dumps(api.sink.events).decode() + caplog.text
        for secret in (value, "hunter3", "aHVudGVyMw==", token, token.split(".")[2], "admin-token", "YWRtaW4tdG9rZW4"):
            assert secret not in written
        assert '"data":{"p":"REDACTED"' in written
    finally:
        await api.stop()


async def test_the_file_is_rotated_by_size_and_private(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    log = LogFile(str(path), max_bytes=400, backups=2)
    for number in range(40):
        log.write({"n": number, "filler": "x" * 50})
    await log.close()
    files = sorted(path.parent.iterdir())
    assert len(files) == 3 and all(file.stat().st_size <= 400 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    numbers = [orjson.loads(line)["n"] for line in path.read_text().splitlines()]
    assert numbers[-1] == 39
    again = LogFile(str(path), max_bytes=400)
    again.write({"n": 40})
    await again.close()
    assert orjson.loads(path.read_text().splitlines()[-1]) == {"n": 40}


def test_levels_are_in_order() -> None:
    assert LEVELS == ("None", "Metadata", "Request", "RequestResponse")
