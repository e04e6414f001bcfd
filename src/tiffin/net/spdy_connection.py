"""SPDY over a connection: `SpdyConnection` gives streams that are read and written like any `Connection`.

Rules
* Use it with `async with`; leaving ends every stream and closes the connection.
* One task reads. It waits while any stream has more than `HIGH` bytes that nobody took, so every open stream needs a reader,
  or must be closed.
* A reset stream ends like any other for its reader, as Kubernetes' peers reset streams to close them.
"""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from tiffin.net import spdy
from tiffin.net.http import Connection
from tiffin.net.spdy import Role, Session
from tiffin.net.spdy_frames import ResetStatus, SpdyError

HIGH = 256 * 1024


class SpdyStream:
    """One stream; `headers` are those it was opened with. Also a `Connection`, whose `close` ends our side."""

    def __init__(self, owner: SpdyConnection, id: int, headers: Iterable[tuple[str, str]]) -> None:
        self._owner, self.id, self.headers = owner, id, dict(headers)
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._finished = False
        self._closed = False
        self._changed = asyncio.Event()
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def reply(self) -> None:
        """Accepts a stream that the peer opened."""
        self._owner.call(self._owner.session.reply, self.id)

    async def read(self, limit: int = 65536) -> bytes:
        while not self._chunks and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if len(chunk) > limit:
            self._chunks.appendleft(chunk[limit:])
            chunk = chunk[:limit]
        self._size -= len(chunk)
        self._owner.wake()
        return chunk

    async def read_all(self, limit: int) -> bytes:
        """Everything up to the end, at most the first `limit` bytes; the rest is dropped."""
        data = bytearray()
        while piece := await self.read():
            data += piece[: limit - len(data)]
        return bytes(data)

    def write(self, data: bytes) -> None:
        if not self._finished:
            self._owner.call(self._owner.session.send, self.id, data)

    async def drain(self) -> None:
        await self._owner.drain()

    def finish(self) -> None:
        """Ends our side; reading goes on."""
        if not self._finished:
            self._finished = True
            self._owner.call(self._owner.session.finish, self.id)

    def close(self) -> None:
        """Ends our side and takes no more of the peer's."""
        self.finish()
        self._forget()

    def reset(self, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """Ends both sides at once."""
        self._finished = True
        self._owner.call(self._owner.session.reset, self.id, status)
        self._forget()

    def _forget(self) -> None:
        self._closed = True
        self._chunks.clear()
        self._size = 0
        self.end()
        self._owner.session.release(self.id)
        self._owner.wake()

    # ---- for the owner

    @property
    def full(self) -> bool:
        return self._size > HIGH

    def feed(self, data: bytes) -> None:
        if not self._closed:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.set()

    def end(self, error: Exception | None = None) -> None:
        self._ended = True
        self._changed.set()
        if not self.accepted.done():
            self.accepted.set_exception(error or SpdyError(f"stream {self.id} was refused"))
            self.accepted.exception()  # whoever opened the stream may have given up waiting


class SpdyConnection:
    """The streams of one connection, on the client's or the server's side."""

    def __init__(self, connection: Connection, role: Role) -> None:
        self.session = Session(role)
        self._connection = connection
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._drained = asyncio.Event()
        self._writing = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> SpdyConnection:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._reader is not None
        for stream in list(self._streams.values()):
            stream.close()
        self.call(self.session.go_away)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._connection.close()

    async def open(self, headers: Iterable[tuple[str, str]], timeout: float = 30) -> SpdyStream:
        """Opens a stream and waits until the peer accepts it; raises ConnectionError, also after `timeout` seconds."""
        headers = list(headers)
        stream = SpdyStream(self, self.session.open(headers), headers)
        self._streams[stream.id] = stream
        self._flush()
        try:
            async with asyncio.timeout(timeout):
                await stream.accepted
        except TimeoutError as error:
            raise SpdyError("the peer did not answer to a new stream") from error
        return stream

    async def accept(self) -> SpdyStream | None:
        """The next stream that the peer opened, to be answered by `reply` or `reset`; None when the connection has ended."""
        return await self._opened.get()

    async def wait_closed(self) -> None:
        """Returns when the connection has ended."""
        assert self._reader is not None
        await asyncio.wait([self._reader])

    # ---- for the streams

    def call(self, method: object, *arguments: object) -> None:
        """Calls a method of the session and sends what comes of it; does nothing once the session is broken."""
        try:
            method(*arguments)  # type: ignore[operator]
        except SpdyError:
            return
        self._flush()

    def _flush(self) -> None:
        if data := self.session.output():
            self._connection.write(data)

    async def drain(self) -> None:
        async with self._writing:
            await self._connection.drain()

    def wake(self) -> None:
        self._drained.set()

    # ---- the reading task

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            while data := await self._connection.read():
                for event in self.session.receive(data):
                    self._dispatch(event)
                self._flush()
                while any(stream.full for stream in self._streams.values()):
                    self._drained.clear()
                    await self._drained.wait()
        except OSError as broken:
            error = broken
            self._flush()
        finally:
            for stream in list(self._streams.values()):
                stream.end(error or ConnectionResetError("the connection has ended"))
            self._opened.put_nowait(None)
            self._connection.close()

    def _dispatch(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened(id, headers):
                stream = self._streams[id] = SpdyStream(self, id, headers)
                self._opened.put_nowait(stream)
            case spdy.Replied(id):
                if not self._streams[id].accepted.done():
                    self._streams[id].accepted.set_result(None)
            case spdy.Data(id, data):
                self._streams[id].feed(data)
            case spdy.Finished(id):
                self._streams[id].end()
            case spdy.Reset(id):
                self._streams[id].end(SpdyError(f"stream {id} was refused"))
        self._sweep()

    def _sweep(self) -> None:
        """Forgets streams that have ended both ways, so that a long connection does not grow."""
        if len(self._streams) > 64:
            self._streams = {id: s for id, s in self._streams.items() if self.session.alive(id)}
