"""Waiting for a process to say that it is ready, or to end first: events of file descriptors, never a clock."""
from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

from tiffin.cluster.containerd import ReadySocket
from tiffin.cluster.process import Daemon

T = TypeVar("T")


class NotReady(Exception):
    """A daemon ended, or did not become ready in time; the message ends with the last lines of its log."""


async def pipe_line(daemon: Daemon, descriptor: int, seconds: float) -> str:
    """The line the daemon writes to the pipe. The pipe's other end must be the daemon's alone, so that its death closes it."""

    def read() -> str | None:
        content = os.read(descriptor, 4096)
        if not content:
            raise NotReady(f"{daemon.name} ended while it started")
        return content.decode().strip()

    return await _first(daemon, descriptor, read, seconds)


async def notification(daemon: Daemon, notify: ReadySocket, seconds: float) -> None:
    """Returns when the daemon has said READY=1."""
    await _first(daemon, notify.fileno(), lambda: True if notify.is_ready() else None, seconds)


async def _first(daemon: Daemon, descriptor: int, read: Callable[[], T | None], seconds: float) -> T:
    """What `read` answers, called whenever the descriptor is readable, until it answers something but None."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def on_readable() -> None:
        if result.done():
            return
        try:
            answer = read()
        except NotReady as error:
            result.set_exception(error)
        else:
            if answer is not None:
                result.set_result(answer)

    try:
        return await _watched(daemon, descriptor, on_readable, result, seconds)
    except TimeoutError as error:
        raise NotReady(_with_log(f"{daemon.name} was not ready within {seconds:.0f} s", daemon)) from error
    except NotReady as error:
        raise NotReady(_with_log(str(error), daemon)) from error


async def _watched(daemon: Daemon, descriptor: int, on_readable: Callable[[], None], result: asyncio.Future[T], seconds: float) -> T:
    loop = asyncio.get_running_loop()
    pid = daemon.pid()
    if pid is None:
        raise NotReady(f"{daemon.name} ended while it started")
    process = os.pidfd_open(pid)

    def on_end() -> None:
        if not result.done():
            result.set_exception(NotReady(f"{daemon.name} ended while it started"))

    loop.add_reader(descriptor, on_readable)
    loop.add_reader(process, on_end)
    try:
        async with asyncio.timeout(seconds):
            return await result
    finally:
        loop.remove_reader(descriptor)
        loop.remove_reader(process)
        os.close(process)


def _with_log(message: str, daemon: Daemon) -> str:
    tail = daemon.log_tail()
    return f"{message}; its log ({daemon.log_file}) ends with:\n{tail}" if tail else f"{message}; its log is {daemon.log_file}"

