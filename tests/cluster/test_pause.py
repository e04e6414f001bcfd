"""The pause program: run where the machine can, read word by word where it cannot."""
from __future__ import annotations

import os
import platform
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from tiffin.cluster.pause import pause_program

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
runs_here = pytest.mark.skipif(not ARCHITECTURE, reason="no pause program for this machine")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "pause"
    file.write_bytes(pause_program(ARCHITECTURE))
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("architecture, machine", [("amd64", 62), ("arm64", 183)])
def test_is_a_static_executable(architecture: str, machine: int) -> None:
    program = pause_program(architecture)
    assert program[:7] == b"\x7fELF\x02\x01\x01"
    kind, found, version, entry, headers = struct.unpack_from("<HHIQQ", program, 16)
    assert (kind, found, version, headers) == (2, machine, 1, 64)
    segment, flags, offset, address, _, size, memory, alignment = struct.unpack_from("<IIQQQQQQ", program, 64)
    assert (segment, flags, offset, size, memory) == (1, 5, 0, len(program), len(program))
    assert address % alignment == offset % alignment
    assert entry == address + 64 + 56
    assert len(program) < 300


def test_arm64_jumps_land_where_they_mean_to() -> None:
    """The listing in words: `wait` begins at 8, `exit` at 20, `reap` at 23."""
    words = struct.unpack("<32I", pause_program("arm64")[64 + 56 :])
    jumps = {at: at + _distance(word) for at, word in enumerate(words) if word >> 24 in (0x54, 0x14, 0x17)}
    assert jumps == {15: 23, 17: 20, 19: 8, 30: 23, 31: 8}


def _distance(word: int) -> int:
    bits, value = (19, word >> 5 & 0x7FFFF) if word >> 24 == 0x54 else (26, word & 0x3FFFFFF)
    return value - (1 << bits) if value >> (bits - 1) else value


def test_other_machines_are_named() -> None:
    with pytest.raises(ValueError, match="no pause program for riscv64"):
        pause_program("riscv64")


@runs_here
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_told(program: Path, number: signal.Signals) -> None:
    process = _started(program)
    process.send_signal(number)
    assert process.wait(timeout=10) == 0


@runs_here
def test_outlives_other_signals(program: Path) -> None:
    process = _started(program)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM):
        process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


@runs_here
@pytest.mark.node
@pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace takes root")
def test_reaps_orphans_and_ends_as_process_1(program: Path) -> None:
    """The shell leaves a child behind and becomes the pause program, process 1 of its namespace; the child ends and is reaped."""
    script = f"exec 3<&0; read line <&3 & exec {program}"
    process = subprocess.Popen(["unshare", "--fork", "--pid", "--kill-child", "sh", "-c", script], stdin=subprocess.PIPE)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    first = _eventually(lambda: children.read_text().split(), "process 1 of the namespace")[0]
    _eventually(lambda: Path(f"/proc/{first}/comm").read_text().strip() == "pause", "the pause program")
    assert process.stdin
    process.stdin.close()
    _eventually(lambda: not Path(f"/proc/{first}/task/{first}/children").read_text().split(), "no children")
    os.kill(int(first), signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def _started(program: Path) -> subprocess.Popen[bytes]:
    """The program once it waits for signals, as the number of the system call it is in shows."""
    process = subprocess.Popen([program])
    call = Path(f"/proc/{process.pid}/syscall")
    number = {"amd64": "128", "arm64": "137"}[ARCHITECTURE]
    _eventually(lambda: call.read_text().split()[0] == number, "rt_sigtimedwait")
    return process


def _eventually(condition, what: str):  # type: ignore[no-untyped-def]
    """What `condition` answers once it is true; looks again as fast as it can, a bounded number of times."""
    for _ in range(200_000):
        if answer := condition():
            return answer
        os.sched_yield()
    raise AssertionError(f"never came: {what}")
