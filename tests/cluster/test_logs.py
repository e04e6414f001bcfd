"""Logs: rotated under the process that writes them, followed across rotations."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tiffin.cluster import logs

_WRITER = """
import logging, sys
from tiffin.cluster import logs
logs.LIMIT = 0
logs.set_up()
logging.getLogger("x").handlers = [logs.StandardError(limit=int(sys.argv[1]))]
for n in range(3):
    logging.getLogger("x").info("line %d", n)
print("stdout", file=sys.stderr)
"""


def test_a_process_rotates_its_own_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with open(log, "ab") as stream:
        subprocess.run([sys.executable, "-c", _WRITER, "1"], stdout=stream, stderr=stream, check=True)
    assert "stdout" in log.read_text()
    assert "line 2" in (tmp_path / "x.log.1").read_text()


def test_nothing_is_rotated_that_is_no_file() -> None:
    result = subprocess.run([sys.executable, "-c", _WRITER, "1"], capture_output=True, text=True, check=True)
    assert [line for line in result.stderr.splitlines() if line.startswith("line")] == ["line 0", "line 1", "line 2"]


def test_lines_and_components(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("a\nb\nc\n")
    (tmp_path / "node-1.log").write_text("")
    (tmp_path / "server.log.1").write_text("old\n")
    assert logs.components(tmp_path) == ["node-1", "server"]
    assert logs.lines(tmp_path / "server.log", None) == ["a", "b", "c"]
    assert logs.lines(tmp_path / "server.log", 2) == ["b", "c"]
    assert logs.lines(tmp_path / "server.log", 0) == []


def test_following_across_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("before\n")
    with logs.Follower([log]) as follower:
        append(log, "one\ntw")
        assert follower.new_lines() == [(log, "one")]
        append(log, "o\n")
        assert follower.new_lines() == [(log, "two")]
        append(log, "three\n")
        log.rename(tmp_path / "a.log.1")
        append(log, "four\n")
        assert follower.new_lines() == [(log, "three"), (log, "four")]


def append(log: Path, text: str) -> None:
    with open(log, "a") as stream:
        stream.write(text)


def test_truncation_keeps_what_was_cut(tmp_path: Path) -> None:
    log = tmp_path / "c.log"
    log.write_text("12345")
    with open(log, "ab") as writer:
        logs.truncate(log, limit=3)
        writer.write(b"6")
    assert (log.read_text(), (tmp_path / "c.log.1").read_text()) == ("6", "12345")
    logs.truncate(tmp_path / "none.log")
