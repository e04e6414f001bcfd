"""HTTP/2 for clients that offer nothing else, against ordinary, slow and hostile ones (attack 11, CVE-2023-44487)."""
from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import orjson
import pytest
from hpack import Decoder

from tiffin.apiserver.server import server_context
from tiffin.net.http import Connection, Request, Response, Writer
from tiffin.net.http2 import RESETS
from tiffin.net.pki import Pki, ensure_pki
from tiffin.net.server import Limits, Server


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(Path(tmp_path_factory.mktemp("pki")), ["localhost"])


class Client:
    """A client of one connection; what the server says is gathered by stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        self.bodies: dict[int, bytes] = {}
        self.headers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.terminated: int | None = None

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> int:
        number = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost"), *headers.items()]
        self.h2.send_headers(number, fields, end_stream=not body)
        self.flush()
        if body:
            self.send(number, body)
        return number

    def send(self, number: int, body: bytes, ends: bool = True) -> None:
        for at in range(0, len(body), 16_384):
            self.h2.send_data(number, body[at:at + 16_384], end_stream=ends and at + 16_384 >= len(body))
        self.flush()

    async def more(self, acknowledge: bool = True) -> bool:
        """Takes in what comes next; False at the end."""
        data = await self.reader.read(65536)
        for event in self.h2.receive_data(data) if data else ():
            if isinstance(event, h2.events.ResponseReceived):
                self.headers[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if acknowledge:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.terminated = int(event.error_code or 0)
        self.flush()
        return bool(data)

    async def answer(self, number: int) -> tuple[str, bytes]:
        async with asyncio.timeout(10):
            while number not in self.ended and await self.more():
                pass
        return self.headers.get(number, {}).get(":status", ""), self.bodies.get(number, b"")


class Stage:
    def __init__(self, port: int, trusted: Path, server: Server) -> None:
        self.port, self.trusted, self.server = port, trusted, server

    async def closed(self) -> None:
        """Waits until the server has forgotten its connections."""
        async with asyncio.timeout(5):
            while self.server.connections or self.server.by_peer:
                await asyncio.sleep(0.001)

    @asynccontextmanager
    async def client(self, *offered: str) -> AsyncIterator[Client]:
        context = ssl.create_default_context(cafile=str(self.trusted))
        context.set_alpn_protocols(list(offered) or ["h2"])
        reader, writer = await asyncio.open_connection("localhost", self.port, ssl=context, family=2)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()



async def handle(request: Request) -> Response:
    if request.raw_path == "/large":
        return Response(200, {}, b"x" * 3_000_000)
    if request.raw_path == "/boom":
        raise RuntimeError("boom")
    if request.raw_path == "/wait":
        await asyncio.get_running_loop().create_future()
    if request.raw_path == "/stream":
        async def stream(writer: Writer) -> None:
            for number in range(3):
                writer.write(b"%d\n" % number)
                await writer.drain()
            if "forever" in request.target:
                await writer.wait_closed()

        return Response(200, {"Connection": "close"}, stream=stream)
    if request.raw_path == "/upgrade":
        async def upgrade(connection: Connection) -> None:
            raise AssertionError("there is nothing to take over")

        return Response(101, {}, upgrade=upgrade)
    shown = {"method": request.method, "target": request.target, "headers": request.headers, "body": len(request.body), "peer": request.peer}
    return Response(200, {"Content-Type": "application/json"}, orjson.dumps(shown), repeated_headers=(("Warning", "a"), ("Warning", "b")))


@asynccontextmanager
async def serving(pki: Pki, **limits: Any) -> AsyncIterator[Stage]:
    server = Server(handle, Limits(**({"body": 100_000, "receive_timeout": 5, "idle_timeout": 5, "send_timeout": 5} | limits)))
    port = await server.start("127.0.0.1", 0, server_context(pki))
    try:
        yield Stage(port, pki.authority.certificate, server)
    finally:
        await server.stop(0.1)


async def test_a_client_that_offers_both_gets_the_simpler_one(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client("h2", "http/1.1") as client:
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_requests_side_by_side(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        waiting, one, two = client.ask("/wait"), client.ask("/a?b=c", accept="x"), client.ask("/d", "POST", b"y" * 40_000)
        status, body = await client.answer(one)
        seen = orjson.loads(body)
        assert (status, seen["method"], seen["target"], seen["headers"]["accept"], seen["headers"]["host"], seen["peer"]) == (
            "200", "GET", "/a?b=c", "x", "localhost", "127.0.0.1")
        assert orjson.loads((await client.answer(two))[1])["body"] == 40_000
        assert client.headers[one]["content-type"] == "application/json"
        assert waiting not in client.ended


async def test_a_large_answer_waits_for_the_window(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        assert await client.answer(client.ask("/large")) == ("200", b"x" * 3_000_000)


async def test_a_peer_that_takes_nothing_is_given_up(pki: Pki) -> None:
    async with serving(pki, send_timeout=0.1) as stage, stage.client() as client:
        number = client.ask("/large")
        async with asyncio.timeout(5):
            while number not in client.ended and await client.more(acknowledge=False):
                pass
        assert 0 < len(client.bodies[number]) < 3_000_000


async def test_streams_and_their_end(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        assert await client.answer(client.ask("/stream")) == ("200", b"0\n1\n2\n")
        number = client.ask("/stream?forever")
        while client.bodies.get(number, b"").count(b"\n") < 3:
            await client.more()
        await stage.server.stop(1.0)
        assert await client.answer(number) == ("200", b"0\n1\n2\n")


@pytest.mark.parametrize(("path", "method", "body", "status"), [
    ("/boom", "GET", b"", "500"), ("/upgrade", "GET", b"", "501"), ("/x", "POST", b"z" * 200_000, "413"), ("/x", "HEAD", b"", "200"),
])
async def test_other_answers(pki: Pki, path: str, method: str, body: bytes, status: str) -> None:
    async with serving(pki) as stage, stage.client() as client:
        await client.more()  # the server's window
        number = client.ask(path, method, body)
        answer = await client.answer(number)
        assert answer[0] == status
        assert method != "HEAD" or answer[1] == b""


async def test_a_request_that_does_not_come_is_dropped(pki: Pki) -> None:
    async with serving(pki, receive_timeout=0.05) as stage, stage.client() as client:
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")])
        client.flush()
        assert await client.answer(number) == ("", b"")


async def test_streams_taken_back_without_end_are_answered_with_goodbye(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        for _ in range(RESETS + 2):
            number = client.ask("/wait")
            client.h2.reset_stream(number)
        client.flush()
        async with asyncio.timeout(5):
            while await client.more():
                pass
        assert client.terminated == 11  # ENHANCE_YOUR_CALM
        client.writer.close()
        await stage.closed()


async def test_nonsense_ends_the_connection(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        client.writer.write(b"\0\0\1\0\0\0\0\0\0x")  # data of no stream
        async with asyncio.timeout(5):
            while await client.more():
                pass
        assert client.terminated == 1  # PROTOCOL_ERROR


# ---- attack 11 and its kin: what a client makes of single frames


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 6, 7, 8, 9
BASE = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"https"), (b":authority", b"x")]


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A header block without any state: every field as a literal that is not to be indexed."""
    given = dict(BASE) | dict(fields)

    def text(value: bytes) -> bytes:
        return bytes((len(value),)) + value if len(value) < 127 else bytes((127,)) + _varint(len(value) - 127) + value

    return b"".join(b"\x00" + text(name) + text(value) for name, value in given.items())


def _varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out += bytes((number % 128 + 128,))
        number //= 128
    return out + bytes((number,))


def request_frame(stream: int, *fields: tuple[bytes, bytes], ends: bool = True) -> bytes:
    return frame(HEADERS, 4 | ends, stream, block(*fields))


def bomb() -> bytes:
    """One entry of 4,000 bytes, indexed once and named again ten thousand times: 40 MB of headers in 14 kB."""
    entry = b"\x40\x01x" + bytes((127,)) + _varint(4000 - 127) + b"y" * 4000
    return frame(HEADERS, 5, 1, block() + entry + b"\xbe" * 10_000)


class Heard:
    """What the server says to somebody who writes frames by hand: types of frames by stream, and the reason of its goodbye."""

    def __init__(self, client: Client) -> None:
        self._client, self._rest = client, b""
        self.kinds: dict[int, list[int]] = {}
        self.reason: int | None = None
        self.statuses: dict[int, bytes] = {}

    async def more(self) -> bool:
        try:
            data = await self._client.reader.read(65536)
        except ConnectionError:
            return False
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= 9 + (size := int.from_bytes(self._rest[:3], "big")):
            kind, stream, payload = self._rest[3], int.from_bytes(self._rest[5:9], "big"), self._rest[9:9 + size]
            self._rest = self._rest[9 + size:]
            self.kinds.setdefault(stream, []).append(kind)
            if kind == GOAWAY:
                self.reason = int.from_bytes(payload[4:8], "big")
            if kind == HEADERS:
                self.statuses[stream] = dict(self._decoder.decode(payload, raw=True))[b":status"]  # type: ignore[index]
        return bool(data)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder()

    async def goodbye(self) -> int | None:
        """Reads until the server closes; gives the reason it named."""
        async with asyncio.timeout(10):
            while await self.more():
                pass
        return self.reason

    async def status(self, stream: int) -> bytes:
        async with asyncio.timeout(10):
            while stream not in self.statuses and RST_STREAM not in self.kinds.get(stream, ()) and await self.more():
                pass
        return self.statuses.get(stream, b"")


@pytest.mark.parametrize("sent", [
    frame(PING, 0, 0, b"12345678") * 5000,
    frame(SETTINGS, 0, 0, b"") * 5000,
    request_frame(1, ends=False) + frame(0, 0, 1, b"") * 5000,
], ids=["pings", "settings", "empty data"])
async def test_attack_11_frames_that_ask_for_nothing(pki: Pki, sent: bytes) -> None:
    """CVE-2019-9512, CVE-2019-9515, CVE-2019-9518."""
    async with serving(pki) as stage, stage.client() as client:
        heard = Heard(client)
        await heard.more()
        client.writer.write(sent)
        assert await heard.goodbye() == 11
        client.writer.close()
        await stage.closed()


async def test_attack_11_streams_that_the_server_is_made_to_reset(pki: Pki) -> None:
    """CVE-2025-8671: an overflow of the window makes the server take back what it was asked."""
    async with serving(pki) as stage, stage.client() as client:
        heard = Heard(client)
        await heard.more()
        for number in range(1, 2 * RESETS + 20, 2):
            client.writer.write(request_frame(number, (b":path", b"/wait")) + frame(WINDOW_UPDATE, 0, number, b"\x7f\xff\xff\xff") * 2)
        assert await heard.goodbye() == 11
        client.writer.close()
        await stage.closed()


@pytest.mark.parametrize("sent", [
    bomb(),
    frame(HEADERS, 1, 1, block()) + frame(CONTINUATION, 0, 1, b"") * 1000,
    frame(HEADERS, 1, 1, block()) + frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y" * 3000) * 100,
    frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
    request_frame(1, (b"x", b"a\r\nx-remote-user: admin")),
    request_frame(1, (b"x", b"a\0")),
    request_frame(1, (b"transfer-encoding", b"chunked")),
    request_frame(1, (b"connection", b"x")),
    request_frame(1, (b"host", b"elsewhere")),
    request_frame(1, (b"content-length", b"5"), ends=False) + frame(0, 1, 1, b"x"),
    frame(HEADERS, 5, 2, block()),
], ids=["hpack bomb", "empty continuations", "endless continuations", "window overflow", "no window", "window of settings", "line break", "nul", "transfer-encoding",
        "connection", "two hosts", "shorter than said", "stream of the server"])
async def test_attack_11_what_breaks_the_protocol_ends_the_connection(pki: Pki, sent: bytes) -> None:
    async with serving(pki) as stage, stage.client() as client:
        heard = Heard(client)
        await heard.more()
        client.writer.write(sent)
        assert await heard.goodbye() not in (None, 0)
        assert not heard.statuses
        client.writer.close()
        await stage.closed()


@pytest.mark.parametrize("fields", [
    [(b":method", b"GET /secret?")], [(b":method", b"get")], [(b":method", b"\xff")], [(b":path", b"/a HTTP/1.1")], [(b":path", b"secret")], [(b":path", b"http://x/")],
])  # fmt: skip
async def test_request_lines_that_http_1_could_not_carry_are_refused(pki: Pki, fields: list[tuple[bytes, bytes]]) -> None:
    async with serving(pki) as stage, stage.client() as client:
        client.writer.write(request_frame(1, *fields))
        assert await Heard(client).status(1) in (b"400", b"")


async def test_bytes_that_are_no_text_do_not_break_the_connection(pki: Pki) -> None:
    async with serving(pki) as stage, stage.client() as client:
        heard = Heard(client)
        client.writer.write(request_frame(1, (b":path", b"/large\xff"), (b"authorization", b"Bearer \xff")) + request_frame(3, (b":path", b"/stream")))
        assert await heard.status(3) == b"200"
        assert await heard.status(1) == b"500"  # the test's handler shows headers as JSON, which has no such text


async def test_a_connection_that_never_asks_is_dropped(pki: Pki) -> None:
    async with serving(pki, receive_timeout=0.05) as stage, stage.client() as client:
        await Heard(client).goodbye()
        await stage.closed()
