"""A whole API server in this process over a memory store: requests go straight to its handler, answers come back decoded."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tiffin.apiserver.aggregation import frontproxy
from tiffin.apiserver.server import Assembly, Options
from tiffin.machinery.object import Object
from tiffin.net.http import Request, Response
from tiffin.net.pki import Pki, ensure_pki
from tiffin.store.log import Log, MemoryLog
from tiffin.store.mvcc import Mvcc
from tiffin.store.store import Store

ADMIN, NOBODY = "admin-token", "nobody-token"
TOKENS = (f'{ADMIN},admin,1,"system:masters"', f"{NOBODY},nobody,2")
JSON = "application/json"
MERGE, JSON_PATCH, STRATEGIC, APPLY = (
    "application/merge-patch+json", "application/json-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml")


@dataclass(frozen=True)
class Answer:
    """What came back: `object` is the decoded body where it is JSON, `text` in every case."""

    status: int
    headers: dict[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def object(self) -> Any:
        return orjson.loads(self.body)

    @property
    def reason(self) -> str:
        return self.object.get("reason", "")

    @property
    def message(self) -> str:
        return self.object.get("message", "")

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.object["items"]]

    @property
    def revision(self) -> int:
        return int(self.object["metadata"]["resourceVersion"])


class Stream:
    """A `Writer` that keeps what a watch sends. `stalled` makes the peer a slow one."""

    def __init__(self) -> None:
        self.data = b""
        self.buffered = 0
        self.stalled = False
        self.closed = False
        self.ended = False
        self._changed = asyncio.Event()
        self._left = asyncio.Event()
        self._taken = 0
        self._parsed = 0
        self._events: list[Object] = []

    def write(self, data: bytes) -> None:
        self.data += data
        if self.stalled:
            self.buffered += len(data)
        self._changed.set()

    async def drain(self) -> None:
        await asyncio.sleep(0)
        if self.closed:
            raise ConnectionResetError("the peer has gone")

    async def wait_closed(self) -> None:
        await self._left.wait()

    def leave(self) -> None:
        self.closed = True
        self._left.set()

    def end(self) -> None:
        self.ended = True
        self._changed.set()

    @property
    def events(self) -> list[Object]:
        """What a watch in JSON has sent so far."""
        end = self.data.rfind(b"\n") + 1
        self._events += [orjson.loads(line) for line in self.data[self._parsed:end].split(b"\n") if line]
        self._parsed = max(self._parsed, end)
        return self._events

    async def next(self) -> Object:
        """The next event not yet taken, as soon as it has come."""
        await self._wait(lambda: len(self.events) > self._taken)
        self._taken += 1
        return self.events[self._taken - 1]

    async def until_ended(self) -> list[Object]:
        await self._wait(lambda: self.ended)
        return self.events

    async def _wait(self, condition: Any) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@dataclass
class InProcess:
    """Requests to one server. Paths are those of the API, without host."""

    assembly: Assembly
    streams: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.assembly.store

    async def raw(self, method: str, target: str, body: bytes = b"", token: str | None = ADMIN, **headers: Any) -> Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        return await self.assembly.api.handle(Request(method, target, sent, body, "127.0.0.1"))

    async def call(self, method: str, target: str, body: Any = None, token: str | None = ADMIN, type: str = JSON, **headers: str) -> Answer:
        """One request with a body that is encoded unless it is bytes."""
        data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        if data:
            headers["content_type"] = type
        response = await self.raw(method, target, data, token, **headers)
        assert response.stream is None and response.upgrade is None
        warnings = tuple(text for name, text in response.repeated_headers if name == "Warning")
        return Answer(response.status, response.headers, response.body, warnings)

    async def get(self, target: str, **options: Any) -> Answer:
        return await self.call("GET", target, **options)

    async def post(self, target: str, body: Any, **options: Any) -> Answer:
        return await self.call("POST", target, body, **options)

    async def put(self, target: str, body: Any, **options: Any) -> Answer:
        return await self.call("PUT", target, body, **options)

    async def patch(self, target: str, body: Any, type: str = MERGE, **options: Any) -> Answer:
        return await self.call("PATCH", target, body, type=type, **options)

    async def delete(self, target: str, body: Any = None, **options: Any) -> Answer:
        return await self.call("DELETE", target, body, **options)

    async def made(self, target: str, obj: Object) -> Object:
        """Creates what must be creatable; gives it as stored."""
        answer = await self.post(target, obj)
        assert answer.status == 201, answer.text
        return answer.object  # type: ignore[no-any-return]

    async def watch(self, target: str, **headers: Any) -> Stream:
        """A watch that runs until the test ends or the stream's `leave`."""
        response = await self.raw("GET", target, **headers)
        assert response.stream is not None, response.body
        stream = Stream()

        async def run() -> None:
            assert response.stream is not None
            try:
                await response.stream(stream)
            finally:
                stream.end()

        self.streams.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
        return stream

    async def stop(self) -> None:
        for task in self.streams:
            task.cancel()
        results = await asyncio.gather(*self.streams, return_exceptions=True)
        await self.assembly.stop()
        for result in results:
            assert result is None or isinstance(result, asyncio.CancelledError | ConnectionError), result


@asynccontextmanager
async def in_process(
    pki: Pki, log: Log | None = None, index: Mvcc | None = None, legacy_apis: bool = False, pod_security_policy: bool = False,
) -> AsyncIterator[InProcess]:
    """A started server without listening sockets, controllers and scheduler."""
    options = Options(pki, TOKENS, "127.0.0.1:6443", "10.96.0.0/16", legacy_apis=legacy_apis, pod_security_policy=pod_security_policy)
    assembly = Assembly(Store(log or MemoryLog(), index), options)
    await assembly.start()
    assembly.is_ready = True
    await assembly.reader.appears(frontproxy.CONFIG_MAPS, frontproxy.NAMESPACE, frontproxy.NAME, 10)  # or it moves the revision some time
    running = InProcess(assembly)
    for account in ("default",):  # made by a controller that does not run here
        for namespace in ("default", "kube-system"):
            await running.made(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
    try:
        yield running
    finally:
        await running.stop()


def make_pki(directory: Path) -> Pki:
    return ensure_pki(directory, ["127.0.0.1", "localhost"])
