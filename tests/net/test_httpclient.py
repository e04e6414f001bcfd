from __future__ import annotations

import asyncio

import pytest

from tests.net.scripted import read_request, response, serving
from tiffin.net.httpclient import Answer, BodyTooLargeError, HttpProtocolError, IncompleteBodyError, Origin, Pool, StaleConnectionError
from tiffin.net.wire import HIGH


async def one(port: int, method: str = "GET", target: str = "/", **more: object) -> tuple[int, bytes]:
    pool = Pool(Origin("127.0.0.1", port))
    try:
        async with await pool.request(method, target, **more) as answer:  # type: ignore[arg-type]
            return answer.status, await answer.body(1 << 20)
    finally:
        pool.close()


BODIES = {
    "content length": (response(b"hello"), b"hello"),
    "empty": (response(), b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    "lines without carriage returns": (b"HTTP/1.1 200 OK\nContent-Type: text/plain\n\nhello", b"hello"),
    "after an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(b"hello"), b"hello"),
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_bodies_in_every_framing_and_chunking(case: str, step: int) -> None:
    sent, expected = BODIES[case]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for at in range(0, len(sent), step):
            writer.write(sent[at : at + step])
            await writer.drain()

    async with serving(serve) as port:
        assert (await one(port))[1] == expected


BROKEN = {
    "nothing": (b"", StaleConnectionError),
    "not HTTP": (b"220 ftp ready\r\n\r\n", HttpProtocolError),
    "half a head": (b"HTTP/1.1 200 OK\r\nConte", HttpProtocolError),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", IncompleteBodyError),
    "half a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", IncompleteBodyError),
    "two framings": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HttpProtocolError),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100)), HttpProtocolError),
    "an unasked upgrade without its header": (b"HTTP/1.1 101 Switching\r\n\r\nboo", HttpProtocolError),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_answers_are_connection_errors(case: str) -> None:
    sent, error = BROKEN[case]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)
        await writer.drain()

    async with serving(serve) as port:
        with pytest.raises(error):
            await one(port)


async def test_connections_are_kept_and_redirects_are_not_followed() -> None:
    connections, lines = [], []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while True:
            line, _, body = await read_request(reader)
            lines.append((line, body))
            writer.write(response(b"", "302 Found", "Location: /elsewhere"))

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        for method in ("GET", "POST", "HEAD", "GET"):
            async with await pool.request(method, "/a", body=b"x" if method == "POST" else b"") as answer:
                assert answer.status == 302
                assert await answer.body(10) == b""
        pool.close()
    assert lines == [("GET /a HTTP/1.1", b""), ("POST /a HTTP/1.1", b"x"), ("HEAD /a HTTP/1.1", b""), ("GET /a HTTP/1.1", b"")]
    assert len(connections) == 2, "all share one connection, which the HEAD ends"


@pytest.mark.parametrize(("method", "again"), [("GET", True), ("POST", False), ("PUT", False)])
async def test_a_kept_connection_that_died_is_replaced_for_safe_methods_only(method: str, again: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"1"))
        await read_request(reader)  # takes the second request and dies

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        async with await pool.request("GET", "/") as answer:
            await answer.body(10)
        if again:
            async with await pool.request(method, "/") as answer:
                assert await answer.body(10) == b"1"
        else:
            with pytest.raises(StaleConnectionError):
                await pool.request(method, "/", body=b"x")
        pool.close()


async def test_a_slow_reader_holds_the_sender() -> None:
    total, piece = 64 * HIGH, b"x" * 65536
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(piece)
            sent += len(piece)
            await writer.drain()

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        async with await pool.request("GET", "/") as answer:
            assert await answer.read(1) == b"x"
            for _ in range(200):
                await asyncio.sleep(0)
            assert sent < total
            received = 1
            async for chunk in answer.chunks():
                received += len(chunk)
            assert received == total
        pool.close()


async def test_bodies_are_bounded_by_their_reader() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"x" * 100))

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        with pytest.raises(BodyTooLargeError):
            await (await pool.request("GET", "/")).body(99)
        pool.close()


async def test_an_upgrade_gives_the_connection_away() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, headers, _ = await read_request(reader)
        assert headers["upgrade"] == "echo"
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
        while data := await reader.read(100):
            writer.write(data)

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port))
        answer: Answer = await pool.request("GET", "/", {"Connection": "Upgrade", "Upgrade": "echo"})
        assert answer.status == 101
        stream = answer.connection()
        answer.close()
        pool.close()
        assert await stream.read() == b"early"
        stream.write(b"late")
        await stream.drain()
        assert await stream.read() == b"late"
        stream.write_eof()
        assert await stream.read() == b""
        stream.close()


async def test_time_limits_and_the_limit_of_connections() -> None:
    arrived = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with serving(serve) as port:
        pool = Pool(Origin("127.0.0.1", port), limit=1)
        with pytest.raises(TimeoutError):
            await pool.request("GET", "/", timeout=0.01)
        arrived.clear()
        first = asyncio.ensure_future(pool.request("GET", "/"))
        await arrived.wait()
        with pytest.raises(TimeoutError):
            await pool.request("GET", "/", timeout=0.01)
        pool.close()
        with pytest.raises(ConnectionError):
            await first


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\0"])
async def test_requests_cannot_be_split(target: str) -> None:
    with pytest.raises(ValueError):
        await Pool(Origin("127.0.0.1", 1)).request("GET", target)
    with pytest.raises(ValueError):
        await Pool(Origin("127.0.0.1", 1)).request("GET", "/", {"X": "a\r\nY: b"})


async def test_unix_sockets(tmp_path) -> None:  # type: ignore[no-untyped-def]
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(response(b"hello"))

    server = await asyncio.start_unix_server(serve, tmp_path / "s")
    pool = Pool(Origin("localhost", unix=str(tmp_path / "s")))
    async with await pool.request("GET", "/") as answer:
        assert await answer.body(10) == b"hello"
    pool.close()
    server.close()
