"""WebSocket and SPDY clients against a runtime that speaks SPDY, with nothing in between but the translation."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.net.fake_runtime import FakeRuntime, fake_runtime
from tests.net.streaming_clients import SPDY_HEADERS, Wish, run
from tiffin.net.channels import PROTOCOLS, Channels
from tiffin.net.http import Request, Response
from tiffin.net.httpclient import Origin, Pool
from tiffin.net.remotecommand import (
    TUNNELLED_PORT_FORWARD,
    Streams,
    asks_for_spdy,
    pass_through,
    translate_command,
    translate_port_forward,
)
from tiffin.net.server import Server
from tiffin.net.spdy import Role
from tiffin.net.spdy_connection import SpdyConnection
from tiffin.net.websocket import HandshakeError, MessageTunnel, WebSocket, request_headers

STATUS_DIALECTS = ["SPDY", "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"]
DIALECTS = [*STATUS_DIALECTS, "channel.k8s.io", "base64.channel.k8s.io", ""]


@asynccontextmanager
async def stage(streams: Streams) -> AsyncIterator[tuple[FakeRuntime, Pool]]:
    """A runtime and a pool to a server that joins clients to it: the first part of the path is the command."""
    async with fake_runtime() as runtime:

        async def handle(request: Request) -> Response:
            name = request.raw_path[1:]
            try:
                if name == "portforward":
                    if asks_for_spdy(request):
                        return await pass_through(request, runtime.port_forward_url)
                    return await translate_port_forward(request, runtime.port_forward_url, [80, 81])
                url = runtime.exec_url(name, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr, tty=streams.tty)
                return await (pass_through(request, url) if asks_for_spdy(request) else translate_command(request, url, streams))
            except HandshakeError as error:
                return Response(400, body=str(error).encode())

        server = Server(handle)
        pool = Pool(Origin("127.0.0.1", await server.start("127.0.0.1", 0)))
        try:
            yield runtime, pool
        finally:
            pool.close()
            await server.stop(grace=0)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_input_comes_back_and_its_end_ends_the_command(dialect: str) -> None:
    async with stage(Streams(stdin=True, stdout=True)) as (_, pool):
        result = await run(dialect, pool, "/cat", Wish(b"hello" * 50_000, stderr=False))
        assert result.stdout == b"hello" * 50_000
        if dialect in ("SPDY", "v5.channel.k8s.io"):
            assert result.status["status"] == "Success"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_exit_codes(dialect: str) -> None:
    async with stage(Streams(stdout=True, stderr=True)) as (_, pool):
        result = await run(dialect, pool, "/fail", Wish())
    assert (result.stdout, result.stderr) == (b"out", b"err")
    if dialect in STATUS_DIALECTS:
        assert (result.status["reason"], result.status["details"]["causes"]) == ("NonZeroExitCode", [{"reason": "ExitCode", "message": "3"}])
    else:
        assert result.error == b"command terminated with non-zero exit code: exit status 3"


@pytest.mark.parametrize("dialect", STATUS_DIALECTS)
async def test_a_terminal_is_resized_and_interrupted(dialect: str) -> None:
    sizes = [b'{"Width":80,"Height":24}\n', b'{"Width":10,"Height":5}\n']
    async with stage(Streams(stdin=True, stdout=True, tty=True)) as (_, pool):
        wish = Wish(b"\x03", stderr=False, tty=True, sizes=sizes, close_stdin=False)
        result = await run(dialect, pool, "/sizes", wish)
    assert result.stdout.startswith(b'{"Width":80')
    assert result.status["details"]["causes"][0]["message"] == "130"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_much_output(dialect: str) -> None:
    async with stage(Streams(stdout=True)) as (_, pool):
        assert len((await run(dialect, pool, "/flood", Wish(stderr=False))).stdout) == 64 * 65536


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_the_runtime_refuses_is_passed_on_without_an_upgrade(dialect: str) -> None:
    async with stage(Streams(stdout=True)) as (_, pool):
        result = await run(dialect, pool, "/none", Wish(stderr=False))
        assert result.answer is not None
        assert (result.answer.status, result.body) == (404, b"cannot find session")


@pytest.mark.parametrize("dialect", ["SPDY", "v5.channel.k8s.io", "v4.channel.k8s.io"])
async def test_a_client_that_leaves_ends_the_command(dialect: str) -> None:
    async with stage(Streams(stdout=True)) as (runtime, pool):
        if dialect == "SPDY":
            answer = await pool.request("POST", "/forever", [*SPDY_HEADERS, ("X-Stream-Protocol-Version", "v4.channel.k8s.io")])
        else:
            answer = await pool.request("GET", "/forever", request_headers([dialect]))
        await runtime.busy.wait()
        answer.connection().abort()
        await runtime.idle.wait()


@pytest.mark.parametrize("headers", [
    {"sec-websocket-version": "12"}, {"sec-websocket-key": "short"}, {"sec-websocket-key": "%%%"}, {"sec-websocket-protocol": "v9.channel.k8s.io"},
])  # fmt: skip
async def test_a_handshake_that_is_none_is_refused_before_the_runtime_is_asked(headers: dict[str, str]) -> None:
    async with stage(Streams(stdout=True)) as (runtime, pool):
        names = {k.lower(): v for k, v in request_headers(["v5.channel.k8s.io"]).items()}
        async with await pool.request("GET", "/cat", names | headers) as answer:
            assert answer.status == 400
        assert not runtime.requests


@pytest.mark.parametrize("message", ["text on a channel that is not there", "", b"\x09unknown channel", b"\xff\x09", b"\xff", b""])
async def test_odd_messages_do_no_harm(message: str | bytes) -> None:
    async with stage(Streams(stdin=True, stdout=True)) as (_, pool):
        answer = await pool.request("GET", "/cat", request_headers(["v5.channel.k8s.io"]))
        client = Channels(WebSocket(answer.connection(), client=True), PROTOCOLS["v5.channel.k8s.io"])
        client.socket.write(message)
        client.write(0, b"hello")
        client.write(255, b"\0")
        received = []
        while (data := await client.receive()) is not None:
            received.append(data)
        assert received[0] == (1, b"hello")


async def test_input_may_come_as_text() -> None:
    """The Python client sends text messages, whatever the protocol says."""
    async with stage(Streams(stdin=True, stdout=True)) as (_, pool):
        answer = await pool.request("GET", "/cat", request_headers(["v4.channel.k8s.io"]))
        client = Channels(WebSocket(answer.connection(), client=True), PROTOCOLS["v4.channel.k8s.io"])
        client.socket.write("\0gr\u00fc\u00dfe")
        assert await client.receive() == (1, "gr\u00fc\u00dfe".encode())
        client.socket.close()


async def test_base64_that_is_none_ends_the_connection() -> None:
    async with stage(Streams(stdin=True, stdout=True)) as (_, pool):
        answer = await pool.request("GET", "/cat", request_headers(["v4.base64.channel.k8s.io"]))
        client = Channels(WebSocket(answer.connection(), client=True), PROTOCOLS["v4.base64.channel.k8s.io"])
        client.socket.write("0%%%")
        assert await client.receive() is None


# ---- port-forward


async def forward_spdy(connection: object) -> None:
    """Two connections at once through one SPDY connection, one of them to a port where nobody listens."""
    async with SpdyConnection(connection, Role.CLIENT) as spdy:  # type: ignore[arg-type]

        async def one(request: int, port: int, data: bytes) -> tuple[bytes, bytes]:
            headers = [("port", str(port)), ("requestid", str(request))]
            error = await spdy.open([("streamtype", "error"), *headers])
            error.finish()
            stream = await spdy.open([("streamtype", "data"), *headers])
            stream.write(data)
            stream.finish()
            return await stream.read_all(1 << 20), await error.read_all(1000)

        good, bad = await asyncio.gather(one(0, 80, b"x" * 300_000), one(1, 81, b"y"))
        assert good == (b"x" * 300_000, b"")
        assert bad == (b"", b"dial tcp4 127.0.0.1:81: connect: connection refused")


async def test_port_forward_over_spdy() -> None:
    async with stage(Streams()) as (_, pool):
        answer = await pool.request("POST", "/portforward", [*SPDY_HEADERS, ("X-Stream-Protocol-Version", "portforward.k8s.io")])
        await forward_spdy(answer.connection())


async def test_port_forward_over_spdy_tunnelled_in_websocket() -> None:
    async with stage(Streams()) as (_, pool):
        answer = await pool.request("GET", "/portforward", request_headers([TUNNELLED_PORT_FORWARD]))
        assert answer.headers["sec-websocket-protocol"] == TUNNELLED_PORT_FORWARD
        await forward_spdy(MessageTunnel(WebSocket(answer.connection(), client=True)))


@pytest.mark.parametrize("name", ["v4.channel.k8s.io", "v4.base64.channel.k8s.io", ""])
async def test_port_forward_over_websocket_channels(name: str) -> None:
    async with stage(Streams()) as (_, pool):
        answer = await pool.request("GET", "/portforward", request_headers([name] if name else []))
        client = Channels(WebSocket(answer.connection(), client=True), PROTOCOLS[name])
        client.write(0, b"hello")
        received: dict[int, bytes] = {}
        while len(received.get(0, b"")) < 7 or len(received.get(3, b"")) < 10:
            message = await client.receive()
            assert message is not None
            received[message[0]] = received.get(message[0], b"") + message[1]
        client.socket.close()
    assert received[0] == b"\x50\0hello"
    assert received[1] == b"\x50\0"
    assert received[3].startswith(b"\x51\0dial tcp4")
