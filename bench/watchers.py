"""A process of many watchers: `python -m bench.watchers PORT WATCHERS WRITES`, the token in BENCH_TOKEN.

Says `ready` when all of them watch, and at the end, as JSON, when (`time.monotonic`) each write had reached the last of them.
"""
from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time

import orjson
import uvloop

REQUEST = "GET /api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
ADDED, MODIFIED = b'{"type":"ADDED"', b'{"type":"MODIFIED"'


class Watcher(asyncio.Protocol):
    """Counts the events that come; it trusts that they are in order, which tests have shown."""

    def __init__(self, tally: Tally) -> None:
        self.tally, self.count, self.ready = tally, 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        transport.write(REQUEST.format(os.environ["BENCH_TOKEN"]).encode())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.ready and ADDED in data:
            self.ready = True
            self.tally.one_ready()
        for _ in range(data.count(MODIFIED)):
            self.tally.arrived(self.count)
            self.count += 1


class Tally:
    """How many watchers have had each write."""

    def __init__(self, watchers: int, writes: int) -> None:
        self.watchers, self.left = watchers, [watchers] * writes
        self.times: list[float] = [0.0] * writes
        self.unready = watchers
        self.all_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.all_arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def one_ready(self) -> None:
        self.unready -= 1
        if not self.unready:
            self.all_ready.set_result(None)

    def arrived(self, number: int) -> None:
        self.left[number] -= 1
        if not self.left[number]:
            self.times[number] = time.monotonic()
            if number == len(self.left) - 1:
                self.all_arrived.set_result(None)


async def main(port: int, watchers: int, writes: int) -> None:
    tally = Tally(watchers, writes)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a benchmark's own server on loopback
    loop = asyncio.get_running_loop()
    for start in range(0, watchers, 50):
        await asyncio.gather(*(loop.create_connection(lambda: Watcher(tally), "127.0.0.1", port, ssl=context) for _ in range(start, min(start + 50, watchers))))
    await tally.all_ready
    print("ready", flush=True)
    await tally.all_arrived
    print(orjson.dumps(tally.times).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:4])))
