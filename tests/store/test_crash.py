"""`kill -9` in the middle of writes: what was acknowledged is there, nothing is half there, watches can go on."""
from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.store import crash_writer
from tests.store.crash_writer import DELETED_EVERY, WRITERS
from tiffin.machinery.object import Key
from tiffin.store.log import LogError, Record
from tiffin.store.mvcc import Event
from tiffin.store.sqlite import SqliteLog
from tiffin.store.store import Store


def acknowledged_until_killed(path: Path, start: int, lines: int) -> list[tuple[int, int, int]]:
    """Runs the writers, kills them after `lines` acknowledgements, and gives all that were sent."""
    child = subprocess.Popen([sys.executable, crash_writer.__file__, str(path), str(start)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    received = [child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    received += child.stdout.readlines()
    assert child.wait() == -signal.SIGKILL
    return [(int(a), int(b), int(c)) for a, b, c in (line.split() for line in received if line.endswith(b"\n"))]


async def test_a_killed_server_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    path, start, highest = tmp_path / "state.db", 0, 0
    for lines in (1, 60, 333, 700):
        acknowledged = acknowledged_until_killed(path, start, lines)
        assert min(revision for _, _, revision in acknowledged) > highest, "revisions grow over restarts"
        store = Store(SqliteLog(path))
        check_pairs(store, acknowledged)
        check_watch(store, highest, acknowledged)
        highest = store.revision
        start = max(number for _, number, _ in acknowledged) + 1000
        await store.close()


def check_pairs(store: Store, acknowledged: list[tuple[int, int, int]]) -> None:
    """Of each pair both are there with the last acknowledged number or the one after it, or both are gone."""
    last = {writer: number for writer, number, _ in acknowledged}
    for writer in range(WRITERS):
        pair = [store.get("pods", Key("a", f"{letter}{writer}")) for letter in "nm"]
        numbers = {entry.object["number"] if entry else None for entry in pair}
        assert len(numbers) == 1, "half a commit is there"
        if writer in last:
            assert numbers <= {None if number % DELETED_EVERY == 0 else number for number in (last[writer], last[writer] + 1)}


def check_watch(store: Store, since: int, acknowledged: list[tuple[int, int, int]]) -> None:
    seen: list[int] = []

    def sink(events: Sequence[Event]) -> None:
        seen.extend(event.revision for event in events)

    store.watch("pods", since, sink)
    assert seen == list(range(since + 1, store.revision + 1))
    assert {revision for _, _, revision in acknowledged} <= set(seen)


def test_the_end_of_a_write_ahead_log_that_was_torn_off_is_no_harm(tmp_path: Path) -> None:
    """Power loss may leave the last frames half written: their batch never counted, all before it do."""
    path, wal = tmp_path / "state.db", tmp_path / "state.db-wal"
    log = SqliteLog(path)
    sizes = []
    for revision in range(1, 6):
        log.append([Record(revision, "pods", "a", f"n{revision}", b"x" * 5000)])
        sizes.append(wal.stat().st_size)
    content, wal_content = path.read_bytes(), wal.read_bytes()
    log.close()
    for cut, expected in ((sizes[3] + 100, 4), (sizes[3], 4), (sizes[2] + 4000, 3)):
        path.write_bytes(content)
        wal.write_bytes(wal_content[:cut])
        torn = SqliteLog(path)
        assert [record.revision for record in torn.replay()] == list(range(1, expected + 1))
        torn.append([Record(99, "pods", "a", "after", b"")])
        torn.close()


def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "state.db"
    path.write_bytes(b"this is somebody's letter" * 1000)
    with pytest.raises((LogError, sqlite3.DatabaseError)):
        SqliteLog(path)
    assert path.read_bytes().startswith(b"this is somebody's letter")
