"""Clients of exec and port-forward, in every dialect kubectl and the client libraries speak."""
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from tiffin.net import channels
from tiffin.net.channels import PROTOCOLS, Channels
from tiffin.net.httpclient import Answer, Pool
from tiffin.net.spdy import Role
from tiffin.net.spdy_connection import SpdyConnection
from tiffin.net.websocket import WebSocket, request_headers

SPDY_HEADERS = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]


@dataclass
class Result:
    stdout: bytes = b""
    stderr: bytes = b""
    error: bytes = b""
    answer: Answer | None = None
    body: bytes = b""

    @property
    def status(self) -> dict:
        return orjson.loads(self.error)


@dataclass
class Wish:
    """Input, sent in one piece and then closed where the dialect can; sizes of the terminal."""

    stdin: bytes | None = None
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    sizes: list[bytes] = field(default_factory=list)
    close_stdin: bool = True


async def run_websocket(pool: Pool, target: str, protocol: str, wish: Wish, headers: Mapping[str, str] | None = None) -> Result:
    answer = await pool.request("GET", target, request_headers([protocol] if protocol else []) | dict(headers or {}))
    result = Result(answer=answer)
    if answer.status != 101:
        result.body = await answer.body(1 << 20)
        answer.close()
        return result
    assert answer.headers.get("sec-websocket-protocol", "") == protocol
    client = Channels(WebSocket(answer.connection(), client=True), PROTOCOLS[protocol])
    answer.close()
    for size in wish.sizes:
        client.write(channels.RESIZE, size)
    if wish.stdin is not None:
        client.write(channels.STDIN, wish.stdin)
        if wish.close_stdin and protocol.startswith("v5"):
            client.write(channels.CLOSE, bytes([channels.STDIN]))
    parts = {channels.STDOUT: bytearray(), channels.STDERR: bytearray(), channels.ERROR: bytearray()}
    while (message := await client.receive()) is not None:
        parts[message[0]] += message[1]
        expected = len(wish.stdin or b"")
        if not protocol.startswith("v5") and wish.close_stdin and expected and len(parts[channels.STDOUT]) == expected:
            break  # older dialects cannot close the input: all they can do is leave
    client.socket.close()
    result.stdout, result.stderr, result.error = bytes(parts[1]), bytes(parts[2]), bytes(parts[3])
    return result


async def run_spdy(pool: Pool, target: str, wish: Wish, headers: Mapping[str, str] | None = None) -> Result:
    offer = [("X-Stream-Protocol-Version", f"v{n}.channel.k8s.io") for n in (5, 4, 3, 2)]
    answer = await pool.request("POST", target, [*SPDY_HEADERS, *offer, *(headers or {}).items()])
    result = Result(answer=answer)
    if answer.status != 101:
        result.body = await answer.body(1 << 20)
        answer.close()
        return result
    assert answer.headers["x-stream-protocol-version"] == "v4.channel.k8s.io"
    async with SpdyConnection(answer.connection(), Role.CLIENT) as spdy:
        answer.close()
        names = [n for n, on in (("stdin", wish.stdin is not None), ("stdout", wish.stdout), ("stderr", wish.stderr), ("resize", wish.tty)) if on]
        streams = {name: await spdy.open([("streamtype", name)]) for name in ["error", *names]}
        for size in wish.sizes:
            streams["resize"].write(size)
        if wish.stdin is not None:
            streams["stdin"].write(wish.stdin)
            if wish.close_stdin:
                streams["stdin"].finish()
        read = [n for n in ("stdout", "stderr", "error") if n in streams]
        outputs = dict(zip(read, await asyncio.gather(*(streams[n].read_all(1 << 30) for n in read)), strict=True))
    result.stdout, result.stderr, result.error = outputs.get("stdout", b""), outputs.get("stderr", b""), outputs["error"]
    return result


async def run(dialect: str, pool: Pool, target: str, wish: Wish, headers: Mapping[str, str] | None = None) -> Result:
    """`dialect` is SPDY or the name of a WebSocket subprotocol."""
    if dialect == "SPDY":
        return await run_spdy(pool, target, wish, headers)
    return await run_websocket(pool, target, dialect, wish, headers)
