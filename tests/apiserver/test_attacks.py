"""Attacks on the API's own paths and bodies: 8, 9, 10, 12, 13 and 14, and everything else that is unknown or broken."""
from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.apiserver.inprocess import APPLY, JSON_PATCH, MERGE, NOBODY, STRATEGIC, InProcess, in_process, make_pki
from tiffin.apiserver.aggregation.frontproxy import FrontProxy
from tiffin.apiserver.server import server_context
from tiffin.net.http import Request
from tiffin.net.pki import Pki

MAPS = "/api/v1/namespaces/default/configmaps"
YAML = "application/yaml"
ROLE = "/apis/rbac.authorization.k8s.io/v1"


def config_map(name: str = "x", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


# attack 8: documents that grow when they are read

LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%b]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in range(ord("b"), ord("k")))


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes((number & 127 | 128,)), number >> 7
    return out + bytes((number,))


def protobuf(version: str, kind: str, raw: bytes) -> bytes:
    """A body in Kubernetes' envelope."""
    names = b"\x0a" + varint(len(version)) + version.encode() + b"\x12" + varint(len(kind)) + kind.encode()
    return b"k8s\0\x0a" + varint(len(names)) + names + b"\x12" + varint(len(raw)) + raw


BOMBS = {
    "aliases": (YAML, b"metadata: {name: x}\n" + LAUGHS), "aliases in data": (YAML, b"metadata: {name: x}\ndata: &a {k: v, l: *a}\n"),
    "deep yaml": (YAML, b"a: " + b"[" * 100_000), "deep yaml maps": (YAML, b"{a: " * 50_000), "deep json": ("application/json", b'{"a":' * 100_000),
    "deep json lists": ("application/json", b'{"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "huge number": ("application/json", b'{"metadata":{"generation":' + b"9" * 1_000_000 + b"}}"),
    "huge number in yaml": (YAML, b"metadata: {generation: " + b"9" * 200_000 + b"}"), "huge exponent": ("application/json", b'{"metadata":{"generation":1e999999999}}'),
    "many empty objects": ("application/json", b'{"metadata":{"name":"x","ownerReferences":[' + b",".join([b"{}"] * 900_000) + b"]}}"),
    "many empty objects in yaml": (YAML, b"metadata: {name: x, ownerReferences: [" + b",".join([b"{}"] * 290_000) + b"]}"),
    "many empty messages": ("application/vnd.kubernetes.protobuf", protobuf("v1", "ConfigMap", b"\x0a" + varint(2 * 900_000) + b"\x6a\x00" * 900_000)),
    "many keys that merge": (YAML, b"base: &b {k: v}\n" + b"metadata: {name: x, <<: [" + b",".join([b"*b"] * 50_000) + b"]}\n"),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_bombs_are_refused_early(api: InProcess, bomb: str) -> None:
    type, body = BOMBS[bomb]
    assert len(body) < 3 << 20
    tracemalloc.start()
    started = time.process_time()
    for answer in (
        await api.post(MAPS, body, type=type), await api.put(f"{MAPS}/x", body, type=type),
        await api.patch(f"{MAPS}/x?fieldManager=m", body, type=APPLY if type == YAML else MERGE), await api.delete(f"{MAPS}/x", body, type=type)):
        assert answer.status in (400, 404, 413, 422) and answer.object["kind"] == "Status", (bomb, answer.text[:200])
        assert len(answer.body) < 10_000 + 2 * len(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * len(body) + (64 << 20)
    assert time.process_time() - started < 60, "minutes would be an attack; this is no measurement"
    assert (await api.get(MAPS)).names == []


async def test_a_small_body_is_not_answered_with_megabytes(api: InProcess) -> None:
    """Each empty port is wrong three times over: a body of 150 kB was answered with 45 MB."""
    body = b'{"metadata":{"name":"x"},"spec":{"ports":[' + b",".join([b"{}"] * 20_000) + b"]}}"
    answer = await api.post("/api/v1/namespaces/default/services", body)
    assert answer.status == 422 and len(answer.body) < 1 << 20 and len(answer.object["details"]["causes"]) == 1000
    assert re.search(r", and \d+ more\]$", answer.message)


# attack 9: patches that copy themselves


async def test_a_patch_that_doubles_itself_is_stopped(api: InProcess) -> None:
    await api.made(MAPS, config_map(a="x" * 1000))
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/b{n}"} for n in range(40)]
    answer = await api.patch(f"{MAPS}/x", doubling, type=JSON_PATCH)
    assert answer.status in (413, 422), answer.text[:300]
    labels = [{"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/b{n}"} for n in range(10_001)]
    assert (await api.patch(f"{MAPS}/x", labels, type=JSON_PATCH)).status in (413, 422)
    assert (await api.get(f"{MAPS}/x")).object["data"] == {"a": "x" * 1000}


async def test_as_many_operations_as_kubernetes_takes(api: InProcess) -> None:
    await api.made(MAPS, config_map(a="0"))
    few = [{"op": "replace", "path": "/data/a", "value": str(n)} for n in range(10_000)]
    assert (await api.patch(f"{MAPS}/x", few, type=JSON_PATCH)).object["data"] == {"a": "9999"}
    many = await api.patch(f"{MAPS}/x", [*few, few[0]], type=JSON_PATCH)
    assert (many.status, many.reason) == (413, "RequestEntityTooLarge")
    assert many.message == "The allowed maximum operations in a JSON patch is 10000, got 10001"


# attack 10: label values made by clients


async def test_odd_requests_make_no_labels_of_their_own(api: InProcess) -> None:
    for number in range(50):
        await api.call(f"VERB{number}", "/api/v1/pods")
        await api.call(f"VERB{number}", f"/odd/{number}")
        await api.get(f"/api/v1/odd{number}")
        await api.get(f"/apis/group{number}/v1/things")
        await api.get(f"{MAPS}/x/sub{number}")
        await api.get("/api/v1/pods", token=f"bad{number}")
    text = (await api.get("/metrics")).text
    assert "odd" not in text and "VERB" not in text and "verb1" not in text and "group1" not in text and "sub1" not in text
    labels = set(re.findall(r'apiserver_request_total\{code="(\d+)",resource="([^"]*)",verb="([^"]*)"\}', text))
    assert labels and {code for code, _, _ in labels} <= {str(code) for code in range(100, 600)}


# attack 12: names that are paths

HOSTILE = ("..", ".", "%2e%2e", "a%2fb", "..%2f..%2fsecrets%2fdefault%2fx", "a%00b", "%0a", "a%252fb", "\x00", "a\\b", "%c0%ae%c0%ae", "a b", "%", "%zz", "a" * 300, "%ff")


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_hostile_name_makes_a_key(api: InProcess, name: str) -> None:
    body = orjson.dumps(config_map("x"))
    for target in (f"/api/v1/namespaces/{name}/configmaps", f"{MAPS}/{name}", f"/api/v1/namespaces/default/{name}", f"/api/v1/namespaces/{name}", f"/apis/{name}/v1/things",
                   f"/api/{name}/pods", f"{MAPS}/x/{name}", f"/api/v1/namespaces/{name}/configmaps/{name}"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = await api.call(method, target, body)
            empty = method in ("GET", "DELETE") and answer.status == 200 and answer.object.get("items") == []
            assert empty or 400 <= answer.status < 500, (method, target, answer.status)
    assert [entry.key for entry in api.store.entries("configmaps", "default")] == []
    assert {key.namespace for resource in api.store.index.resources() for key in (entry.key for entry in api.store.entries(resource))} <= {
        "", "default", "kube-system", "kube-public", "kube-node-lease"}


@pytest.mark.parametrize("name", ["../x", "a/b", "a\x00b", "..", "a%2fb", "x\n", "-x", "X", "\u0430", "x" * 254, ""])
async def test_no_hostile_name_in_a_body_makes_a_key(api: InProcess, name: str) -> None:
    for body in (config_map(name), {"metadata": {"generateName": name or "/"}}, {"metadata": {"name": "x", "namespace": name or "/"}}):
        answer = await api.post(MAPS, body)
        assert answer.status in (400, 422), (body, answer.status)
    assert not list(api.store.entries("configmaps", "default"))


# attack 13: one type's name is the beginning of another's


def definition(plural: str, group: str = "example.org", scope: str = "Namespaced") -> dict[str, Any]:
    kind = plural.capitalize()
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": {
        "group": group, "scope": scope, "names": {"plural": plural, "kind": kind},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}


async def served(api: InProcess, target: str) -> None:
    async with asyncio.timeout(5):
        while (await api.get(target)).status == 404:
            await asyncio.sleep(0)


async def test_a_list_of_one_type_never_reads_another(api: InProcess) -> None:
    plurals = ("foo", "foos", "foos-x", "foosbar")
    for plural in plurals:
        await api.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(plural))
        await served(api, f"/apis/example.org/v1/{plural}")
    for plural in plurals:
        await api.made(f"/apis/example.org/v1/namespaces/default/{plural}", {"apiVersion": "example.org/v1", "kind": plural.capitalize(), "metadata": {"name": f"of-{plural}"}})
    for plural in plurals:
        for scope in ("", "namespaces/default/"):
            assert (await api.get(f"/apis/example.org/v1/{scope}{plural}")).names == [f"of-{plural}"]


async def test_a_list_of_one_namespace_never_reads_another(api: InProcess) -> None:
    names = ("team", "team-a", "teams", "tea")
    for name in names:
        await api.made("/api/v1/namespaces", {"metadata": {"name": name}})
        await api.made(f"/api/v1/namespaces/{name}/configmaps", config_map(f"of-{name}"))
    for name in names:
        assert (await api.get(f"/api/v1/namespaces/{name}/configmaps")).names == [f"of-{name}"]


# attack 14: the wrong scope


@pytest.mark.parametrize("target", [
    "/api/v1/namespaces/default/nodes", "/api/v1/namespaces/default/nodes/n", "/api/v1/namespaces/default/persistentvolumes/x", f"{ROLE}/namespaces/default/clusterroles/admin",
    f"{ROLE}/namespaces/default/clusterroles", "/api/v1/namespaces/default/namespaces/kube-system", "/api/v1/namespaces/default/namespaces",
    "/api/v1/namespaces/default/namespaces/kube-system/status", "/api/v1/namespaces/default/namespaces/kube-system/finalize", "/api/v1/configmaps/x", f"{ROLE}/roles/x",
    "/apis/example.org/v1/namespaces/default/cubes", "/apis/example.org/v1/namespaces/default/cubes/c", "/apis/example.org/v1/boxes/b"])
async def test_a_path_of_the_wrong_scope_is_not_found(api: InProcess, target: str) -> None:
    for scope, plural in (("Cluster", "cubes"), ("Namespaced", "boxes")):
        await api.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(plural, scope=scope))
        await served(api, f"/apis/example.org/v1/{plural}")
    before = api.store.revision
    for method in ("GET", "PUT", "PATCH", "DELETE", "POST"):
        answer = await api.call(method, target, config_map(target.rpartition("/")[2]), type=MERGE if method == "PATCH" else "application/json")
        assert answer.status in (404, 405), (method, answer.text)
    assert api.store.revision == before


async def test_rights_in_one_namespace_do_not_reach_another_through_its_path(api: InProcess) -> None:
    """Somebody who may do everything in `mine` names another namespace below it."""
    await api.made("/api/v1/namespaces", {"metadata": {"name": "mine"}})
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    await api.made(f"{ROLE}/namespaces/mine/roles", {"metadata": {"name": "all"}, "rules": [rule]})
    await api.made(f"{ROLE}/namespaces/mine/rolebindings", {
        "metadata": {"name": "all"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "nobody"}]})
    assert (await api.get("/api/v1/namespaces/mine/secrets", token=NOBODY)).status == 200
    for method, target in (
        ("GET", "/api/v1/namespaces/mine/namespaces/default"), ("DELETE", "/api/v1/namespaces/mine/namespaces/default"), ("GET", "/api/v1/namespaces/mine/namespaces"),
        ("PUT", "/api/v1/namespaces/mine/namespaces/default/finalize"), ("GET", "/api/v1/namespaces/mine/nodes"), ("GET", "/api/v1/namespaces/mine/../default/secrets"),
        ("GET", "/api/v1/namespaces/mine%2f..%2fdefault/secrets"), ("GET", "/api/v1/namespaces/default/secrets"), ("GET", "/api/v1/secrets"),
        ("GET", f"{ROLE}/namespaces/mine/clusterroles/cluster-admin")):
        answer = await api.call(method, target, token=NOBODY)
        assert answer.status in (400, 403, 404, 405), (method, target, answer.text)
    assert (await api.get("/api/v1/namespaces/default")).object["status"]["phase"] == "Active"


# everything that is unknown


@pytest.mark.parametrize(("method", "target", "status", "reason"), [
    ("GET", "/api/v1/nonsense", 404, "NotFound"), ("GET", "/api/v2/pods", 404, "NotFound"), ("GET", "/apis/apps/v9/deployments", 404, "NotFound"),
    ("POST", "/api/v1/namespaces/default/nonsense", 404, "NotFound"), ("GET", f"{MAPS}/x/nonsense", 404, "NotFound"), ("PUT", MAPS, 405, "MethodNotAllowed"),
    ("PATCH", MAPS, 405, "MethodNotAllowed"), ("POST", f"{MAPS}/x", 405, "MethodNotAllowed"), ("POST", "/api/v1/configmaps", 405, "MethodNotAllowed"),
    ("OPTIONS", MAPS, 405, "MethodNotAllowed"), ("TRACE", f"{MAPS}/x", 405, "MethodNotAllowed"), ("BREW", MAPS, 405, "MethodNotAllowed"),
    ("DELETE", "/api/v1/namespaces", 405, "MethodNotAllowed"), ("POST", "/version", 405, "MethodNotAllowed"), ("DELETE", "/api", 405, "MethodNotAllowed")])
async def test_unknown_paths_and_verbs(api: InProcess, method: str, target: str, status: int, reason: str) -> None:
    answer = await api.call(method, target, config_map() if method in ("POST", "PUT", "PATCH") else None)
    assert (answer.status, answer.reason) == (status, reason), answer.text
    assert answer.object["kind"] == "Status" and answer.object["code"] == status


@pytest.mark.parametrize("target", ["/nonsense", "/apis/nonsense/v1", "/apis/nonsense", "/healthz/nonsense", "/openapi/v3/nonsense"])
async def test_paths_that_are_not_of_the_api_are_plain(api: InProcess, target: str) -> None:
    answer = await api.get(target)
    assert (answer.status, answer.text) == (404, "404 page not found\n")


@pytest.mark.parametrize("target", ["/api/v1/pods", "/nonsense", "/apis/nonsense/v1/x", "/metrics", f"{MAPS}/x/nonsense", "/"])
async def test_strangers_learn_nothing_not_even_what_there_is(api: InProcess, target: str) -> None:
    for token, status in ((None, 403), (NOBODY, 403), ("forged", 401)):
        answer = await api.get(target, token=token)
        assert (answer.status, answer.object["kind"]) == (status, "Status"), answer.text
        assert answer.headers["Audit-Id"]


@pytest.mark.parametrize("headers", [
    {"authorization": "Bearer"}, {"authorization": "Bearer \udcff"}, {"authorization": "Basic eDp5"}, {"authorization": "\x00"}, {"impersonate_user": "\udcff"},
    {"impersonate_extra_": "x"}, {"impersonate_group": "x"}, {"accept": ";;;,,,q=x"}, {"accept": "*/*;q=\udcff"}, {"content_type": "\udcff"}, {"user_agent": "\udcff\udcfe/1"},
    {"user_agent": ""}, {"user_agent": "x" * 60_000}, {"accept_encoding": "\udcff"}, {"if_none_match": "\udcff"}])
async def test_odd_headers_get_an_answer_and_no_fault(api: InProcess, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    for method, target, body in (("GET", MAPS, None), ("POST", MAPS, config_map()), ("PATCH", f"{MAPS}/x", {"data": {"a": "b"}}), ("GET", "/api", None)):
        token = None if "authorization" in headers else "admin-token"
        response = await api.raw(method, target, orjson.dumps(body) if body else b"", token, **{"content_type": MERGE if method == "PATCH" else "application/json"} | headers)
        assert response.status < 500, response.body
    assert not caplog.records


async def test_the_owner_of_fields_is_printable_and_short(api: InProcess) -> None:
    for number, agent in enumerate(("\udcff\udcfekubectl/1.36", "a\x00b\u202ec/1", "k" * 1000)):
        made = await api.post(MAPS, config_map(f"x{number}", a="b"), user_agent=agent)
        (fields,) = made.object["metadata"]["managedFields"]
        assert fields["manager"] == ("kubectl", "abc", "k" * 128)[number]


# faults inside


async def test_a_fault_inside_is_a_500_with_the_id_under_which_the_log_has_it(api: InProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tiffin.apiserver.writes.ordered", fail)
    answer = await api.post(MAPS, config_map())
    audit = answer.headers["Audit-Id"]
    assert (answer.status, answer.reason) == (500, "InternalError")
    assert "secret detail" not in answer.text and audit in answer.message
    assert audit in caplog.text and "secret detail" in caplog.text
    monkeypatch.undo()
    assert (await api.post(MAPS, config_map())).status == 201


async def test_a_write_that_takes_too_long_is_a_504(api: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*arguments: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("tiffin.apiserver.handler.WRITE_TIMEOUT", 0.01)
    monkeypatch.setattr(api.store, "commit", never)
    answer = await api.post(MAPS, config_map())
    assert (answer.status, answer.reason) == (504, "Timeout")


async def test_a_body_over_the_limit_is_a_status_over_the_wire(api: InProcess) -> None:
    port = await api.assembly.http.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAPS.encode(), (3 << 20) + 1) + b"x" * 100_000)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 413 ") and b"Content-Type: application/json" in head
    status = orjson.loads(body)
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 413, "RequestEntityTooLarge")
    assert status["message"] == "Request entity too large: limit is 3145728"


# anything at all

SEGMENT = st.one_of(st.sampled_from(["api", "apis", "v1", "apps", "namespaces", "default", "pods", "configmaps", "x", "status", "watch", "scale", "log", "exec", "", "proxy"]), st.text(max_size=8))
TARGETS = st.builds(lambda parts, query: "/" + "/".join(parts) + query, st.lists(SEGMENT, max_size=8), st.sampled_from(
    ["", "?watch=1&timeoutSeconds=1", "?limit=1", "?dryRun=All", "?labelSelector=%00", "?fieldSelector=a%3D%00", "?resourceVersion=0", "?continue=e30", "?pretty=1", "?%ff=%ff", "?a=b;c"]))
JSON_VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-1 << 63, (1 << 64) - 1), st.floats(allow_nan=False), st.text(max_size=8)), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["metadata", "name", "spec", "data", "labels", "kind", "apiVersion", "finalizers", "ownerReferences", "status", "op", "path", "value"]), inner, max_size=4)), max_leaves=12)


@pytest.fixture(scope="module")
def running(pki: Pki) -> Iterator[tuple[asyncio.Runner, InProcess]]:
    """One server for all examples, in a loop of its own."""
    with asyncio.Runner() as runner:
        context = in_process(pki)
        api = runner.run(context.__aenter__())
        yield runner, api
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]), TARGETS, st.one_of(JSON_VALUES.map(orjson.dumps), st.binary(max_size=40)),
    st.sampled_from(["application/json", YAML, MERGE, JSON_PATCH, STRATEGIC, APPLY, "application/vnd.kubernetes.protobuf", ""]))
def test_no_request_finds_a_fault(running: tuple[asyncio.Runner, InProcess], method: str, target: str, body: bytes, type: str) -> None:
    runner, api = running
    target = target.encode("utf-8", "surrogatepass").decode("latin-1")
    headers = {"authorization": "Bearer admin-token", "content-type": type}
    response = runner.run(api.assembly.api.handle(Request(method, target, headers, body, "127.0.0.1")))
    assert b"a fault of the server" not in response.body, (method, target, body)
    assert runner.run(api.get("/api/v1/namespaces")).status == 200


# forged identities: what an authenticating proxy says counts only from that proxy

FORGED = [
    {"x-remote-user": "admin", "x-remote-group": "system:masters"}, {"x-remote-user": "system:kube-controller-manager", "x-remote-uid": "1", "x-remote-extra-a": "b"},
    {"remote-user": "admin", "remote-groups": "system:masters"}, {"x-forwarded-user": "admin"},
    {"impersonate-user": "admin", "impersonate-group": "system:masters"},
]


@pytest.mark.parametrize("forged", FORGED)
async def test_what_only_the_front_proxy_may_say_is_not_believed(api: InProcess, forged: dict[str, str]) -> None:
    who = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    sent = {name.replace("-", "_"): value for name, value in forged.items()}
    for token in ("", NOBODY):
        answer = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", who, token=token, **sent)
        if answer.status == 201:
            assert answer.object["status"]["userInfo"]["username"] in ("system:anonymous", "nobody")
            assert "system:masters" not in answer.object["status"]["userInfo"].get("groups", ())
        else:
            assert answer.status == 403
        assert (await api.get("/api/v1/secrets", token=token, **sent)).status == 403


def test_the_front_proxys_certificate_is_no_identity_here(tmp_path: Path) -> None:
    """Its authority is another: TLS refuses it, so its holder cannot come as `front-proxy-client` either."""
    pki = make_pki(tmp_path)
    pair = FrontProxy(pki).authority().client("front-proxy-client", "front-proxy-client")
    context = ssl.create_default_context(cadata=pki.ca_pem.decode())
    context.load_cert_chain(pair.certificate, pair.key)
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(there, here, server_hostname="localhost")
    server = server_context(pki).wrap_bio(here, there, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        for _ in range(4):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()


# log injection: a line of a log is one request


async def test_no_request_makes_lines_of_its_own_in_a_log(api: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api.assembly.api.log_requests = True
    for path in ("/api/v1/x%0aforged line", "/api/v1/x\nforged line", "/api/v1/x\r\nforged line", "/x\x1b[2Jforged line", "/x\x85forged line", "/api/v1/pods?a=\nforged line"):
        sent: list[dict[str, str]] = [{}, {"user_agent": "a\nforged line"}]
        for headers in sent:
            await api.call("GET", path, **headers)
            await api.call("G\nforged line", path, **headers)
            await api.call("GET", path, impersonate_user="x\nforged line", **headers)
    formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")
    for record in caplog.records:
        assert not any(line.startswith(("forged", "[2Jforged")) for line in formatter.format(record).splitlines())


# attack 27: references that would reach into another namespace

CONTAINER: dict[str, Any] = {"name": "c", "image": "i"}
REACHING: dict[str, tuple[str, dict[str, Any]]] = {
    "ingress backend": ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {"spec": {"defaultBackend": {"service": {"name": "other/web", "port": {"number": 80}}}}}),
    "ingress path": ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {"spec": {"rules": [{"http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web.other", "port": {"number": 80}}}}]}}]}}),
    "ingress secret": ("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {"spec": {
        "tls": [{"hosts": ["a.b"], "secretName": "other/tls"}], "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}}),
    "account": ("/api/v1/namespaces/default/pods", {"spec": {"containers": [CONTAINER], "serviceAccountName": "other/default"}}),
    "environment": ("/api/v1/namespaces/default/pods", {"spec": {"containers": [CONTAINER | {"envFrom": [{"secretRef": {"name": "other/x"}}]}]}}),
    "role": (f"{ROLE}/namespaces/default/rolebindings", {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "other/x"}}),
    "token": ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "../other/x"}}}),
    "owner": (MAPS, {"metadata": {"name": "x", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u", "namespace": "other"}]}}),
}


@pytest.mark.parametrize("reaching", REACHING)
async def test_attack_27_no_reference_names_another_namespace(api: InProcess, reaching: str) -> None:
    target, body = REACHING[reaching]
    answer = await api.post(f"{target}?fieldValidation=Strict", {"metadata": {"name": "x"}, **body} if "token" not in target else body)
    assert answer.status in (400, 403, 404, 422), answer.text
