"""Streaming with a container runtime: SPDY towards the runtime, and SPDY or WebSocket towards the client.

A client that speaks SPDY is tunnelled to the runtime, which negotiates with it. One that speaks WebSocket is translated:
remote command (exec, attach) channel by channel, port-forward either as tunnelled SPDY (`SPDY/3.1+portforward.k8s.io`,
KEP-4006) or, in the old form, two channels a port.

A remote command ends when the runtime has ended its error stream and the output streams; its Status then goes to the client
as the last message, and the WebSocket is closed. If the client leaves first, the runtime's connection is closed.

Source: KEP-4006, the CRI streaming API, `remotecommand` and `portforward` as kubectl speaks them.
"""
from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tiffin.net import channels, websocket
from tiffin.net.channels import PROTOCOLS, Channels
from tiffin.net.http import Connection, Request, Response
from tiffin.net.httpclient import Answer, Origin, Pool
from tiffin.net.relay import relayed
from tiffin.net.spdy import Role
from tiffin.net.spdy_connection import SpdyConnection, SpdyStream
from tiffin.net.websocket import MessageTunnel, WebSocket
from tiffin.net.wire import tunnel

SPDY = "SPDY/3.1"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
REMOTE_COMMAND = "v4.channel.k8s.io"
PORT_FORWARD = "portforward.k8s.io"
TUNNELLED_PORT_FORWARD = f"{SPDY}+{PORT_FORWARD}"
PORT_FORWARD_CHANNELS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", "")
MAX_STATUS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Streams:
    """Which standard streams a remote command has; with `tty` there is no separate stderr but a resize stream."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


def asks_for_spdy(request: Request) -> bool:
    """Whether the client asks for SPDY/3.1."""
    return request.headers.get("upgrade", "").lower() == SPDY.lower() and "upgrade" in request.headers.get("connection", "").lower()


async def ask_runtime(url: str, protocols: str) -> Answer:
    """Asks the runtime at a streaming URL for SPDY; `protocols` are the subprotocols
    offered, separated by commas; each travels in a header of its own, as runtimes take no lists. Raises ConnectionError."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ConnectionError(f"the runtime's streaming URL is not http: {url}")
    headers = [("Connection", "Upgrade"), ("Upgrade", SPDY), *((PROTOCOL_HEADER, p.strip()) for p in protocols.split(",") if p.strip())]
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return await Pool(Origin(parts.hostname, parts.port or 80)).request("POST", target, headers, timeout=30)


async def pass_through(request: Request, url: str) -> Response:
    """Joins a client that speaks SPDY to the runtime."""
    return relayed(await ask_runtime(url, request.headers.get(PROTOCOL_HEADER.lower(), "")))


async def translate_command(request: Request, url: str, streams: Streams) -> Response:
    """Joins a client that speaks WebSocket to a remote command of the runtime. Raises HandshakeError."""
    protocol = PROTOCOLS[websocket.choose(request, tuple(PROTOCOLS))]
    headers = websocket.answer_headers(request, protocol.name)
    answer = await ask_runtime(url, REMOTE_COMMAND)
    if answer.status != 101:
        return relayed(answer)

    async def serve(connection: Connection, runtime: Connection) -> None:
        client = Channels(WebSocket(connection), protocol)
        async with SpdyConnection(runtime, Role.CLIENT) as spdy:
            await Command(client, spdy, streams).run()

    return _taking_over(answer, headers, serve)


async def translate_port_forward(request: Request, url: str, ports: Sequence[int]) -> Response:
    """Joins a client that speaks WebSocket to a port-forward of the runtime. Raises HandshakeError."""
    name = websocket.choose(request, (TUNNELLED_PORT_FORWARD, *PORT_FORWARD_CHANNELS))
    if name != TUNNELLED_PORT_FORWARD and not ports:
        raise websocket.HandshakeError('query parameter "port" is required')
    headers = websocket.answer_headers(request, name)
    answer = await ask_runtime(url, PORT_FORWARD)
    if answer.status != 101:
        return relayed(answer)

    async def serve(connection: Connection, runtime: Connection) -> None:
        if name == TUNNELLED_PORT_FORWARD:
            await tunnel(MessageTunnel(WebSocket(connection)), runtime)
            return
        client = Channels(WebSocket(connection), PROTOCOLS[name])
        async with SpdyConnection(runtime, Role.CLIENT) as spdy:
            await PortChannels(client, spdy, ports).run()

    return _taking_over(answer, headers, serve)


def _taking_over(answer: Answer, headers: dict[str, str], serve: Any) -> Response:
    runtime = answer.connection()
    answer.close()

    async def take_over(connection: Connection) -> None:
        try:
            await serve(connection, runtime)
        finally:
            runtime.close()

    return Response(101, headers, upgrade=take_over, discard=runtime.close)


@asynccontextmanager
async def _alongside(*coroutines: Coroutine[Any, Any, None]) -> Any:
    """Runs the coroutines while the body runs, and not longer; a lost connection ends one of them quietly."""
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                raise outcome


class Command:
    """A remote command between a client's channels and a runtime's streams."""

    def __init__(self, client: Channels, spdy: SpdyConnection, streams: Streams) -> None:
        self._client, self._spdy, self._streams = client, spdy, streams
        self._inputs: dict[int, SpdyStream] = {}

    async def run(self) -> None:
        wanted = self._streams
        error = await self._open("error")
        if wanted.stdin:
            self._inputs[channels.STDIN] = await self._open("stdin")
        outputs = [(channels.STDOUT, await self._open("stdout"))] if wanted.stdout else []
        if wanted.stderr and not wanted.tty:
            outputs.append((channels.STDERR, await self._open("stderr")))
        if wanted.tty:
            self._inputs[channels.RESIZE] = await self._open("resize")
        # An empty message on a channel the client reads tells it that the command is connected.
        self._client.write(outputs[0][0] if outputs else channels.ERROR, b"")
        async with _alongside(self._from_client()) as (leaving,):
            command = asyncio.ensure_future(self._to_client(error, outputs))
            try:
                await asyncio.wait([leaving, command], return_when=asyncio.FIRST_COMPLETED)
                if command.done():
                    command.result()
            finally:
                command.cancel()
                await asyncio.gather(command, return_exceptions=True)

    async def _open(self, type: str) -> SpdyStream:
        return await self._spdy.open([("streamtype", type)])

    async def _from_client(self) -> None:
        """Input, resizes and closed channels, until the client leaves."""
        while (message := await self._client.receive()) is not None:
            channel, data = message
            if channel == channels.CLOSE and self._client.protocol.closes:
                if (closed := self._inputs.get(data[0])) is not None:
                    closed.finish()
            elif (stream := self._inputs.get(channel)) is not None:
                stream.write(data)
                await stream.drain()

    async def _to_client(self, error: SpdyStream, outputs: list[tuple[int, SpdyStream]]) -> None:
        await asyncio.gather(*(self._output(channel, stream) for channel, stream in outputs))
        if message := self._last_word(await error.read_all(MAX_STATUS)):
            self._client.write(channels.ERROR, message)
        self._client.socket.close()

    async def _output(self, channel: int, stream: SpdyStream) -> None:
        while data := await stream.read():
            self._client.write(channel, data)
            await self._client.drain()

    def _last_word(self, status: bytes) -> bytes:
        """What the error channel says: the Status, or for old protocols the text of a failure."""
        if self._client.protocol.status:
            return status
        try:
            decoded = orjson.loads(status)
        except orjson.JSONDecodeError:
            return status
        failed = isinstance(decoded, dict) and decoded.get("status") == "Failure"
        return str(decoded.get("message") or "").encode() if failed else b""


class PortChannels:
    """The old port-forward over WebSocket: for each port a data and an error channel, which begin with the port's number."""

    def __init__(self, client: Channels, spdy: SpdyConnection, ports: Sequence[int]) -> None:
        self._client, self._spdy, self._ports = client, spdy, ports

    async def run(self) -> None:
        pairs = []
        for index, port in enumerate(self._ports):
            error = await self._open("error", index, port)
            error.finish()
            pairs.append((await self._open("data", index, port), error))
            for channel in (2 * index, 2 * index + 1):
                self._client.write(channel, port.to_bytes(2, "little"))
        async with _alongside(self._from_client([data for data, _ in pairs])) as (leaving,):
            outputs = asyncio.gather(*(self._output(2 * i + side, stream) for i, pair in enumerate(pairs) for side, stream in enumerate(pair)))
            try:
                await asyncio.wait([leaving, outputs], return_when=asyncio.FIRST_COMPLETED)
            finally:
                outputs.cancel()
                await asyncio.gather(outputs, return_exceptions=True)
        self._client.socket.close()

    async def _open(self, type: str, index: int, port: int) -> SpdyStream:
        return await self._spdy.open([("streamtype", type), ("port", str(port)), ("requestid", str(index))])

    async def _from_client(self, streams: list[SpdyStream]) -> None:
        while (message := await self._client.receive()) is not None:
            channel, data = message
            if channel % 2 == 0 and channel // 2 < len(streams):
                streams[channel // 2].write(data)
                await streams[channel // 2].drain()

    async def _output(self, channel: int, stream: SpdyStream) -> None:
        while data := await stream.read():
            self._client.write(channel, data)
            await self._client.drain()

