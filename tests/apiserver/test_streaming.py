"""Streams from a client through the API server and a node's port to a runtime, and the attempts to break them."""
from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import orjson
import pytest

from tests.apiserver.node_stage import node_object, stage
from tests.kubelet.fake_node import pod
from tests.net.streaming_clients import SPDY_HEADERS, Wish, run
from tiffin.apiserver.nodes import NODES
from tiffin.apiserver.streaming import PODS, container_of
from tiffin.machinery.errors import ApiError
from tiffin.net.http import Request, Response
from tiffin.net.remotecommand import TUNNELLED_PORT_FORWARD
from tiffin.net.spdy import Role
from tiffin.net.spdy_connection import SpdyConnection
from tiffin.net.websocket import MessageTunnel, WebSocket, request_headers

V5 = "v5.channel.k8s.io"
POD = "/api/v1/namespaces/d/pods/p"


@pytest.mark.parametrize("dialect", ["SPDY", V5, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_exec_from_end_to_end(tmp_path: Path, dialect: str) -> None:
    async with stage(tmp_path) as s:
        result = await run(dialect, s.pool, f"{POD}/exec?command=cat&stdin=true&stdout=true", Wish(b"x" * 200_000, stderr=False))
        assert result.stdout == b"x" * 200_000
        result = await run(dialect, s.pool, f"{POD}/exec?command=fail&stdout=true&stderr=true&container=c", Wish())
        assert (result.stdout, result.stderr, result.status["reason"]) == (b"out", b"err", "NonZeroExitCode")


async def test_attach_from_end_to_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        result = await run(V5, s.pool, f"{POD}/attach?stdin=true&stdout=true&stderr=true", Wish(b"hello"))
        assert result.stdout == b"hello"


async def test_port_forward_from_end_to_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        spdy = await s.pool.request("POST", f"{POD}/portforward", [*SPDY_HEADERS, ("X-Stream-Protocol-Version", "portforward.k8s.io")])
        socket = await s.pool.request("GET", f"{POD}/portforward", request_headers([TUNNELLED_PORT_FORWARD]))
        for connection in (spdy.connection(), MessageTunnel(WebSocket(socket.connection(), client=True))):
            async with SpdyConnection(connection, Role.CLIENT) as session:
                headers = [("port", "80"), ("requestid", "0")]
                (await session.open([("streamtype", "error"), *headers])).finish()
                data = await session.open([("streamtype", "data"), *headers])
                data.write(b"hello")
                data.finish()
                assert await data.read_all(100) == b"hello"


async def test_logs_from_end_to_end(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        async with await s.pool.request("GET", f"{POD}/log?tailLines=5&timestamps=true&limitBytes=9") as answer:
            assert (answer.status, answer.headers["content-type"], await answer.body(100)) == (200, "text/plain", b"one\ntwo\n")
        following = await s.pool.request("GET", f"{POD}/log?follow=true")
        assert await following.read() == b"one\n"
        s.node.log_closed.clear()
        following.close()
        await s.node.log_closed.wait()


STREAMS = "stdout=true&command=cat"
REFUSED = [
    ("/api/v1/namespaces/d/pods/none/exec?" + STREAMS, 404, 'pods "none" not found'),
    (f"{POD}/exec?container=x&{STREAMS}", 400, "container x is not valid for pod p"),
    ("/api/v1/namespaces/d/pods/two/exec?" + STREAMS, 400, "a container name must be specified for pod two, choose one of: [i a b]"),
    ("/api/v1/namespaces/d/pods/nowhere/exec?" + STREAMS, 400, "pod nowhere does not have a host assigned"),
    ("/api/v1/namespaces/d/pods/nowhere/portforward", 400, "pod nowhere does not have a host assigned"),
    ("/api/v1/namespaces/d/pods/lost/exec?" + STREAMS, 404, 'nodes "gone" not found'),
    (f"{POD}/log?tailLines=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    (f"{POD}/log?tailLines=-1", 422, 'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'),
    (f"{POD}/log?limitBytes=0", 422, 'PodLogOptions "p" is invalid: limitBytes: Invalid value: 0: must be greater than 0'),
    (f"{POD}/log?container=x", 400, "container x is not valid for pod p"),
    ("/api/v1/namespaces/d/pods/none/log", 404, 'pods "none" not found'),
    ("/api/v1/namespaces/d/pods/waiting/log", 400, 'container "c" in pod "waiting" is waiting to start: ContainerCreating'),
]


@pytest.mark.parametrize(("target", "code", "message"), REFUSED)
async def test_refusals_have_kubernetes_words(tmp_path: Path, target: str, code: int, message: str) -> None:
    async with stage(tmp_path) as s:
        two = pod("two", ("a", "b"))
        two["spec"]["initContainers"] = [{"name": "i"}]
        nowhere, lost = pod("nowhere"), pod("lost")
        del nowhere["spec"]["nodeName"]
        lost["spec"]["nodeName"] = "gone"
        waiting = pod("waiting", containerStatuses=[{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}])
        for extra in (two, nowhere, lost, waiting):
            s.reader.put(PODS, extra)
        s.node.known.append(waiting)
        async with await s.pool.request("GET", target, {} if "/log" in target else request_headers([V5])) as answer:
            status = orjson.loads(await answer.body(10_000))
            assert (answer.status, status["code"], status["message"]) == (code, code, message)


async def test_a_log_of_a_pod_without_a_node_is_empty(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.reader.put(PODS, pod("new") | {"spec": {"containers": [{"name": "c"}]}})
        async with await s.pool.request("GET", "/api/v1/namespaces/d/pods/new/log") as answer:
            assert (answer.status, await answer.body(10)) == (204, b"")


async def test_a_websocket_needs_the_right_to_create(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.denied = {"create"}
        result = await run(V5, s.pool, f"{POD}/exec?{STREAMS}", Wish())
        message = 'pods "p" is forbidden: User "alice" cannot create resource "pods/exec" in API group "" in the namespace "d"'
        assert orjson.loads(result.body)["message"] == message
        assert not s.node.asked


async def test_a_node_that_is_down_is_said_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.reader.put(NODES, node_object(1))
        result = await run(V5, s.pool, f"{POD}/exec?{STREAMS}", Wish())
        assert orjson.loads(result.body)["message"] == "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused"
        async with await s.pool.request("GET", f"{POD}/log") as answer:
            expected = 'Get "https://127.0.0.1:1/containerLogs/d/p/c": dial tcp 127.0.0.1:1: connect: connection refused'
            assert orjson.loads(await answer.body(1000))["message"] == expected


async def test_a_node_must_prove_its_address(tmp_path: Path) -> None:
    """A certificate of the cluster for another address does not do."""
    async with stage(tmp_path) as s:
        port = s.reader.get(NODES, "", "n")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]  # type: ignore[index]
        s.reader.put(NODES, node_object(port, "127.0.0.2"))
        result = await run(V5, s.pool, f"{POD}/exec?{STREAMS}", Wish())
        assert result.answer is not None
        assert result.answer.status == 500
        assert not s.node.asked


@pytest.mark.parametrize("spec", [{"containers": []}, {}])
def test_a_pod_without_containers(spec: dict) -> None:
    with pytest.raises(ApiError) as error:
        container_of({"metadata": {"name": "p"}, "spec": spec}, "")
    assert error.value.message == "a container name must be specified for pod p"


# ---- attacks


@pytest.mark.parametrize("status", [200, 400, 403, 500])
async def test_attack_1_a_refused_upgrade_leaves_no_tunnel(tmp_path: Path, status: int) -> None:
    """CVE-2018-1002105: requests after a failed upgrade, on the same connection, must not reach the node as the API server."""
    requests: list[str] = []

    async def node(request: Request) -> Response:
        requests.append(request.target)
        return Response(status, body=b"no")

    async with stage(tmp_path, node) as s:
        reader, writer = await asyncio.open_connection("127.0.0.1", s.pool.origin.port)
        upgrade = f"GET {POD}/exec?{STREAMS} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{k}: {v}\r\n" for k, v in request_headers([V5]).items())
        smuggled = "GET /pods HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(f"{upgrade}\r\n{smuggled}".encode())
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        assert answer.count(b"HTTP/1.1 ") == 1, "the connection ends with the refusal"
        writer.close()
        assert requests == ["/exec/d/p/c?output=1&command=cat"]


async def test_attack_1_an_upgrade_that_the_node_did_not_confirm_is_no_upgrade(tmp_path: Path) -> None:
    """101 is passed on only when the node said it; a node that breaks off in between gives an error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Pro")
        writer.close()

    async with stage(tmp_path) as s:
        from tests.apiserver.node_stage import node_tls
        from tests.net.scripted import serving

        async with serving(serve, ssl=node_tls(s.pki)) as port:
            s.reader.put(NODES, node_object(port))
            result = await run(V5, s.pool, f"{POD}/exec?{STREAMS}", Wish())
            assert result.answer is not None
            assert result.answer.status == 500


@pytest.mark.parametrize("path", ["/exec?" + STREAMS, "/attach?stdout=true", "/portforward", "/log"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_attack_2_redirects_of_a_node_are_refused(tmp_path: Path, path: str, status: int) -> None:
    """CVE-2018-1002102, CVE-2020-8559: a node answers with a redirect to lead the API server elsewhere with its credentials."""
    requests: list[str] = []

    async def node(request: Request) -> Response:
        requests.append(request.target)
        return Response(status, {"Location": f"https://{request.headers['host']}/pods"})

    async with stage(tmp_path, node) as s:
        async with await s.pool.request("GET", POD + path, {} if path == "/log" else request_headers([V5])) as answer:
            message = orjson.loads(await answer.body(1000))["message"]
            assert (answer.status, message) == (502, "the backend attempted to redirect this request, which is not permitted")
            assert "location" not in answer.headers
        assert len(requests) == 1


async def test_attack_2_a_redirect_of_the_runtime_is_not_followed(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        for dialect in ("SPDY", V5):
            result = await run(dialect, s.pool, f"{POD}/exec?command=redirect&stdout=true", Wish(stderr=False))
            assert result.answer is not None
            assert result.answer.status == 502


@pytest.mark.parametrize("address", ["localhost", "evil.example", "127.0.0.1.nip.io", ""])
async def test_attack_3_a_node_address_that_is_a_name_is_never_resolved(tmp_path: Path, address: str) -> None:
    async with stage(tmp_path) as s:
        s.reader.put(NODES, node_object(1, address))
        result = await run(V5, s.pool, f"{POD}/exec?{STREAMS}", Wish())
        assert orjson.loads(result.body)["message"].startswith("no preferred addresses found; known addresses: [localhost")


async def test_attack_11_a_client_that_stops_in_the_middle_of_an_upgrade(tmp_path: Path) -> None:
    """CVE-2023-44487 and its kin: connections half upgraded and dropped leave nothing open behind them."""
    async with stage(tmp_path) as s:
        for _ in range(20):
            s.node.runtime.busy.clear()
            s.node.runtime.idle.clear()
            answer = await s.pool.request("GET", f"{POD}/exec?command=forever&stdout=true", request_headers([V5]))
            answer.connection().write(b"\x82")  # the first byte of a frame
            await s.node.runtime.busy.wait()
            answer.connection().abort()
            await s.node.runtime.idle.wait()


async def test_attack_19_the_node_port_without_the_servers_certificate(tmp_path: Path) -> None:
    from tiffin.net.httpclient import Origin, Pool

    async with stage(tmp_path) as s:
        port = s.reader.get(NODES, "", "n")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]  # type: ignore[index]
        trusting = ssl.create_default_context(cadata=s.pki.ca_pem.decode())
        pool = Pool(Origin("127.0.0.1", port, trusting))
        for target in ("/exec/d/p/c?command=cat&output=1", "/pods", "/containerLogs/d/p/c"):
            async with await pool.request("GET", target, request_headers([V5])) as answer:
                assert answer.status == 401
        pool.close()
        assert not s.node.asked
