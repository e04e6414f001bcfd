"""Reading container logs as CRI writes them: `2024-01-31T08:09:10.123456789Z stdout F text`, one file per run.

The file lies in a directory that a runtime fills on behalf of pods, so it is opened beneath the log root and no link is followed
anywhere on the way. Following waits for the kernel's word (inotify) or for the container's end; a rotated file is read to its end
before its successor.
"""
from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tiffin.kubelet import syscalls
from tiffin.kubelet.inotify import Notifier

BLOCK = 64 * 1024
MAX_LINE = 1024 * 1024
"""Bytes of a line after which it is handed on in pieces; CRI itself cuts at 16 KiB."""
_STREAMS = {"All": (b"stdout", b"stderr"), "Stdout": (b"stdout",), "Stderr": (b"stderr",)}


class LogFault(Exception):
    """The log cannot be read; the text is fit for the user."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a log: the last lines, from a moment on, at most so many bytes, of one stream or All."""

    tail_lines: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    stream: str = "All"


def open_log(root: Path, path: Path) -> int:
    """A descriptor of a log file beneath the log root, no link followed. Raises LogFault."""
    try:
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return syscalls.open_beneath(directory, str(path.relative_to(root)), os.O_RDONLY | os.O_NOFOLLOW, links=False)
        finally:
            os.close(directory)
    except ValueError as error:
        raise LogFault(f"the log {path} is not a log of a pod") from error
    except OSError as error:
        raise LogFault(f'failed to try resolving symlinks in path "{path}": {error.strerror}') from error


class Cutter:
    """Turns raw log lines into what was asked for."""

    def __init__(self, wanted: Wanted) -> None:
        self._streams = _STREAMS[wanted.stream]
        self._since = wanted.since.strftime("%Y-%m-%dT%H:%M:%S.%f").encode() if wanted.since else b""
        self._timestamps = wanted.timestamps
        self._left = wanted.limit_bytes
        self._continues = dict.fromkeys(self._streams, False)

    @property
    def is_full(self) -> bool:
        return self._left is not None and self._left <= 0

    def cut(self, line: bytes) -> bytes:
        """The output for one line of the file, without its line feed."""
        parts = line.split(b" ", 3)
        if len(parts) < 3 or parts[1] not in self._streams or _before(parts[0], self._since):
            return b""
        moment, stream, tags = parts[:3]
        text = parts[3] if len(parts) == 4 else b""
        partial = tags.partition(b":")[0] == b"P"
        prefix = moment + b" " if self._timestamps and not self._continues[stream] else b""
        self._continues[stream] = partial
        out = prefix + text + (b"" if partial else b"\n")
        if self._left is not None:
            out = out[: max(self._left, 0)]
            self._left -= len(out)
        return out


def _before(moment: bytes, since: bytes) -> bool:
    """Whether an RFC 3339 time in UTC is earlier; compared as text, which is right for equal zones."""
    return bool(since) and moment[: len(since)].rstrip(b"Z") < since


def tail_offset(descriptor: int, lines: int) -> int:
    """Where the last `lines` lines of a file begin."""
    end = os.fstat(descriptor).st_size
    if lines <= 0:
        return end
    position, found = end, 0
    while position > 0:
        size = min(BLOCK, position)
        position -= size
        block = os.pread(descriptor, size, position)
        at = len(block) - 1 if position + size == end and block.endswith(b"\n") else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == lines:
                return position + at + 1
    return 0


class _Reader:
    """Lines of an open file from an offset on."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self.descriptor, self._offset, self._rest = descriptor, offset, b""

    def lines(self) -> list[bytes]:
        """Whole lines that are there now; [] at the end."""
        data = os.pread(self.descriptor, BLOCK, self._offset)
        if not data:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines, self._rest = [*lines, self._rest], b""
        return lines or ([] if len(data) < BLOCK else self.lines())


async def read(root: Path, path: Path, wanted: Wanted) -> AsyncIterator[bytes]:
    """What is in a log now. Raises LogFault."""
    descriptor = open_log(root, path)
    try:
        cutter = Cutter(wanted)
        reader = _Reader(descriptor, 0 if wanted.tail_lines is None else tail_offset(descriptor, wanted.tail_lines))
        while (lines := reader.lines()) and not cutter.is_full:
            if out := b"".join(map(cutter.cut, lines)):
                yield out
            await asyncio.sleep(0)  # a long log must not hold up the node
    finally:
        os.close(descriptor)


async def follow(root: Path, path: Path, wanted: Wanted, ended: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    """What is in a log now and what comes, until `ended()` returns and all is read. Raises LogFault."""
    descriptor = open_log(root, path)
    over = asyncio.ensure_future(ended())
    try:
        with Notifier() as notifier:
            notifier.watch(str(path.parent), syscalls.IN_MODIFY | syscalls.IN_CREATE | syscalls.IN_MOVED_TO)
            cutter = Cutter(wanted)
            reader = _Reader(descriptor, 0 if wanted.tail_lines is None else tail_offset(descriptor, wanted.tail_lines))
            while True:
                finished = over.done()
                while (lines := reader.lines()) and not cutter.is_full:
                    if out := b"".join(map(cutter.cut, lines)):
                        yield out
                    await asyncio.sleep(0)
                if cutter.is_full:
                    return
                if _was_replaced(descriptor, path):
                    successor = open_log(root, path)
                    os.close(descriptor)
                    descriptor, reader = successor, _Reader(successor, 0)
                elif finished:
                    return
                else:
                    await _next(notifier, over)
    finally:
        over.cancel()
        os.close(descriptor)


def _was_replaced(descriptor: int, path: Path) -> bool:
    """Whether another file bears the name now."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


async def _next(notifier: Notifier, over: asyncio.Future[None]) -> None:
    """Wait for a change or for the container's end."""
    change = asyncio.ensure_future(notifier.changes())
    both: list[asyncio.Future[Any]] = [change, over]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
