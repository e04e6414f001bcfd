"""GET and connect as probes make them: what counts as an answer, and how failures are worded."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.kubelet.builders import container
from tests.kubelet.scripted_runtime import ScriptedRuntime
from tiffin.kubelet import handlers, web

ANSWERS = {
    "/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/bad": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
    "/here": b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
    "/away": b"HTTP/1.1 302 Found\r\nLocation: http://other.example/\r\nContent-Length: 0\r\n\r\n",
    "/round": b"HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n",
    "/endless": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
}


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        if path == "/silent":
            await reader.read()
        elif path == "/head":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(head)}\r\n\r\n{head}".encode())
        else:
            writer.write(ANSWERS[path])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_answers(port: int) -> None:
    get: Callable[..., Awaitable[web.Reply]] = lambda path, *headers: web.get("HTTP", "127.0.0.1", port, path, headers, 2)  # noqa: E731
    assert await get("/ok") == (200, "ok")
    assert (await get("/here")).status == 200
    assert (await get("/away")).status == 302
    assert len((await get("/endless")).body) == web.BODY_LIMIT
    head = (await get("/head", {"name": "Host", "value": "my.example"}, {"name": "X-A", "value": "1"})).body
    assert "Host: my.example" in head and "X-A: 1" in head and "User-Agent: kube-probe/1.36" in head
    with pytest.raises(web.WebFault, match="stopped after 10 redirects"):
        await get("/round")


async def test_failures_in_gos_words(port: int) -> None:
    with pytest.raises(web.WebFault) as caught:
        await web.get("HTTP", "127.0.0.1", port, "/silent", (), 0.05)
    assert str(caught.value) == f'Get "http://127.0.0.1:{port}/silent": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    with pytest.raises(web.WebFault) as caught:
        await web.get("HTTP", "127.0.0.1", 1, "/", (), 2)
    assert str(caught.value) == 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused'
    with pytest.raises(web.WebFault) as caught:
        await web.connect("127.0.0.1", 1, 2)
    assert str(caught.value) == "dial tcp 127.0.0.1:1: connect: connection refused"


async def test_handlers(port: int) -> None:
    runtime = ScriptedRuntime()
    one = container(ports=[{"name": "web", "containerPort": port}])

    async def ask(**handler: object) -> str:
        try:
            await handlers.run(handler, one, "c", "127.0.0.1", runtime, 1)
        except handlers.HandlerFault as fault:
            return str(fault)
        return ""

    assert await ask(httpGet={"path": "/ok", "port": "web"}) == ""
    assert await ask(httpGet={"path": "/bad", "port": port}) == "HTTP probe failed with statuscode: 503"
    assert await ask(httpGet={"path": "/ok", "port": "nope"}) == "couldn't find port: nope"
    assert await ask(tcpSocket={"port": port}) == ""
    assert await ask(tcpSocket={"port": 1}) == "dial tcp 127.0.0.1:1: connect: connection refused"
    assert await ask(exec={"command": ["x"]}) == ""
    runtime.exec_code = lambda command: 1
    assert await ask(exec={"command": ["x"]}) == "out"
    assert "failed to connect service" in await ask(grpc={"port": 1})


async def test_grpc_health() -> None:
    import grpc.aio

    from tiffin.kubelet.proto import events_pb2 as health

    async def check(request: health.HealthCheckRequest, context: object) -> health.HealthCheckResponse:
        return health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING if request.service == "good" else health.HealthCheckResponse.NOT_SERVING)

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check, health.HealthCheckRequest.FromString, health.HealthCheckResponse.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await handlers.run({"grpc": {"port": port, "service": "good"}}, container(), "c", "127.0.0.1", ScriptedRuntime(), 2)
        with pytest.raises(handlers.HandlerFault) as caught:
            await handlers.run({"grpc": {"port": port}}, container(), "c", "127.0.0.1", ScriptedRuntime(), 2)
        assert str(caught.value) == 'service unhealthy (responded with "NOT_SERVING")'
    finally:
        await server.stop(None)
