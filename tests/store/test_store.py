"""The store over a log that can be stopped and broken: what is visible when, and what a failure leaves behind."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.machinery.object import Key
from tiffin.store.log import LogError, MemoryLog, Record
from tiffin.store.mvcc import Compacted, Event, EventType, Mvcc
from tiffin.store.sqlite import FORMAT, NewerFormat, SqliteLog
from tiffin.store.store import COMPACT_EVERY, MUST_NOT_EXIST, Mismatch, Store, Write

KEY = Key("a", "x")


def obj(value: Any = 0) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "value": value}


def put(key: Key = KEY, value: Any = 0, expected: int | None = None) -> Write:
    return Write("pods", key, obj(value), expected)


def drop(key: Key = KEY, expected: int | None = None) -> Write:
    return Write("pods", key, None, expected)


class GatedLog(MemoryLog):
    """A durable log whose appends wait for the test, and fail when it says so."""

    durable = True

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.fault: BaseException | None = None
        self.appended: list[list[Record]] = []

    def append(self, batch: Sequence[Record]) -> None:
        self.gate.acquire()
        if self.fault is not None:
            raise self.fault
        self.appended.append(list(batch))


async def turns() -> None:
    """Lets everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


# optimistic writes


@pytest.mark.parametrize(("before", "write", "found"), [
    ([], put(expected=3), None),
    ([], drop(), None),
    ([], drop(expected=1), None),
    ([put()], put(expected=MUST_NOT_EXIST), 1),
    ([put()], put(expected=2), 1),
    ([put(), put()], put(expected=1), 2),
    ([put(), drop()], put(expected=1), None),
    ([put(), drop()], drop(), None),
])
async def test_a_write_that_expects_another_version_changes_nothing(before: list[Write], write: Write, found: int | None) -> None:
    store = Store(MemoryLog())
    for earlier in before:
        await store.commit(earlier)
    revision = store.revision
    with pytest.raises(Mismatch) as caught:
        await store.commit(write)
    assert (caught.value.current.revision if caught.value.current else None) == found
    assert store.revision == revision
    (entry,) = await store.commit(put(Key("a", "other")))
    assert entry.revision == revision + 1


async def test_writes_of_one_commit_stand_or_fall_together() -> None:
    store = Store(MemoryLog())
    await store.commit(put())
    with pytest.raises(Mismatch):
        await store.commit(put(Key("a", "new")), put(expected=MUST_NOT_EXIST))
    with pytest.raises(TypeError):
        await store.commit(put(Key("a", "new")), put(value=object()))
    await store.commit(put(Key("a", "later")))
    assert [entry.key.name for entry in store.entries("pods")] == ["later", "x"]


async def test_the_revision_is_in_the_object() -> None:
    store = Store(MemoryLog())
    entries = await store.commit(put(), put(Key("a", "y")))
    assert [entry.object["metadata"]["resourceVersion"] for entry in entries] == ["1", "2"]
    (gone,) = await store.commit(drop())
    assert gone.object["metadata"]["resourceVersion"] == "3"


# group commit and visibility


async def test_nothing_is_visible_before_it_is_durable() -> None:
    log = GatedLog()
    store = Store(log)
    seen: list[Event] = []
    store.watch("pods", 0, seen.extend)
    writer = asyncio.create_task(store.commit(put()))
    await turns()
    newest = store.newest("pods", KEY)
    assert newest is not None and newest.revision == 1
    assert (store.get("pods", KEY), store.revision, seen, writer.done()) == (None, 0, [], False)
    log.gate.release()
    await writer
    assert store.get("pods", KEY) is newest
    assert [event.revision for event in seen] == [1]
    log.gate.release()
    await store.close()


async def test_what_gathers_while_a_batch_is_written_is_one_batch() -> None:
    log = GatedLog()
    store = Store(log)
    first = asyncio.create_task(store.commit(put(Key("a", "first"))))
    await turns()
    others = [asyncio.create_task(store.commit(put(Key("a", f"n{i}")))) for i in range(10)]
    await turns()
    log.gate.release(2)
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in log.appended] == [1, 10]
    assert [record.revision for batch in log.appended for record in batch] == list(range(1, 12))
    await store.close()


async def test_a_write_may_build_on_one_that_is_not_yet_durable() -> None:
    log = GatedLog()
    store = Store(log)
    first = asyncio.create_task(store.commit(put(expected=MUST_NOT_EXIST)))
    await turns()
    second = asyncio.create_task(store.commit(put(value=2, expected=1)))
    third = asyncio.create_task(store.commit(drop(expected=2)))
    fourth = asyncio.create_task(store.commit(put(value=4, expected=MUST_NOT_EXIST)))
    await turns()
    with pytest.raises(Mismatch):
        await store.commit(put(expected=MUST_NOT_EXIST))
    seen: list[EventType] = []
    store.watch("pods", 0, lambda events: seen.extend(event.type for event in events))
    log.gate.release(4)
    await asyncio.gather(first, second, third, fourth)
    assert seen == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    await store.close()


async def test_who_finds_nothing_to_change_waits_until_what_it_found_is_durable() -> None:
    log = GatedLog()
    store = Store(log)
    writer = asyncio.create_task(store.commit(put()))
    await turns()
    waiting = asyncio.create_task(store.settled("pods", KEY))
    await turns()
    assert not waiting.done()
    await store.settled("pods", Key("a", "other"))
    log.gate.release(2)
    await asyncio.gather(writer, waiting)
    await store.close()


async def test_a_writer_that_is_cancelled_does_not_take_others_with_it() -> None:
    log = GatedLog()
    store = Store(log)
    impatient, patient = asyncio.create_task(store.commit(put())), asyncio.create_task(store.commit(put(Key("a", "y"))))
    await turns()
    impatient.cancel()
    log.gate.release(2)
    await patient
    assert store.get("pods", KEY) is not None, "the write was on its way already"
    await store.close()


# a log that fails


@pytest.mark.parametrize("fault", [LogError("disk full"), OSError(5, "Input/output error"), MemoryError()], ids=lambda fault: type(fault).__name__)
async def test_a_failing_log_fails_the_writers_and_nothing_else(fault: BaseException) -> None:
    log = GatedLog()
    store = Store(log)
    log.gate.release(1)
    await store.commit(put(value="kept"))
    seen: list[Event] = []
    store.watch("pods", 1, seen.extend)
    log.fault = fault
    doomed = [asyncio.create_task(store.commit(put(value="lost")))]
    await turns()
    doomed.append(asyncio.create_task(store.commit(put(value="builds on it", expected=2))))
    doomed.append(asyncio.create_task(store.settled("pods", KEY)))
    await turns()
    log.gate.release(1)
    results = await asyncio.gather(*doomed, return_exceptions=True)
    assert [type(result) for result in results] == [LogError] * 3
    entry = store.get("pods", KEY)
    assert entry is not None and entry is store.newest("pods", KEY)
    assert (entry.object["value"], store.revision, seen) == ("kept", 1, [])

    log.fault = None
    log.gate.release(2)
    (after,) = await store.commit(put(value="lives on", expected=1))
    assert after.revision > 3, "revisions that were given to failed writes are not given again"
    assert [event.revision for event in seen] == [after.revision]
    await store.close()


async def test_a_log_that_is_not_durable_fails_in_the_same_way() -> None:
    class Broken(MemoryLog):
        broken = True

        def append(self, batch: Sequence[Record]) -> None:
            if self.broken:
                raise LogError("no")

    log = Broken()
    store = Store(log)
    with pytest.raises(LogError):
        await store.commit(put())
    log.broken = False
    await store.commit(put(expected=MUST_NOT_EXIST))
    assert store.index.count("pods") == 1


async def test_compaction_that_fails_is_tried_again_and_harms_nobody() -> None:
    class Compacting(MemoryLog):
        failures = 1
        forgotten: list[int] = []

        def compact(self, dead: Sequence[int], compacted: int) -> None:
            if self.failures:
                self.failures -= 1
                raise LogError("busy")
            self.forgotten.extend(dead)

    log = Compacting()
    store = Store(log, Mvcc(window_events=1))
    for value in range(COMPACT_EVERY + 5):
        await store.commit(put(value=value))
    assert sorted(log.forgotten) == list(range(1, len(log.forgotten) + 1))
    assert len(log.forgotten) >= COMPACT_EVERY


# what the file keeps


def test_records_come_back_in_order(tmp_path: Path) -> None:
    records = [Record(1, "pods", "a", "x", b"{}"), Record(2, "pods", "", "\u00e9\u4e2d", b'{"a":1}'), Record(5, "pods", "a", "x", None)]
    log = SqliteLog(tmp_path / "db")
    log.append(records[:2])
    log.append(records[2:])
    log.close()
    log = SqliteLog(tmp_path / "db")
    assert list(log.replay()) == records
    log.close()


def test_the_file_is_its_owners_only_whatever_was_before(tmp_path: Path) -> None:
    """It holds Secrets; the directory may be one that everybody can look into."""
    path = tmp_path / "db"
    path.touch(mode=0o644)
    log = SqliteLog(path)
    log.append([Record(1, "secrets", "a", "x", b"{}")])
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {"db": 0o600, "db-wal": 0o600}
    log.close()


def test_a_batch_that_cannot_be_taken_leaves_no_part(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "db")
    log.append([Record(1, "pods", "a", "x", b"{}")])
    with pytest.raises(LogError):
        log.append([Record(2, "pods", "a", "y", b"{}"), Record(1, "pods", "a", "z", b"{}")])
    log.append([Record(3, "pods", "a", "z", b"{}")])
    assert [record.revision for record in log.replay()] == [1, 3]
    log.close()


def test_a_full_disk_is_a_log_error_and_space_makes_it_work_again(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "db")
    pages = log._db.execute("PRAGMA page_count").fetchone()[0]
    log._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(LogError):
        log.append([Record(1, "pods", "a", "x", b"x" * 100_000)])
    log._db.execute(f"PRAGMA max_page_count={pages + 1000}")
    log.append([Record(2, "pods", "a", "x", b"x" * 100_000)])
    assert [record.revision for record in log.replay()] == [2]
    log.close()


def test_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    log = SqliteLog(path)
    log._db.execute(f"PRAGMA user_version={FORMAT + 1}")
    log.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormat, match=f"has format {FORMAT + 1}"):
        SqliteLog(path)
    assert path.read_bytes() == before


def test_two_processes_do_not_open_one_file(tmp_path: Path) -> None:
    import sqlite3

    log = SqliteLog(tmp_path / "db")
    log.append([Record(1, "pods", "a", "x", b"{}")])
    other = sqlite3.connect(tmp_path / "db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM log").fetchall()
    other.close()
    log.close()


async def test_a_store_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    store = Store(SqliteLog(tmp_path / "db"))
    await asyncio.gather(*(store.commit(put(Key("a", f"n{i}"), i)) for i in range(20)))
    await store.commit(put(Key("a", "n3"), "changed"))
    await store.commit(drop(Key("a", "n4")))
    before = [(e.key, e.revision, e.data) for e in store.entries("pods")]
    await store.close()

    store = Store(SqliteLog(tmp_path / "db"))
    assert [(e.key, e.revision, e.data) for e in store.entries("pods")] == before
    assert store.revision == 22
    seen: list[tuple[int, str]] = []
    store.watch("pods", 19, lambda events: seen.extend((event.revision, event.type.value) for event in events))
    await store.commit(put(Key("a", "n4"), "back", MUST_NOT_EXIST))
    assert seen == [(20, "ADDED"), (21, "MODIFIED"), (22, "DELETED"), (23, "ADDED")]
    await store.close()


class Interrupted(MemoryLog):
    """Keeps records in memory and forgets what it is told to, as a file would."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.compacted = 0

    def append(self, batch: Sequence[Record]) -> None:
        self.records |= {record.revision: record for record in batch}

    def replay(self) -> Iterator[Record]:
        return iter(list(self.records.values()))

    def compact(self, dead: Sequence[int], compacted: int) -> None:
        for revision in dead:
            del self.records[revision]
        self.compacted = compacted


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 5))
def test_what_a_restart_still_knows_is_true(writes: list[tuple[str, bool]], window: int, every: int) -> None:
    """After compaction and a restart each state and each watch that is still given is the one from before."""
    asyncio.run(_restart(writes, window, every))


async def _restart(writes: list[tuple[str, bool]], window: int, every: int) -> None:
    log = Interrupted()
    store = Store(log, Mvcc(window_events=window))
    states: list[dict[str, int]] = [{}]
    history: list[tuple[int, str, str]] = []
    for name, wanted in writes:
        state = dict(states[-1])
        if not wanted and name not in state:
            continue
        (entry,) = await store.commit(put(Key("a", name)) if wanted else drop(Key("a", name)))
        type = "DELETED" if not wanted else "MODIFIED" if name in state else "ADDED"
        history.append((entry.revision, name, type))
        state.pop(name, None)
        if wanted:
            state[name] = entry.revision
        states.append(state)
        if len(store._dead) >= every:
            log.compact(store._dead, store.index.compacted)
            store._dead = []
    again = Store(log)
    assert again.revision == store.revision
    for revision in range(1, len(states)):
        try:
            page = again.list("pods", revision=revision)
        except Compacted:
            assert revision < log.compacted
            continue
        assert {e.key.name: e.revision for e in page.entries} == states[revision]
        seen: list[tuple[int, str, str]] = []
        again.watch("pods", revision, lambda events, seen=seen: seen.extend((e.revision, e.entry.key.name, e.type.value) for e in events))  # type: ignore[misc]
        assert seen == [change for change in history if change[0] > revision]
