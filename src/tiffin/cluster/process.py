"""Daemons: started in a session of their own, known again by pid and start time, ended politely and then surely.

A pid file names a process only together with the tick at which it started and the boot it started in: pids come round again, and
nothing is signalled that is not ours.
"""
from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tiffin import __version__
from tiffin.cluster import netns
from tiffin.cluster.state import write_atomically

_LOG_LIMIT = 10 << 20


def tiffin_command(*arguments: str) -> list[str]:
    """The command line that runs this very tiffin."""
    return [sys.executable, "-m", "tiffin", *arguments]


@dataclass(frozen=True)
class Daemon:
    """A background process of a cluster. `name` is also the name of its log."""

    name: str
    pid_file: Path
    log_file: Path

    def pid(self) -> int | None:
        """Its pid while it lives, else None."""
        note = self._note()
        pid = note.get("pid")
        if not isinstance(pid, int) or note.get("boot") != _boot() or start_ticks(pid) != note.get("started"):
            return None
        return pid

    def runs(self, command: Sequence[str]) -> bool:
        """Whether it lives and was started with this very command by this version of tiffin."""
        return self.pid() is not None and self._note().get("command") == _fingerprint(command)

    def start(
        self,
        command: Sequence[str],
        *,
        extra: Sequence[str] = (),
        namespace: Path | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> int:
        """Starts it, in the network namespace if one is given, and answers its pid.

        `extra` arguments concern this start only, such as the number of a pipe; `runs` does not compare them.
        """
        self.pid_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotate(self.log_file)
        with open(os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab") as log:

            def spawn() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    [*command, *extra],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env={**os.environ, **(environment or {})},
                    pass_fds=pass_fds,
                    start_new_session=True,
                )

            process = netns.inside(namespace, spawn)
        note = {"pid": process.pid, "started": start_ticks(process.pid), "boot": _boot(), "command": _fingerprint(command)}
        write_atomically(self.pid_file, orjson.dumps(note))
        # The daemon outlives this process; without this Python would warn that it was not waited for.
        process.returncode = 0
        return process.pid

    def _note(self) -> dict[str, Any]:
        """The pid file; empty when there is none or it was cut short."""
        try:
            note = orjson.loads(self.pid_file.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        return note if isinstance(note, dict) else {}

    def log_tail(self, lines: int = 15) -> str:
        """The last lines it wrote, for saying why it did not start."""
        try:
            with open(self.log_file, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def stop(daemons: Sequence[Daemon], grace: float) -> None:
    """SIGTERM to all at once, SIGKILL to those that live on after `grace` seconds; returns when none lives."""
    living = {}
    for daemon in daemons:
        pid = daemon.pid()
        if pid is not None and (descriptor := _pidfd(pid)) is not None:
            living[descriptor] = daemon
            _signal(descriptor, signal.SIGTERM)
    for descriptor in _wait_for_end(set(living), grace):
        _signal(descriptor, signal.SIGKILL)
    _wait_for_end(set(living), 10)
    for descriptor in living:
        os.close(descriptor)
    for daemon in daemons:
        daemon.pid_file.unlink(missing_ok=True)


def end_pids(pids: Sequence[int], grace: float) -> None:
    """The same for processes that have no pid file, such as containers' own."""
    descriptors = {descriptor for pid in pids if (descriptor := _pidfd(pid)) is not None}
    if grace > 0:
        for descriptor in descriptors:
            _signal(descriptor, signal.SIGTERM)
    for descriptor in _wait_for_end(set(descriptors), grace):
        _signal(descriptor, signal.SIGKILL)
    _wait_for_end(set(descriptors), 10)
    for descriptor in descriptors:
        os.close(descriptor)


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none or only its exit status is left."""
    try:
        # The command name, in parentheses, may hold anything: count from the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def rotate(log: Path, limit: int = _LOG_LIMIT) -> None:
    """Keeps one older log, once the present one has grown past `limit` bytes."""
    try:
        if log.stat().st_size > limit:
            log.replace(log.with_name(log.name + ".1"))
    except FileNotFoundError:
        pass


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _fingerprint(command: Sequence[str]) -> str:
    return hashlib.sha256("\0".join([__version__, *command]).encode()).hexdigest()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _signal(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        pass


def _wait_for_end(descriptors: set[int], seconds: float) -> set[int]:
    """Those still running when the time is up. A pidfd is readable once its process has ended."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while descriptors and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            poll.unregister(descriptor)
            descriptors.discard(descriptor)
    return descriptors
