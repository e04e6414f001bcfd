"""Daemons: known again, never mistaken for another process, ended politely and surely."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tiffin.cluster import readiness
from tiffin.cluster.containerd import ReadySocket
from tiffin.cluster.gate import Gate, pass_through
from tiffin.cluster.process import Daemon, end_pids, rotate, start_ticks, stop

STUBBORN = "import os, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(int(sys.argv[1]), b'ready 1'); signal.pause()"
POLITE = "import os, signal, sys; os.write(int(sys.argv[1]), b'ready 1'); signal.pause()"


@pytest.fixture
def daemon(tmp_path: Path):  # type: ignore[no-untyped-def]
    daemon = Daemon("d", tmp_path / "pids" / "d.pid", tmp_path / "logs" / "d.log")
    yield daemon
    stop([daemon], 0)


async def started(daemon: Daemon, program: str) -> int:
    """The daemon's pid, once it has said that it is ready."""
    ours, theirs = os.pipe()
    try:
        pid = daemon.start([sys.executable, "-c", program], extra=[str(theirs)], pass_fds=[theirs])
        os.close(theirs)
        assert await readiness.pipe_line(daemon, ours, 30) == "ready 1"
    finally:
        os.close(ours)
    return pid


async def test_is_known_again_and_ended(daemon: Daemon) -> None:
    pid = await started(daemon, POLITE)
    assert daemon.pid() == pid and os.getsid(pid) == pid
    assert daemon.runs([sys.executable, "-c", POLITE])
    assert not daemon.runs([sys.executable, "-c", STUBBORN])
    stop([daemon], 30)
    assert daemon.pid() is None and not daemon.pid_file.exists()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    stop([daemon], 30)


async def test_who_ignores_sigterm_is_killed(daemon: Daemon) -> None:
    pid = await started(daemon, STUBBORN)
    stop([daemon], 0.01)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


async def test_another_process_of_the_same_pid_is_not_ours(daemon: Daemon) -> None:
    pid = await started(daemon, POLITE)
    note = orjson.loads(daemon.pid_file.read_bytes())
    for change in ({"started": note["started"] - 1}, {"boot": "another"}, {"pid": os.getpid()}, {"pid": "x"}):
        daemon.pid_file.write_bytes(orjson.dumps({**note, **change}))
        assert daemon.pid() is None
    for content in (b"", b"[]", b"{}", b"17"):
        daemon.pid_file.write_bytes(content)
        assert daemon.pid() is None
    end_pids([pid], 0)
    os.waitpid(pid, 0)


async def test_one_that_ends_while_it_starts_says_why(daemon: Daemon) -> None:
    ours, theirs = os.pipe()
    daemon.start([sys.executable, "-c", "raise SystemExit('the disk is on fire')"], extra=[str(theirs)], pass_fds=[theirs])
    os.close(theirs)
    with pytest.raises(readiness.NotReady, match=r"(?s)d ended while it started.*the disk is on fire"):
        await readiness.pipe_line(daemon, ours, 30)
    os.close(ours)


async def test_one_that_says_nothing_is_given_up(daemon: Daemon) -> None:
    ours, theirs = os.pipe()
    daemon.start([sys.executable, "-c", "import signal; signal.pause()"], extra=[str(theirs)], pass_fds=[theirs])
    with pytest.raises(readiness.NotReady, match="was not ready within 0 s"):
        await readiness.pipe_line(daemon, ours, 0.05)
    os.close(ours)
    os.close(theirs)


async def test_readiness_by_notification(daemon: Daemon, tmp_path: Path) -> None:
    notify = ReadySocket(tmp_path / "n.sock")
    program = "import os, signal, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); a = os.environ['NOTIFY_SOCKET']; "
    program += "s.sendto(b'STATUS=soon', a); s.sendto(b'X=1\\nREADY=1', a); signal.pause()"
    daemon.start([sys.executable, "-c", program], environment=notify.environment)
    await readiness.notification(daemon, notify, 30)
    notify.close()
    assert not notify.path.exists()


async def test_what_it_says_and_where_it_runs_is_its_owners_only(daemon: Daemon) -> None:
    await started(daemon, POLITE)
    places = (daemon.log_file, daemon.log_file.parent, daemon.pid_file.parent)
    assert [place.stat().st_mode & 0o077 for place in places] == [0, 0, 0]


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_ticks(process.pid) is None
    process.communicate()
    assert start_ticks(process.pid) is None
    assert start_ticks(os.getpid()) is not None


def test_a_log_that_has_grown_gives_way(tmp_path: Path) -> None:
    log = tmp_path / "d.log"
    rotate(log)
    log.write_text("12345")
    rotate(log, limit=5)
    assert log.exists()
    rotate(log, limit=4)
    assert not log.exists() and (tmp_path / "d.log.1").read_text() == "12345"


async def test_a_gate_holds_until_it_is_opened() -> None:
    with Gate() as gate:
        assert gate.arguments == ["--gate-fd", str(gate.descriptor)]
        waiting = [asyncio.create_task(pass_through(os.dup(gate.descriptor))) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        gate.open()
        gate.open()
        await asyncio.gather(*waiting, pass_through(os.dup(gate.descriptor)), pass_through(-1))


async def test_a_gate_opens_when_its_keeper_is_gone() -> None:
    with Gate() as gate:
        waiting = asyncio.create_task(pass_through(os.dup(gate.descriptor)))
    await waiting
