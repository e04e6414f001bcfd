"""Being told of changes in directories and files, by way of the event loop."""
from __future__ import annotations

import asyncio
import os
import struct
from typing import NamedTuple

from tiffin.kubelet import syscalls

_HEADER = struct.Struct("iIII")


class Change(NamedTuple):
    """What happened: the watch it concerns, inotify's bits, and the name within a directory."""

    watch: int
    mask: int
    name: str


class Notifier:
    """An inotify descriptor. Use as a context manager."""

    def __init__(self) -> None:
        self._descriptor = syscalls.inotify()
        self._readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._readable.set)

    def __enter__(self) -> Notifier:
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def watch(self, path: str, mask: int) -> int:
        """Watch a path; answers the number its changes bear. Raises OSError."""
        return syscalls.inotify_watch(self._descriptor, path, mask)

    async def changes(self) -> list[Change]:
        """What happened since the last call, at least one thing."""
        while True:
            await self._readable.wait()
            self._readable.clear()
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                continue
            if data:
                return list(self._parsed(data))

    @staticmethod
    def _parsed(data: bytes) -> list[Change]:
        found, at = [], 0
        while at < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            found.append(Change(watch, mask, data[at:at + length].rstrip(b"\0").decode(errors="surrogateescape")))
            at += length
        return found
