"""A container runtime's streaming server on loopback: SPDY, remote command v4, port-forward; commands are coroutines.

The paths are `/exec/<name>` and `/portforward`; a command gets its streams by name and gives an exit code. Which streams a
command waits for is in the query, as a real runtime knows it from the CRI request.
"""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import orjson

from tiffin.net.http import Connection, Request, Response
from tiffin.net.server import Server
from tiffin.net.spdy import Role
from tiffin.net.spdy_connection import SpdyConnection, SpdyStream

Streams = dict[str, SpdyStream]
Command = Callable[[Streams], Awaitable[int]]


@dataclass
class FakeRuntime:
    commands: dict[str, Command] = field(default_factory=dict)
    ports: dict[int, Callable[[SpdyStream], Awaitable[None]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def exec_url(self, command: str, **streams: bool) -> str:
        wanted = "&".join(name for name, asked in streams.items() if asked)
        return f"{self.url}/exec/{command}?{wanted}"

    @property
    def port_forward_url(self) -> str:
        return f"{self.url}/portforward"

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        parts = request.raw_path.split("/")
        wanted = set(parse_qs(request.target.partition("?")[2], keep_blank_values=True))
        if parts[1] == "exec" and parts[2] == "redirect":
            return Response(302, {"Location": "http://127.0.0.1:1/"})
        if parts[1] == "exec" and parts[2] not in self.commands:
            return Response(404, {"Content-Type": "text/plain"}, b"cannot find session")

        async def serve(connection: Connection) -> None:
            self.busy.set()
            try:
                async with SpdyConnection(connection, Role.SERVER) as spdy:
                    await (self._exec(spdy, self.commands[parts[2]], wanted) if parts[1] == "exec" else self._forward(spdy))
            finally:
                self.idle.set()

        protocol = "v4.channel.k8s.io" if parts[1] == "exec" else "portforward.k8s.io"
        assert protocol in request.headers["x-stream-protocol-version"]
        return Response(101, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}, upgrade=serve)

    async def _exec(self, spdy: SpdyConnection, command: Command, wanted: set[str]) -> None:
        streams: Streams = {}
        expected = {"error"} | (wanted - {"tty"}) | ({"resize"} if "tty" in wanted else set())
        while set(streams) != expected:
            stream = await spdy.accept()
            if stream is None:
                return
            stream.reply()
            streams[stream.headers["streamtype"]] = stream
        running = asyncio.ensure_future(command(streams))
        leaving = asyncio.ensure_future(spdy.wait_closed())
        await asyncio.wait([running, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            running.cancel()
            return
        leaving.cancel()
        streams["error"].write(orjson.dumps(status_of(running.result())))
        for stream in streams.values():
            stream.close()

    async def _forward(self, spdy: SpdyConnection) -> None:
        pairs: dict[str, Streams] = {}
        tasks = set()
        while (stream := await spdy.accept()) is not None:
            stream.reply()
            pair = pairs.setdefault(stream.headers["requestid"], {})
            pair[stream.headers["streamtype"]] = stream
            if len(pair) == 2:
                tasks.add(asyncio.ensure_future(self._one(pair)))
        for task in tasks:
            task.cancel()

    async def _one(self, pair: Streams) -> None:
        port = int(pair["data"].headers["port"])
        if port in self.ports:
            await self.ports[port](pair["data"])
        else:
            pair["error"].write(f"dial tcp4 127.0.0.1:{port}: connect: connection refused".encode())
        for stream in pair.values():
            stream.close()


def status_of(code: int) -> dict[str, object]:
    """The Status a runtime gives for an exit code."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: exit status {code}"
    details = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode", "details": details}


async def cat(streams: Streams) -> int:
    """Copies input to output until the input ends."""
    while data := await streams["stdin"].read():
        streams["stdout"].write(data)
        await streams["stdout"].drain()
    return 0


async def fail(streams: Streams) -> int:
    streams["stdout"].write(b"out")
    streams["stderr"].write(b"err")
    return 3


async def sizes(streams: Streams) -> int:
    """A terminal that prints its first two sizes and ends at ctrl-d."""
    for _ in range(2):
        streams["stdout"].write(await streams["resize"].read())
    return 130 if await streams["stdin"].read() == b"\x03" else 0


async def flood(streams: Streams) -> int:
    for _ in range(64):
        streams["stdout"].write(b"x" * 65536)
        await streams["stdout"].drain()
    return 0


async def forever(streams: Streams) -> int:
    streams["stdout"].write(b"started")
    await asyncio.Event().wait()
    return 0


async def echo(stream: SpdyStream) -> None:
    while data := await stream.read():
        stream.write(data)
        await stream.drain()


COMMANDS: dict[str, Command] = {"cat": cat, "fail": fail, "sizes": sizes, "flood": flood, "forever": forever}


@asynccontextmanager
async def fake_runtime() -> AsyncIterator[FakeRuntime]:
    runtime = FakeRuntime(dict(COMMANDS), {80: echo})
    server = Server(runtime.handle)
    runtime.url = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    try:
        yield runtime
    finally:
        await server.stop(grace=0)
