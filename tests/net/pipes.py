"""Two ends of a connection in memory."""
from __future__ import annotations

import asyncio


class End:
    """A `Connection`: what one end writes the other reads."""

    def __init__(self) -> None:
        self.other: End
        self._received = bytearray()
        self._ended = False
        self._changed = asyncio.Event()
        self.closed = False

    async def read(self, limit: int = 65536) -> bytes:
        while not self._received and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._received[:limit])
        del self._received[:limit]
        self._changed.set()
        self.other._changed.set()
        return data

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.other._received += data
            self.other._changed.set()

    async def drain(self) -> None:
        if self.closed:
            raise ConnectionResetError
        while len(self.other._received) > 1 << 20 and not self.other.closed:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        self.closed = True
        for end in (self, self.other):
            end._ended = True
            end._changed.set()


def pipe() -> tuple[End, End]:
    a, b = End(), End()
    a.other, b.other = b, a
    return a, b
