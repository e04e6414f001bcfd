"""The HTTP server against peers that are quick, slow, greedy, broken and hostile (attacks 1 and 11)."""
from __future__ import annotations

import asyncio
import logging
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.apiserver.server import server_context
from tiffin.net.http import Connection, Request, Response, Writer
from tiffin.net.http1 import LINGER, READ_SIZE
from tiffin.net.pki import ensure_pki
from tiffin.net.server import Limits, Server

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> Any:
    """The product runs on uvloop; what is true on one loop only is not true."""
    return request.param()


LIMITS = Limits(headers=2000, body=10_000, receive_timeout=5, idle_timeout=5, send_timeout=5)


class Stage:
    """A server with a handler that does what the path says, and connections to it."""

    def __init__(self, limits: Limits) -> None:
        self.server = Server(self.handle, limits)
        self.gate = asyncio.Event()
        self.arrived = asyncio.Event()
        self.targets: list[str] = []
        self.discarded = 0
        self.port = 0

    async def handle(self, request: Request) -> Response:
        self.targets.append(request.target)
        self.arrived.set()
        action: Callable[[Request], Awaitable[Response]] | None = getattr(self, "_" + request.raw_path.strip("/"), None)
        if action is not None:
            return await action(request)
        shown = {"method": request.method, "target": request.target, "headers": request.headers, "body": request.body.decode("latin-1")}
        return Response(200, {"Content-Type": "application/json"}, orjson.dumps(shown))

    async def _gated(self, request: Request) -> Response:
        await self.gate.wait()
        return Response(200, {}, b"through the gate")

    async def _boom(self, request: Request) -> Response:
        raise RuntimeError("a fault inside")

    async def _big(self, request: Request) -> Response:
        return Response(200, {}, b"x" * (64 << 20))

    async def _nothing(self, request: Request) -> Response:
        return Response(204)

    async def _stream(self, request: Request) -> Response:
        async def stream(writer: Writer) -> None:
            writer.write(b"one ")
            await self.gate.wait()
            writer.write(b"two")
            await writer.drain()

        return Response(200, {}, stream=stream, discard=self._note_discard)

    async def _breaking(self, request: Request) -> Response:
        async def stream(writer: Writer) -> None:
            writer.write(b"begun")
            raise RuntimeError("a fault inside")

        return Response(200, {}, stream=stream)

    async def _late(self, request: Request) -> Response:
        await self.gate.wait()
        return await self._stream(request)

    def _note_discard(self) -> None:
        self.discarded += 1

    async def _upgrade(self, request: Request) -> Response:
        async def echo(connection: Connection) -> None:
            while data := await connection.read():
                connection.write(data.upper())
                await connection.drain()

        return Response(101, {"Connection": "Upgrade", "Upgrade": "shout"}, upgrade=echo)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, data: bytes) -> bytes:
        """Everything the server says to `data` until it closes; the client closes nothing."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            async with asyncio.timeout(4):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def staged(**limits: Any) -> AsyncIterator[Stage]:
    stage = Stage(replace(LIMITS, **limits))
    stage.port = await stage.server.start("127.0.0.1", 0)
    try:
        yield stage
    finally:
        stage.gate.set()
        await stage.server.stop(grace=1)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


def get(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, *length, "", ""]).encode("latin-1") + body


async def answer(reader: asyncio.StreamReader, head: bool = False) -> tuple[int, dict[str, str], bytes]:
    """The next answer with its whole body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    status = int(lines[0].split()[1])
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while (size := int(await reader.readline(), 16)) or body is None:
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return status, headers, body
    return status, headers, b"" if head or status in (101, 204) else await reader.readexactly(int(headers["content-length"]))


# what goes well


async def test_a_connection_is_used_again(stage: Stage) -> None:
    reader, writer = await stage.connect()
    for number in range(3):
        writer.write(get(f"/a?n={number}", "X-One: 1", "x-one: 2", method="POST", body=b"hello"))
        status, _, body = await answer(reader)
        seen = orjson.loads(body)
        assert (status, seen["method"], seen["target"], seen["body"]) == (200, "POST", f"/a?n={number}", "hello")
        assert seen["headers"]["x-one"] == "1, 2"
    writer.close()


async def test_requests_sent_at_once_are_answered_in_order(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/gated") + b"".join(get(f"/n{n}") for n in range(30)))
    await stage.arrived.wait()
    assert stage.targets == ["/gated"], "one request of a connection at a time"
    stage.gate.set()
    assert (await answer(reader))[2] == b"through the gate"
    for number in range(30):
        assert orjson.loads((await answer(reader))[2])["target"] == f"/n{number}"
    writer.close()


async def test_a_request_may_come_byte_by_byte(stage: Stage) -> None:
    reader, writer = await stage.connect()
    for byte in get("/a", method="PUT", body=b"abc"):
        writer.write(bytes([byte]))
        await writer.drain()
    assert orjson.loads((await answer(reader))[2])["body"] == "abc"
    writer.close()


async def test_a_chunked_body_is_put_together_and_its_trailer_is_no_header(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/a", "Transfer-Encoding: chunked", method="POST") + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nAuthorization: Bearer t\r\n\r\n")
    seen = orjson.loads((await answer(reader))[2])
    assert seen["body"] == "abcde"
    assert "authorization" not in seen["headers"]
    writer.close()


async def test_attack_11_a_body_in_crumbs_takes_no_more_memory_than_it_is_long() -> None:
    async with staged(body=1 << 20) as stage:
        reader, writer = await stage.connect()
        crumbs = b"".join(b"2\r\n%02d\r\n" % (number % 100) for number in range(300_000))
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        writer.write(get("/a", "Transfer-Encoding: chunked", method="POST"))
        for at in range(0, len(crumbs), 1 << 16):
            writer.write(crumbs[at:at + (1 << 16)])
            await writer.drain()
        del crumbs
        async with asyncio.timeout(10):
            while sum(len(piece) for connection in stage.server.connections for piece in connection._body) < 600_000:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
        assert tracemalloc.get_traced_memory()[0] - before < 4 << 20
        tracemalloc.stop()
        writer.write(b"0\r\n\r\n")
        seen = orjson.loads((await answer(reader))[2])
        assert len(seen["body"]) == 600_000 and seen["body"].startswith("00010203") and seen["body"].endswith("9899")
        writer.close()


async def test_head_and_no_content_have_no_body(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/a", method="HEAD") + get("/nothing") + get("/b"))
    status, headers, _ = await answer(reader, head=True)
    assert status == 200 and int(headers["content-length"]) > 0
    assert (await answer(reader))[0] == 204
    assert orjson.loads((await answer(reader))[2])["target"] == "/b"
    writer.close()


async def test_a_client_that_waits_for_continue_is_told_to(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b"abc")
    assert orjson.loads((await answer(reader))[2])["body"] == "abc"
    writer.close()


async def test_the_connection_closes_when_the_client_says_so(stage: Stage) -> None:
    said = await stage.exchange(get("/a", "Connection: close"))
    assert b"Connection: close" in said
    assert b"Connection: close" in await stage.exchange(b"GET /a HTTP/1.0\r\n\r\n")


async def test_a_stream_is_chunked_and_the_connection_goes_on(stage: Stage) -> None:
    reader, writer = await stage.connect()
    stage.gate.set()
    writer.write(get("/stream") + get("/a"))
    assert (await answer(reader))[2] == b"one two"
    assert (await answer(reader))[0] == 200
    writer.close()


# faults


async def test_a_fault_of_the_handler_is_a_500_and_the_connection_lives(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/boom") + get("/a"))
    status, _, body = await answer(reader)
    assert (status, body) == (500, b"Internal Server Error")
    assert (await answer(reader))[0] == 200
    assert "a fault inside" in caplog.text
    writer.close()


async def test_a_stream_that_breaks_is_cut_not_ended(stage: Stage) -> None:
    said = await stage.exchange(get("/breaking"))
    assert b"begun" in said or said == b""
    assert not said.endswith(b"0\r\n\r\n"), "a client must not take it for whole"


async def test_what_was_held_for_an_answer_is_freed_when_the_client_left(stage: Stage) -> None:
    _, writer = await stage.connect()
    writer.write(get("/late"))
    await stage.arrived.wait()
    writer.transport.abort()
    (connection,) = stage.server.connections
    await connection.wait_closed()
    stage.gate.set()
    assert connection.task is not None
    await connection.task
    assert stage.discarded == 1


# what is refused


@pytest.mark.parametrize("data", [
    b"\x00\x01\x02\x03\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"get / http/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, x\r\n\r\nzz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
])
async def test_what_is_no_request_gets_a_400_and_no_handler(stage: Stage, data: bytes) -> None:
    said = await stage.exchange(data)
    assert said.startswith(b"HTTP/1.1 400 "), said
    assert stage.targets == []


async def test_garbage_behind_a_request_waits_for_the_answer_to_it(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/gated") + b"\x00 garbage\r\n\r\n" + get("/never"))
    await stage.arrived.wait()
    stage.gate.set()
    assert (await answer(reader))[2] == b"through the gate"
    assert (await answer(reader))[0] == 400
    assert await reader.read() == b""
    assert stage.targets == ["/gated"]
    writer.close()


@pytest.mark.parametrize("data", [
    get("/a", "Content-Length: 10001", method="POST"),
    get("/a", "Content-Length: 10001", method="POST") + b"x" * 10001,
    get("/a", "Transfer-Encoding: chunked", method="POST") + b"3000\r\n" + b"x" * 0x3000 + b"\r\n0\r\n\r\n",
    get("/a", method="POST", body=b"x" * 3_000_000),
], ids=["announced", "sent", "chunked", "large"])
async def test_a_body_too_large_is_refused_and_the_client_can_read_why(stage: Stage, data: bytes) -> None:
    said = await stage.exchange(data)
    assert said.startswith(b"HTTP/1.1 413 ") and said.endswith(b"Request entity too large: limit is 10000"), said
    assert stage.targets == []


@pytest.mark.parametrize("data", [
    b"GET /" + b"a" * 2500 + b" HTTP/1.1\r\n\r\n",
    get("/a", *(f"H{n}: {'v' * 20}" for n in range(200))),
    b"GET /a HTTP/1.1\r\nOne: " + b"v" * 2500 + b"\r\n\r\n",
    b"GET /a HTTP/1.1\r\nEndless: " + b"v" * (READ_SIZE * 3),
    b"GET /a HTTP/1.1\r\n" + b"n" * (READ_SIZE * 3),
    get("/a", "Transfer-Encoding: chunked", method="POST") + b"0\r\n" + b"T: tttttttttttttttttttt\r\n" * 200 + b"\r\n",
], ids=["target", "many", "one", "endless value", "endless name", "trailers"])
async def test_headers_too_large_are_refused(stage: Stage, data: bytes) -> None:
    said = await stage.exchange(data)
    assert said.startswith(b"HTTP/1.1 431 "), said[:200]
    assert stage.targets == []


async def test_a_refused_peer_that_stays_is_closed_all_the_same(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(b"garbage\r\n\r\n")
    assert (await answer(reader))[0] == 400
    (connection,) = stage.server.connections
    async with asyncio.timeout(LINGER + 3):
        await connection.wait_closed()
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n" * 10, get("/a", "Content-Length: 5", method="POST") + b"abc"], ids=["nothing", "line", "blank", "body"])
async def test_a_peer_that_does_not_finish_its_first_request_is_closed(sent: bytes) -> None:
    async with staged(receive_timeout=0.05) as stage:
        assert await stage.exchange(sent) == b""
        assert stage.targets == []


async def test_a_later_request_has_the_same_limit_however_slowly_it_comes() -> None:
    async with staged(receive_timeout=0.2, idle_timeout=1000) as stage:
        reader, writer = await stage.connect()
        writer.write(get("/a"))
        await answer(reader)
        writer.write(b"GET /b HTTP/1.1\r\nX: ")

        async def trickle() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        async with asyncio.timeout(4):
            with pytest.raises(ConnectionError):
                assert await reader.read() == b""
                raise ConnectionError
        trickling.cancel()
        writer.close()


async def test_an_idle_connection_is_closed() -> None:
    async with staged(idle_timeout=0.05) as stage:
        reader, writer = await stage.connect()
        writer.write(get("/a"))
        await answer(reader)
        assert await reader.read() == b""
        writer.close()


async def test_a_peer_that_takes_no_answer_is_closed() -> None:
    async with staged(send_timeout=0.05) as stage:
        _, writer = await stage.connect()
        writer.write(get("/big"))
        await stage.arrived.wait()
        (connection,) = stage.server.connections
        async with asyncio.timeout(4):
            await connection.wait_closed()
        writer.close()


async def test_a_long_stream_has_no_limit_of_time() -> None:
    async with staged(receive_timeout=0.05, idle_timeout=0.05, send_timeout=0.05) as stage:
        reader, writer = await stage.connect()
        writer.write(get("/stream"))
        await stage.arrived.wait()
        await asyncio.sleep(0.15)
        stage.gate.set()
        assert (await answer(reader))[2] == b"one two"
        writer.close()


async def test_one_peer_gets_so_many_connections_and_no_more() -> None:
    async with staged(connections_per_peer=3) as stage:
        writers = []
        for _ in range(3):
            reader, writer = await stage.connect()
            writer.write(get("/a"))
            await answer(reader)
            writers.append(writer)
        assert await stage.exchange(b"") == b""
        (first, *_) = list(stage.server.connections)
        writers.pop(0).close()
        first.abort()
        await first.wait_closed()
        assert b"200 OK" in await stage.exchange(get("/a", "Connection: close"))
        for writer in writers:
            writer.close()


# upgrades


async def test_an_upgrade_gives_the_connection_away_with_what_came_early(stage: Stage) -> None:
    reader, writer = await stage.connect()
    writer.write(get("/upgrade", "Connection: Upgrade", "Upgrade: shout") + b"early ")
    assert (await answer(reader))[0] == 101
    writer.write(b"late")
    assert await reader.readexactly(10) == b"EARLY LATE"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_after_a_refused_upgrade_nothing_more_is_taken(stage: Stage) -> None:
    """Attack 1: what follows on the connection could have been meant for a tunnel."""
    said = await stage.exchange(get("/a", "Connection: Upgrade", "Upgrade: websocket") + get("/secret"))
    assert said.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in said
    assert stage.targets == ["/a"]


async def test_what_comes_before_an_upgrade_is_decided_is_bounded(stage: Stage) -> None:
    _, writer = await stage.connect()
    writer.write(get("/gated", "Connection: Upgrade", "Upgrade: websocket"))
    await stage.arrived.wait()
    (connection,) = stage.server.connections
    writer.write(b"x" * (8 << 20))
    async with asyncio.timeout(4):
        await connection.wait_closed()
    writer.close()


# the end


async def test_stopping_finishes_what_is_under_way(stage: Stage) -> None:
    busy, idle, streaming = await stage.connect(), await stage.connect(), await stage.connect()
    idle[1].write(get("/a"))
    await answer(idle[0])
    streaming[1].write(get("/stream"))
    await streaming[0].readuntil(b"one ")
    stage.arrived.clear()
    busy[1].write(get("/gated") + get("/after"))
    await stage.arrived.wait()
    stopping = asyncio.create_task(stage.server.stop(grace=3))
    assert await idle[0].read() == b""
    assert await streaming[0].read() == b"\r\n0\r\n\r\n", "a stream ends as a whole one"
    stage.gate.set()
    status, headers, _ = await answer(busy[0])
    assert (status, headers["connection"]) == (200, "close")
    assert await busy[0].read() == b""
    await stopping
    assert not stage.server.connections
    with pytest.raises(OSError):
        await stage.connect()
    for _, writer in (busy, idle, streaming):
        writer.close()


async def test_stopping_does_not_wait_for_ever(stage: Stage) -> None:
    _, writer = await stage.connect()
    writer.write(get("/gated"))
    await stage.arrived.wait()
    (connection,) = stage.server.connections
    await stage.server.stop(grace=0.01)
    await connection.wait_closed()
    writer.close()


async def test_over_tls_it_is_the_same(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["localhost"])
    async with staged() as stage:
        port = await stage.server.start("127.0.0.1", 0, server_context(pki))
        trust = ssl.create_default_context(cafile=str(pki.authority.certificate))
        for data, expected in ((get("/a", "Connection: close"), b"HTTP/1.1 200 "), (get("/a", method="POST", body=b"x" * 3_000_000), b"HTTP/1.1 413 ")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
            writer.write(data)
            async with asyncio.timeout(4):
                assert (await reader.read()).startswith(expected)
            writer.close()

# anything at all

PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999\r\n", b"\r\n", b"hello",
        b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"Connection: Upgrade\r\nUpgrade: x\r\n", b"Connection: close\r\n",
        b"Expect: 100-continue\r\n", b"HEAD /nothing HTTP/1.1\r\n\r\n", b"GET /boom HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"\xff" * 300,
        b"GET /upgrade HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"]))


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=12), st.booleans(), st.sampled_from([asyncio.run, uvloop.run]))
def test_no_bytes_kill_the_server(pieces: list[bytes], at_once: bool, run: Callable[[Any], None]) -> None:
    logging.getLogger("tiffin.net.http1").setLevel(logging.CRITICAL)
    try:
        run(_garbage(pieces, at_once))
    finally:
        logging.getLogger("tiffin.net.http1").setLevel(logging.NOTSET)


async def _garbage(pieces: list[bytes], at_once: bool) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    async with staged() as stage:
        reader, writer = await stage.connect()
        try:
            for piece in [b"".join(pieces)] if at_once else pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.write_eof()
            async with asyncio.timeout(4):
                await reader.read()
        except (OSError, RuntimeError):
            pass  # a reset is an answer too
        writer.close()
        assert b"200 OK" in await stage.exchange(get("/a", "Connection: close"))
    assert not stage.server.connections and not stage.server.by_peer
    assert not faults
