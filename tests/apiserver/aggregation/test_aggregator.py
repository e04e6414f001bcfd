"""Aggregated servers: a real one behind TLS, its discovery, its requests, and what it may not do."""
from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.apiserver.inprocess import JSON_PATCH, NOBODY, Answer, InProcess, Stream
from tiffin.apiserver import servicedial
from tiffin.machinery.object import Key, Object
from tiffin.net.http import Connection, Request, Response, Writer
from tiffin.net.pki import Pki, ensure_authority
from tiffin.net.server import Server
from tiffin.store.store import Write

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
LISTED = {
    "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.example.com/v1", "resources": [
        {"name": "meals", "singularName": "meal", "namespaced": True, "kind": "Meal", "verbs": ["get", "list"], "shortNames": ["ml"]},
        {"name": "meals/status", "singularName": "", "namespaced": True, "kind": "Meal", "verbs": ["get"]}]}
OPENAPI = {
    "swagger": "2.0", "paths": {"/apis/metrics.example.com/v1/meals": {"get": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}}, "/apis/apps/v1/": {"own": 1}},
    "definitions": {"com.example.Meal": {"type": "object"}, "io.k8s.api.core.v1.Pod": {"type": "string"}}}


class Backend:
    """An aggregated server: knows its documents, echoes requests, streams watches, upgrades to an echo."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.requests: list[Request] = []
        self.redirect = ""
        self.healthy = True
        self.instead: Response | None = None
        self._tls = tls
        self.server = Server(self.handle)
        self.watching = asyncio.Event()
        self.port = 0

    async def start(self) -> None:
        self.port = await self.server.start("127.0.0.1", 0, self._tls)

    async def handle(self, request: Request) -> Response:
        path = request.raw_path
        if self.instead is not None:
            self.requests.append(request)
            return self.instead
        documents: dict[str, Any] = {
            "/apis/metrics.example.com/v1": LISTED, "/openapi/v2": OPENAPI,
            "/openapi/v3": {"paths": {"apis/metrics.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/metrics.example.com/v1?hash=AB12"}}}}
        if path in documents:
            return Response(200 if self.healthy else 500, {"Content-Type": "application/json"}, orjson.dumps(documents[path]))
        self.requests.append(request)
        if self.redirect:
            return Response(307, {"Location": self.redirect})
        if "watch=" in request.target:
            async def stream(writer: Writer) -> None:
                writer.write(b'{"type":"ADDED"}\n')
                self.watching.set()
                await writer.wait_closed()

            return Response(200, {"Content-Type": "application/json"}, stream=stream)
        if path.endswith("/refused"):
            return Response(403, body=b"no")
        if "upgrade" in request.headers:
            async def echo(connection: Connection) -> None:
                while data := await connection.read():
                    connection.write(data)

            return Response(101, {"Connection": "Upgrade", "Upgrade": request.headers["upgrade"]}, upgrade=echo)
        return Response(201, {"Content-Type": "application/json", "Audit-Id": "theirs", "Cache-Control": "public", "X-Own": "1"}, orjson.dumps({"method": request.method, "body": request.body.decode()}))


@pytest.fixture
async def backend(tmp_path: Path, api: InProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    """Behind the Service s in default; its loopback address passes as a pod's for once."""
    monkeypatch.setattr(servicedial, "checked_address", lambda address: address)
    own = ensure_authority(tmp_path / "backend", "backend-ca")
    pair = own.serving("backend", "backend", ["s.default.svc"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    trusted = await asyncio.to_thread(api.assembly.front_proxy.authority)
    tls.load_verify_locations(trusted.authority.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    made = Backend(tls)
    await made.start()
    try:
        yield made
    finally:
        await made.server.stop(grace=0)


def ca_of(tmp_path: Path) -> str:
    return base64.b64encode(Pki(tmp_path / "backend").ca_pem).decode()


def api_service(**spec: Any) -> Object:
    base = {"group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    return {"metadata": {"name": "v1.metrics.example.com"}, "spec": {**base, "service": {"namespace": "default", "name": "s"}, **spec}}


async def serve(api: InProcess, backend: Backend, **spec: Any) -> None:
    await api.made("/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 443}]}})
    await api.store.commit(Write("endpointslices.discovery.k8s.io", Key("default", "s-1"), slice_of(backend.port), 0))
    await api.made(SERVICES, api_service(**spec))


def slice_of(port: int) -> Object:
    return {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {"name": "s-1", "namespace": "default", "uid": "1", "labels": {"kubernetes.io/service-name": "s"}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}], "ports": [{"name": "", "port": port, "protocol": "TCP"}]}


async def condition(api: InProcess, reason: str, name: str = "v1.metrics.example.com") -> Object:
    """The condition Available, once it has this reason."""
    async with asyncio.timeout(10):
        while True:
            answer = await api.get(f"{SERVICES}/{name}")
            for found in answer.object.get("status", {}).get("conditions", ()) if answer.status == 200 else ():
                if found["reason"] == reason:
                    return found  # type: ignore[no-any-return]
            await asyncio.sleep(0.001)


async def streamed(api: InProcess, target: str, **headers: str) -> Answer:
    """The whole answer where it is passed on as it comes."""
    method = headers.pop("method", "GET")
    response = await api.raw(method, target, headers.pop("body", "").encode(), headers.pop("token", "admin-token"), **headers)
    if response.stream is None:
        return Answer(response.status, response.headers, response.body)
    stream = Stream()
    await response.stream(stream)
    return Answer(response.status, response.headers, stream.data)


MEALS = "/apis/metrics.example.com/v1/namespaces/default/meals"


async def test_requests_reach_the_backend_with_the_callers_identity(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    passed = await condition(api, "Passed")
    assert (passed["status"], passed["message"]) == ("True", "all checks passed")
    answer = await streamed(
        api, f"{MEALS}?x=1", method="POST", body='{"a":1}', impersonate_user="jane", impersonate_group="system:masters", impersonate_uid="7",
        impersonate_extra_example="a b", x_remote_user="forged", x_remote_group="forged")
    assert (answer.status, answer.object) == (201, {"method": "POST", "body": '{"a":1}'})
    assert [v for k, v in answer.headers.items() if k.lower() == "audit-id"] == [backend.requests[-1].headers["audit-id"]]
    assert [v for k, v in answer.headers.items() if k.lower() == "cache-control"] == ["public"] and answer.headers["X-Own"] == "1"
    got = backend.requests[-1]
    assert got.target == f"{MEALS}?x=1"
    assert (got.headers["x-remote-user"], got.headers["x-remote-uid"], got.headers["x-remote-extra-example"]) == ("jane", "7", "a b")
    assert got.headers["x-remote-group"] == "system:masters, system:authenticated"
    assert "authorization" not in got.headers and "impersonate-user" not in got.headers
    assert got.peer_certificate is not None


async def test_it_is_authorized_here_first(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    assert (await streamed(api, MEALS, token=NOBODY)).status == 403
    assert backend.requests == []


async def test_what_was_authorized_is_what_is_asked(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    """Attack 12: a path that means another resource to whoever takes its dots away."""
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    for path in ("/../../pods", "/x/status/../../../secrets", "/x/status/%2e%2e/%2e%2e/secrets", "/./x", "/x/status/a/.."):
        assert (await streamed(api, MEALS + path)).status == 400
    assert backend.requests == []


async def test_an_aggregated_request_makes_no_labels_of_its_own(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    """Attack 10: resources that only the backend knows are not counted by name."""
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    await streamed(api, "/apis/metrics.example.com/v1/made-up-by-the-client")
    assert "made-up-by-the-client" not in (await api.get("/metrics")).text


async def test_a_watch_is_passed_on_as_it_comes_and_ends_with_its_reader(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    stream = await api.watch(f"{MEALS}?watch=1")
    assert (await stream.next())["type"] == "ADDED"
    stream.leave()
    await stream.until_ended()


async def test_a_tunnel_begins_only_after_the_backends_101(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    refused = await api.raw("GET", f"{MEALS}/refused", connection="Upgrade", upgrade="websocket")
    assert refused.status == 403 and refused.upgrade is None
    accepted = await api.raw("GET", f"{MEALS}/x", connection="Upgrade", upgrade="websocket")
    assert accepted.status == 101 and accepted.upgrade is not None and accepted.discard is not None
    accepted.discard()


async def test_a_redirecting_backend_is_refused(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    backend.redirect = "http://169.254.169.254/latest"
    answer = await streamed(api, MEALS)
    assert (answer.status, answer.message) == (502, "the backend attempted to redirect this request, which is not permitted")
    assert "location" not in {name.lower() for name in answer.headers}


@pytest.mark.parametrize("instead", [
    Response(200, {}, b"the content of an internal service"), Response(500, {}, b"the content of an internal service"),
    Response(307, {"Location": "https://127.0.0.1:1/the content of an internal service"}), Response(200, {}, b'"the content of an internal service"'),
])
async def test_attack_4_nothing_of_a_foreign_answer_gets_into_a_condition(api: InProcess, backend: Backend, tmp_path: Path, instead: Response, caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2020-8555: whoever may make an APIService would read by it what answers at any endpoint."""
    caplog.set_level(logging.DEBUG)
    backend.instead = instead
    await serve(api, backend, caBundle=ca_of(tmp_path))
    async with asyncio.timeout(10):
        while not backend.requests or not (found := (await api.get(f"{SERVICES}/v1.metrics.example.com")).object.get("status", {}).get("conditions")):
            await asyncio.sleep(0.001)
    assert "internal service" not in orjson.dumps(found).decode() + caplog.text
    assert {request.raw_path for request in backend.requests} <= {"/apis/metrics.example.com/v1", "/openapi/v2", "/openapi/v3"}


async def test_a_certificate_of_somebody_else_is_refused(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    other = ensure_authority(tmp_path / "other", "other")
    await serve(api, backend, caBundle=base64.b64encode(other.ca_pem).decode())
    await condition(api, "Passed")  # as in Kubernetes, whose check believes anybody
    answer = await streamed(api, MEALS)
    assert answer.status == 503 and "failed to verify certificate" in answer.text and backend.requests == []


async def test_a_bundle_that_is_none_is_a_503(api: InProcess, backend: Backend) -> None:
    await serve(api, backend, caBundle=base64.b64encode(b"\xff\xfe").decode())
    await condition(api, "Passed")
    assert (await streamed(api, MEALS)).status == 503


async def test_the_check_of_the_certificate_can_be_waived(api: InProcess, backend: Backend) -> None:
    await serve(api, backend, insecureSkipTLSVerify=True)
    await condition(api, "Passed")
    assert (await streamed(api, MEALS)).status == 201


async def test_what_is_missing_is_said_and_answered_with_503(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await api.made(SERVICES, api_service(caBundle=ca_of(tmp_path)))
    assert (await condition(api, "ServiceNotFound"))["message"] == 'service/s in "default" is not present'
    answer = await streamed(api, MEALS)
    assert (answer.status, answer.text) == (503, "service unavailable\n")
    await api.made("/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "name": "web"}]}})
    assert (await condition(api, "ServicePortError"))["message"] == 'service/s in "default" is not listening on port 443'
    port = [{"op": "replace", "path": "/spec/ports/0/port", "value": 443}]
    await api.patch("/api/v1/namespaces/default/services/s", port, JSON_PATCH)
    assert (await condition(api, "EndpointsNotFound"))["message"] == 'cannot find endpointslices for service/s in "default"'
    entry = (await api.store.commit(Write("endpointslices.discovery.k8s.io", Key("default", "s-1"), slice_of(backend.port), 0)))[0]
    expected = 'endpointslices for service/s in "default" have no addresses with port name "web"'
    assert (await condition(api, "MissingEndpoints"))["message"] == expected
    backend.healthy = False
    named = slice_of(backend.port)
    named["ports"][0]["name"] = "web"
    await api.store.commit(Write("endpointslices.discovery.k8s.io", Key("default", "s-1"), named, entry.revision))
    where = f"https://s.default.svc:{backend.port}/apis/metrics.example.com/v1".replace("s.default.svc", "127.0.0.1")
    failed = await condition(api, "FailedDiscoveryCheck")
    assert failed["message"] == f"failing or missing response from {where}: bad status from {where}: 500"
    backend.healthy = True
    await condition(api, "Passed")


async def test_discovery_and_openapi_tell_of_it(api: InProcess, backend: Backend, tmp_path: Path) -> None:
    await serve(api, backend, caBundle=ca_of(tmp_path))
    await condition(api, "Passed")
    async with asyncio.timeout(5):
        while not api.assembly.aggregator.remotes["metrics.example.com", "v1"].openapi_v3:
            await asyncio.sleep(0.001)
    groups = (await api.get("/apis")).object["groups"]
    assert groups[-1]["name"] == "metrics.example.com" and groups[-1]["preferredVersion"]["version"] == "v1"
    assert (await api.get("/apis/metrics.example.com")).object["kind"] == "APIGroup"
    item = next(i for i in (await api.get("/apis", accept=AGGREGATED)).object["items"] if i["metadata"]["name"] == "metrics.example.com")
    kind = {"group": "metrics.example.com", "version": "v1", "kind": "Meal"}
    assert item["versions"] == [{"version": "v1", "freshness": "Current", "resources": [{
        "resource": "meals", "responseKind": kind, "scope": "Namespaced", "singularResource": "meal", "verbs": ["get", "list"],
        "shortNames": ["ml"], "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]}]}]
    assert orjson.loads((await streamed(api, "/apis/metrics.example.com/v1")).body) == LISTED
    index = (await api.get("/openapi/v3")).object["paths"]
    assert index["apis/metrics.example.com/v1"]["serverRelativeURL"] == "/openapi/v3/apis/metrics.example.com/v1?hash=AB12"
    document = (await api.get("/openapi/v2")).object
    assert document["paths"]["/apis/metrics.example.com/v1/meals"] == {"get": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod_v2"}}
    assert document["definitions"]["io.k8s.api.core.v1.Pod"]["type"] == "object" and "own" not in document["paths"]["/apis/apps/v1/"]
    assert document["definitions"]["com.example.Meal"] == {"type": "object"}
    await api.delete(f"{SERVICES}/v1.metrics.example.com")
    assert "metrics.example.com" not in [g["name"] for g in (await api.get("/apis")).object["groups"]]
    assert (await streamed(api, MEALS)).status == 404


async def test_custom_resources_get_and_lose_their_api_service(api: InProcess) -> None:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    await api.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}})
    found = await condition(api, "Local", "v1.example.com")
    assert (found["status"], found["message"]) == ("True", "Local APIServices are always available")
    stored = (await api.get(f"{SERVICES}/v1.example.com")).object
    assert stored["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert stored["spec"] == {"group": "example.com", "groupPriorityMinimum": 1000, "version": "v1", "versionPriority": 100}
    await api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")
    async with asyncio.timeout(5):
        while (await api.get(f"{SERVICES}/v1.example.com")).status == 200:
            await asyncio.sleep(0.001)


async def test_aggregated_servers_are_told_whom_to_believe(api: InProcess) -> None:
    async with asyncio.timeout(5):
        while (found := await api.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")).status != 200:
            await asyncio.sleep(0.001)
    data = found.object["data"]
    assert data["requestheader-username-headers"] == '["X-Remote-User"]' and data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert data["client-ca-file"] != data["requestheader-client-ca-file"] and "BEGIN CERTIFICATE" in data["requestheader-client-ca-file"]
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader"
    assert (await api.get(roles)).object["rules"][0]["resourceNames"] == ["extension-apiserver-authentication"]


async def test_what_is_not_served_any_more_loses_its_api_service(api: InProcess) -> None:
    old = {"metadata": {"name": "v1beta1.old.k8s.io", "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"}}, "spec": {
        "group": "old.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 1000, "versionPriority": 9}}
    await api.made(SERVICES, old)
    async with asyncio.timeout(5):
        while (await api.get(f"{SERVICES}/v1beta1.old.k8s.io")).status == 200:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("name", ["v1.apps", "v1."])
async def test_built_in_group_versions_are_local_and_available(api: InProcess, name: str) -> None:
    answer = await api.get(f"{SERVICES}/{name}", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert answer.object["rows"][0]["cells"][:3] == [name, "Local", "True"]
