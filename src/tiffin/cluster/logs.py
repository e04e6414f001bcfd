"""Logs of a cluster's processes: written with rotation, shown by `tiffin logs`.

A daemon's standard output and error are its log file, so that a traceback or a crash report lands there too. When the file has grown
past its limit the process puts a new one in its place, on the same file descriptors.
"""
from __future__ import annotations

import ctypes
import logging
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

LIMIT = 10 << 20
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_IN_MODIFY, _IN_CREATE, _IN_MOVED_TO, _IN_CLOEXEC = 0x2, 0x100, 0x80, 0o2000000


class StandardError(logging.Handler):
    """Writes to standard error, and begins a new file when standard error is a regular file of more than `limit` bytes."""

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__()
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.flush()
            os.write(2, f"{self.format(record)}\n".encode(errors="replace"))
            self._rotate()
        except OSError:
            self.handleError(record)

    def _rotate(self) -> None:
        status = os.fstat(2)
        if not stat.S_ISREG(status.st_mode) or status.st_size < self._limit or status.st_nlink == 0:
            return
        path = os.readlink("/proc/self/fd/2")
        os.replace(path, f"{path}.1")
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)


def set_up(level: int = logging.INFO) -> None:
    """Sends all of this process' logging to standard error, in UTC."""
    formatter = logging.Formatter(_FORMAT)
    formatter.converter = time.gmtime
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    handler = StandardError()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])


def truncate(log: Path, limit: int = LIMIT) -> None:
    """Rotation for a process that does not do it itself: its content is copied, then cut. The process must append."""
    if log.exists() and log.stat().st_size > limit:
        with open(log, "rb+") as file, open(log.with_name(f"{log.name}.1"), "wb") as older:
            while chunk := file.read(1 << 20):
                older.write(chunk)
            file.truncate(0)


def components(log_dir: Path) -> list[str]:
    """What there are logs of."""
    return sorted(file.stem for file in log_dir.glob("*.log"))


def lines(log: Path, last: int | None) -> list[str]:
    """The file's lines, or the last so many."""
    text = log.read_text(errors="replace").splitlines()
    return text if last is None else text[max(0, len(text) - last) :]


class Follower(AbstractContextManager["Follower"]):
    """Tells what is added to files from now on. The kernel says when there is anything (inotify)."""

    def __init__(self, logs: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(_IN_CLOEXEC)
        self._tails = [_Tail(log) for log in logs]
        for directory in {log.parent for log in logs}:
            if libc.inotify_add_watch(self._watch, os.fsencode(directory), _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO) < 0:
                raise OSError(ctypes.get_errno(), f"cannot watch {directory}")

    def new_lines(self) -> list[tuple[Path, str]]:
        """Waits until something happens to the files, and answers the lines that have become whole since."""
        os.read(self._watch, 65536)
        return [(tail.path, line) for tail in self._tails for line in tail.new_lines()]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._watch)
        for tail in self._tails:
            tail.close()


class _Tail:
    """The end of one file, across rotations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115
        self._file.seek(0, os.SEEK_END)
        self._partial = b""

    def new_lines(self) -> Iterator[str]:
        yield from self._read()
        if self._is_replaced():
            self._file.close()
            self._file = open(self.path, "rb")  # noqa: SIM115
            yield from self._read()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[str]:
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
        *whole, self._partial = (self._partial + self._file.read()).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")

    def _is_replaced(self) -> bool:
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False
