"""Container logs: which lines, in which form, and links that must not be followed."""
from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubelet.builders import NOW, run
from tests.kubelet.scripted_runtime import ScriptedRuntime
from tiffin.kubelet import logs, rotation, termination
from tiffin.kubelet.logs import LogFault, Wanted

LINES = [
    "2026-01-01T00:00:01.000000001Z stdout F one",
    "2026-01-01T00:00:02.000000001Z stderr F two",
    "2026-01-01T00:00:03.000000001Z stdout P thr",
    "2026-01-01T00:00:03.500000001Z stdout F ee",
    "2026-01-01T00:00:04.000000001Z stdout F ",
    "2026-01-01T00:00:05.000000001Z stdout F five five",
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "pod" / "main").mkdir(parents=True)
    path = tmp_path / "pod" / "main" / "0.log"
    path.write_text("\n".join(LINES) + "\n")
    return path


async def text(root: Path, path: Path, **wanted: Any) -> str:
    return b"".join([piece async for piece in logs.read(root, path, Wanted(**wanted))]).decode()


@pytest.mark.parametrize(("wanted", "expected"), [
    ({}, "one\ntwo\nthree\n\nfive five\n"),
    ({"tail_lines": 0}, ""),
    ({"tail_lines": 1}, "five five\n"),
    ({"tail_lines": 2}, "\nfive five\n"),
    ({"tail_lines": 100}, "one\ntwo\nthree\n\nfive five\n"),
    ({"stream": "Stderr"}, "two\n"),
    ({"stream": "Stdout", "tail_lines": 5}, "three\n\nfive five\n"),
    ({"since": datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC)}, "\nfive five\n"),
    ({"limit_bytes": 5}, "one\nt"),
    ({"limit_bytes": 0}, ""),
    ({"timestamps": True, "tail_lines": 4}, "2026-01-01T00:00:03.000000001Z three\n2026-01-01T00:00:04.000000001Z \n2026-01-01T00:00:05.000000001Z five five\n"),
])
async def test_what_is_wanted(log: Path, wanted: Any, expected: str) -> None:
    assert await text(log.parent.parent.parent, log, **wanted) == expected


@given(st.lists(st.text(alphabet="ab", max_size=3), max_size=20), st.integers(0, 25))
def test_the_tail_is_the_last_lines(tmp_path_factory: Any, lines: list[str], count: int) -> None:
    path = tmp_path_factory.mktemp("log") / "f"
    path.write_text("".join(f"{line}\n" for line in lines))
    with open(path, "rb") as file:
        offset = logs.tail_offset(file.fileno(), count)
        file.seek(offset)
        assert file.read().decode().splitlines() == (lines[-count:] if count else [])


async def test_long_logs_and_long_lines(log: Path) -> None:
    log.write_text("".join(f"2026-01-01T00:00:01.0Z stdout F {n:07d} {'x' * 50}\n" for n in range(5000)) + f"2026-01-01T00:00:01.0Z stdout F {'y' * 200_000}\n")
    found = await text(log.parent.parent.parent, log)
    assert found.count("\n") == 5001 and found.endswith("y\n")


@pytest.mark.parametrize("where", ["file", "directory", "above"])
async def test_links_are_not_followed(tmp_path: Path, log: Path, where: str) -> None:
    """A pod that can reach its log directory must not read the host's files through `kubectl logs`."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0.log").write_text("2026-01-01T00:00:01.0Z stdout F secret\n")
    root = tmp_path / "logs"
    (root / "pod").mkdir(parents=True)
    path = root / "pod" / "main" / "0.log"
    if where == "file":
        path.parent.mkdir()
        path.symlink_to(outside / "0.log")
    elif where == "directory":
        path.parent.symlink_to(outside)
    else:
        path = root / ".." / "outside" / "0.log"
    with pytest.raises(LogFault):
        await text(root, path)


async def test_following_until_the_container_ends(log: Path) -> None:
    over = asyncio.Event()
    found: list[bytes] = []

    async def reader() -> None:
        async def ended() -> None:
            await over.wait()

        async for piece in logs.follow(log.parent.parent.parent, log, Wanted(tail_lines=1), ended):
            found.append(piece)

    async def until(text: bytes) -> None:
        async with asyncio.timeout(5):
            while not b"".join(found).endswith(text):
                await asyncio.sleep(0.002)

    task = asyncio.create_task(reader())
    await until(b"five five\n")
    with open(log, "a") as file:
        file.write("2026-01-01T00:00:06.0Z stdout F six\n")
    await until(b"six\n")
    log.rename(log.with_name("0.log.20260101-000000"))
    with open(log.with_name("0.log.20260101-000000"), "a") as file:
        file.write("2026-01-01T00:00:07.0Z stdout F seven\n")
    log.write_text("2026-01-01T00:00:08.0Z stdout F eight\n")
    await until(b"eight\n")
    with open(log, "a") as file:
        file.write("2026-01-01T00:00:09.0Z stdout F nine\n")
    over.set()
    await asyncio.wait_for(task, 5)
    assert b"".join(found) == b"five five\nsix\nseven\neight\nnine\n"


async def test_rotation(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    runtime = ScriptedRuntime()
    current = run(log_path=str(path))
    for number in range(6):
        path.write_text(f"{number}" * 100)
        assert await rotation.rotate(current, runtime, 50, 3, NOW.replace(minute=number))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.log.20260101-120400.gz", "0.log.20260101-120500"]
    assert gzip.decompress((tmp_path / "0.log.20260101-120400.gz").read_bytes()) == b"4" * 100
    path.write_text("small")
    assert not await rotation.rotate(current, runtime, 50, 3, NOW)


def test_termination_messages(tmp_path: Path) -> None:
    said, log = tmp_path / "said", tmp_path / "log"
    said.write_text("x" * 5000)
    log.write_text("2026-01-01T00:00:01.0Z stdout F first\n2026-01-01T00:00:01.0Z stderr P sec\n2026-01-01T00:00:01.0Z stderr F ond\n")
    told = {"tiffin.dev/termination-message-file": str(said), "io.kubernetes.container.terminationMessagePolicy": "FallbackToLogsOnError"}
    assert termination.with_message(run(code=1, annotations=told)).message == "x" * 4096
    said.write_text("")
    assert termination.with_message(run(code=1, annotations=told, log_path=str(log))).message == "first\nsecond\n"
    assert termination.with_message(run(code=0, annotations=told, log_path=str(log))).message == ""
    assert termination.with_message(run(annotations=told)).message == ""
    said.unlink()
    said.symlink_to("/etc/hostname")
    assert "Error on reading termination log" in termination.with_message(run(code=0, annotations=told)).message
