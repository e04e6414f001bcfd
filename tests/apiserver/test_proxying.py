"""The proxy subresource: pods, services and nodes behind it, and what may not be reached through it."""
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from tests.apiserver.node_stage import Stage, node_object, stage
from tests.kubelet.fake_node import pod
from tests.net.scripted import serving
from tiffin.apiserver import proxying, servicedial
from tiffin.apiserver.nodes import NODES, SIMULATED, checked_address
from tiffin.apiserver.proxying import split_target
from tiffin.apiserver.server import server_context
from tiffin.apiserver.servicedial import SERVICES, SLICES
from tiffin.apiserver.streaming import PODS
from tiffin.machinery.errors import ApiError
from tiffin.net.http import Connection, Request, Response
from tiffin.net.server import Server

REDIRECTS = {
    "/login": "/login?next=%2F", "/relative": "login", "/own": "http://{host}/login", "/other": "http://169.254.169.254/latest",
    "/scheme": "//evil.example/x", "/odd": "javascript:alert(1)", "/backslash": "/\\evil.example",
}  # fmt: skip


class Web:
    """A web server in a pod: echoes requests, redirects, upgrades to an echo."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        if request.raw_path in REDIRECTS:
            return Response(302, {"Location": REDIRECTS[request.raw_path].format(host=request.headers["host"])})
        if request.raw_path == "/ws":
            if "upgrade" not in request.headers:
                return Response(426, body=b"upgrade")

            async def echo(connection: Connection) -> None:
                while data := await connection.read():
                    connection.write(data)

            return Response(101, {"Connection": "Upgrade", "Upgrade": request.headers["upgrade"]}, upgrade=echo)
        headers = {"Content-Type": "text/x", "X-Own": "1", "Keep-Alive": "timeout=5"}
        return Response(201, headers, request.method.encode() + b" " + request.body, repeated_headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))


@asynccontextmanager
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stage, Web, int]]:
    """A stage and a web server whose loopback address passes as a pod's for once."""
    for module in (proxying, servicedial):
        monkeypatch.setattr(module, "checked_address", lambda address: address)
    site = Web()
    server = Server(site.handle)
    port = await server.start("127.0.0.1", 0)
    async with stage(tmp_path) as s:
        subject = pod(podIPs=[{"ip": "127.0.0.1"}])
        subject["spec"]["containers"][0]["ports"] = [{"containerPort": port}]
        s.reader.put(PODS, subject)
        try:
            yield s, site, port
        finally:
            await server.stop(grace=0)


def path_of(name: str, rest: str = "/", plural: str = "pods") -> str:
    return f"/api/v1/namespaces/d/{plural}/{name}/proxy{rest}"


async def test_a_request_is_passed_on_as_it_is_but_for_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path, monkeypatch) as (s, site, port):
        sent = {"Authorization": "Bearer secret", "Impersonate-User": "x", "X-Remote-User": "x", "X-Forwarded-For": "1.2.3.4", "Accept": "a/b",
                "Connection": "X-Hop", "X-Hop": "1", "X-Forwarded-Uri": "/forged", "TE": "trailers"}  # fmt: skip
        async with await s.pool.request("PUT", path_of(f"p:{port}", "/a%20b/../c/?q=1&q=2"), sent, b"body") as answer:
            assert (answer.status, await answer.body(100)) == (201, b"PUT body")
            assert (answer.headers["content-type"], answer.headers["x-own"], answer.headers["set-cookie"]) == ("text/x", "1", "a=1, b=2")
            assert "keep-alive" not in answer.headers
            assert [v for k, v in answer.header_list if k == "set-cookie"] == ["a=1", "b=2"]
    request = site.requests[0]
    assert request.target == "/a%20b/../c/?q=1&q=2"
    received = {k: v for k, v in request.headers.items() if k not in ("content-length", "host")}
    assert received == {
        "accept": "a/b", "x-forwarded-for": "1.2.3.4, 127.0.0.1", "x-forwarded-proto": "https",
        "x-forwarded-host": f"127.0.0.1:{s.pool.origin.port}", "x-forwarded-uri": path_of(f"p:{port}", "/a%20b/../c/"),
    }  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "HEAD"])
async def test_the_first_port_of_the_pod_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    async with web(tmp_path, monkeypatch) as (s, site, _):
        async with await s.pool.request(method, path_of("p")) as answer:
            assert answer.status == 201
        assert site.requests[0].method == method


async def test_without_a_slash_the_client_is_sent_to_the_one_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path, monkeypatch) as (s, site, _):
        async with await s.pool.request("GET", path_of("p", "?a=1")) as answer:
            assert (answer.status, answer.headers["location"]) == (301, path_of("p", "/?a=1"))
        assert not site.requests


async def test_an_upgrade_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path, monkeypatch) as (s, _, _port):
        answer = await s.pool.request("GET", path_of("p", "/ws"), {"Connection": "Upgrade", "Upgrade": "echo/1"})
        assert (answer.status, answer.headers["upgrade"]) == (101, "echo/1")
        stream = answer.connection()
        stream.write(b"hello")
        assert await stream.read() == b"hello"
        stream.close()
        async with await s.pool.request("GET", path_of("p", "/ws")) as answer:
            assert answer.status == 426


async def test_services_by_name_and_number_of_their_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web(tmp_path, monkeypatch) as (s, site, port):
        s.reader.put(SERVICES, {"metadata": {"name": "s", "namespace": "d"}, "spec": {"ports": [{"name": "web", "port": 80}, {"name": "x", "port": 81}]}})
        piece = {"metadata": {"name": "s-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4"}
        endpoints = [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}, {"addresses": ["127.0.0.9"], "conditions": {"ready": False}}]
        s.reader.put(SLICES, piece | {"ports": [{"name": "web", "port": port}], "endpoints": endpoints})
        for name in ("s:80", "s:web", "http:s:web"):
            async with await s.pool.request("GET", path_of(name, "/", "services")) as answer:
                assert answer.status == 201
        for name, message in {"s:x": 'no endpoints available for service "s:x"', "s:99": 'no service port "99" found for service "s"'}.items():
            async with await s.pool.request("GET", path_of(name, "/", "services")) as answer:
                assert (answer.status, orjson.loads(await answer.body(1000))["message"]) == (503, message)
    assert len(site.requests) == 3


async def test_the_nodes_own_port_is_reached_with_the_servers_identity(tmp_path: Path) -> None:
    async with stage(tmp_path) as s, await s.pool.request("GET", "/api/v1/nodes/n/proxy/pods", {"Authorization": "Bearer mine"}) as answer:
        assert (answer.status, orjson.loads(await answer.body(10_000))["kind"]) == (200, "PodList")


async def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused"
    async with web(tmp_path, monkeypatch) as (s, _, _port), await s.pool.request("GET", path_of("p:1")) as answer:
        assert orjson.loads(await answer.body(1000))["message"] == message


@pytest.mark.parametrize(("text", "expected"), [
    ("p", ("", "p", "")), ("p:80", ("", "p", "80")), ("https:p:443", ("https", "p", "443")), ("http:p:", ("http", "p", "")), (":p:80", ("", "p", "80")),
    ("ftp:p:80", None), ("a:b:c:d", None), ("", None), ("http::80", None),
])  # fmt: skip
def test_forms_of_a_target(text: str, expected: tuple[str, str, str] | None) -> None:
    if expected is not None:
        assert split_target(text, "pod") == expected
        return
    with pytest.raises(ApiError) as error:
        split_target(text, "pod")
    assert error.value.message == f'invalid pod request "{text}"'


# ---- attacks

FORBIDDEN = ["127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "255.255.255.255",
             "::ffff:127.0.0.1", "::ffff:169.254.169.254", "localhost", "127.1", "0x7f000001", "2130706433", "", "metadata.internal", "010.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_attack_3_addresses_that_are_never_dialled(address: str) -> None:
    with pytest.raises(ApiError) as error:
        checked_address(address)
    assert (error.value.code, error.value.message) == (400, "address not allowed")


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"])
def test_addresses_that_may_be_dialled(address: str) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "localhost"])
async def test_attack_3_no_pod_service_or_node_leads_the_server_to_itself(tmp_path: Path, address: str) -> None:
    """CVE-2020-8562, CVE-2022-3294: the target of a proxy is loopback or link-local, or a name that turns into one."""
    connections = []

    async def serve(reader: object, writer: object) -> None:
        connections.append(writer)

    async with stage(tmp_path) as s, serving(serve) as port:  # type: ignore[arg-type]
        s.reader.put(PODS, pod(podIPs=[{"ip": address}]))
        s.reader.put(NODES, node_object(10250, address))
        s.reader.put(SERVICES, {"metadata": {"name": "s", "namespace": "d"}, "spec": {"ports": [{"port": 80}]}})
        piece = {"metadata": {"name": "s-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4"}
        s.reader.put(SLICES, piece | {"ports": [{"port": port}], "endpoints": [{"addresses": [address]}]})
        for target in (path_of(f"p:{port}"), path_of("s", "/", "services"), f"/api/v1/nodes/n:{port}/proxy/"):
            async with await s.pool.request("GET", target) as answer:
                assert answer.status in (400, 500)
        assert not connections


@pytest.mark.parametrize("target", ["/api/v1/nodes/n/proxy/api/v1/secrets", "/api/v1/namespaces/d/pods/p/log", "/api/v1/namespaces/d/pods/p/exec?command=x&stdout=true"])
async def test_attack_3_a_node_that_names_the_servers_own_address_gets_nothing(tmp_path: Path, target: str) -> None:
    """A node writes its own addresses and port; the API server has a certificate for its own, and would be asked by itself."""
    asked = []

    async def handle(request: Request) -> Response:
        asked.append(request)
        return Response(200)

    async with stage(tmp_path) as s:
        server = Server(handle)
        port = await server.start("127.0.0.1", 0, server_context(s.pki))
        try:
            s.reader.put(NODES, node_object(port))
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "a" * 22 + "==",
                       "Sec-WebSocket-Protocol": "v5.channel.k8s.io"} if "exec" in target else {}  # fmt: skip
            async with await s.pool.request("GET", target, upgrade) as answer:
                assert answer.status in (500, 503)
                assert b"it is not that of system:node:n" in await answer.body(1000)
        finally:
            await server.stop(grace=0)
    assert not asked


async def test_attack_3_another_node_does_not_pass_for_this_one(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        port = s.reader.get(NODES, "", "n")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]  # type: ignore[index]
        s.reader.put(NODES, node_object(port, name="other"))
        async with await s.pool.request("GET", "/api/v1/nodes/other/proxy/pods") as answer:
            assert answer.status == 503
        assert not s.node.asked


@pytest.mark.parametrize("mark", ["labels", "annotations"])
async def test_attack_3_simulated_nodes_and_their_pods_are_never_dialled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    """Their addresses are made up and may be those of somebody else."""
    async with web(tmp_path, monkeypatch) as (s, site, port):
        node = node_object(port)
        node["metadata"][mark] = {SIMULATED: "true"}
        s.reader.put(NODES, node)
        subject = pod(podIPs=[{"ip": "127.0.0.1"}])
        subject["spec"]["nodeName"] = "n"
        s.reader.put(PODS, subject)
        s.reader.put(SERVICES, {"metadata": {"name": "s", "namespace": "d"}, "spec": {"ports": [{"port": 80}]}})
        piece = {"metadata": {"name": "s-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4"}
        s.reader.put(SLICES, piece | {"ports": [{"port": port}], "endpoints": [{"addresses": ["127.0.0.1"], "nodeName": "n"}]})
        log = "/api/v1/namespaces/d/pods/p/log"
        for target in (path_of(f"p:{port}"), path_of("s", "/", "services"), f"/api/v1/nodes/n:{port}/proxy/", "/api/v1/nodes/n/proxy/", "/api/v1/nodes/n:1/proxy/", log):
            async with await s.pool.request("GET", target) as answer:
                assert answer.status == 503, target
        assert not site.requests


@pytest.mark.parametrize(("path", "outcome"), [
    ("/login", path_of("p", "/login?next=%2F")), ("/relative", "login"), ("/own", path_of("p", "/login")),
    ("/other", None), ("/scheme", None), ("/odd", None), ("/backslash", None),
])  # fmt: skip
async def test_attack_2_redirects_stay_within_the_proxied_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, outcome: str | None) -> None:
    """CVE-2018-1002102, CVE-2022-3172: the server follows no redirect, and hands on none that leads out of the backend."""
    async with web(tmp_path, monkeypatch) as (s, site, _):
        async with await s.pool.request("GET", path_of("p", path)) as answer:
            assert (answer.status, answer.headers.get("location")) == ((302, outcome) if outcome else (502, None))
        assert len(site.requests) == 1


async def test_attack_1_a_proxied_upgrade_that_is_refused_ends_the_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async with web(tmp_path, monkeypatch) as (s, site, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", s.pool.origin.port)
        writer.write(f"GET {path_of('p', '/x')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.count(b"HTTP/1.1 ") == 1
        assert [r.target for r in site.requests] == ["/x"]
