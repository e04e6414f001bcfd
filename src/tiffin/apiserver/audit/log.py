"""The audit log: JSON lines in a file that is rotated by size.

A log that cannot be written to is told of in the server's own log, once until it works again; requests go on.
"""
from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import orjson

from tiffin.machinery.object import Object

logger = logging.getLogger(__name__)
MEBIBYTE = 1 << 20


class Sink(Protocol):
    """Where events go."""

    def write(self, event: Object) -> None: ...

    async def close(self) -> None: ...


class MemorySink:
    """The in-memory twin."""

    def __init__(self) -> None:
        self.events: list[Object] = []

    def write(self, event: Object) -> None:
        self.events.append(event)

    async def close(self) -> None:
        """Nothing is open."""


class LogFile:
    """Lines appended to `path`; past `max_bytes` the file is renamed with its time, and the newest `backups` of those are kept.

    "-" is the standard output, which is never rotated. The file is readable by its owner alone.
    """

    def __init__(self, path: str, max_bytes: int = 100 * MEBIBYTE, backups: int = 10) -> None:
        self._path, self._max, self._backups = (None if path == "-" else Path(path)), max_bytes, backups
        self._failed = False
        self._file, self._size = -1, 0
        self._open()

    def _open(self) -> None:
        if self._path is None:
            self._file, self._size = sys.stdout.fileno(), 0
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, event: Object) -> None:
        """Written when this returns, so before the request is answered."""
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if self._path is not None and self._size and self._size + len(line) > self._max:
                self._rotate(self._path)
            self._size += _write_all(self._file, line)
            self._failed = False
        except OSError as error:
            if not self._failed:
                logger.error("the audit log cannot be written: %s", error)
            self._failed = True

    def _rotate(self, path: Path) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")
        path.rename(path.with_name(f"{path.stem}-{stamp}{path.suffix}"))
        before = self._file
        self._open()
        os.close(before)
        old = sorted(path.parent.glob(f"{path.stem}-????-??-??T*{path.suffix}"))
        for file in old[: max(0, len(old) - self._backups)]:
            file.unlink(missing_ok=True)

    async def close(self) -> None:
        if self._path is not None:
            os.close(self._file)


def _write_all(file: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view):]
    return len(data)
