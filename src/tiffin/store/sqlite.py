"""The embedded log: one SQLite table that is only appended to, WAL mode, `synchronous=FULL`.

A batch is one transaction, so one fsync makes a whole group of requests durable. There is no index besides the revision:
the live state is rebuilt in memory at start.
"""
from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tiffin.store.log import LogError, Record

FORMAT = 1
"""Version of the table layout, in `PRAGMA user_version`."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, data BLOB);
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class NewerFormat(Exception):
    """The file was written by a newer tiffin and is left alone."""


def _make_private(path: Path) -> None:
    """It holds Secrets: only its owner may read it, whatever the umask and the directory say. SQLite gives its other files the same mode."""
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(FileNotFoundError):
            each.chmod(0o600)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class SqliteLog:
    """The log in the file `path`, created if absent. One process opens it at a time (enforced by an exclusive lock)."""

    durable = True

    def __init__(self, path: Path) -> None:
        _make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            self._db.close()
            raise NewerFormat(f"{path} has format {version}; this version of tiffin reads up to {FORMAT}")
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA wal_autocheckpoint=4000")
        self._db.execute("PRAGMA cache_size=-2048")
        self._db.executescript(_SCHEMA + f"PRAGMA user_version={FORMAT};")
        row = self._db.execute("SELECT value FROM facts WHERE key='compacted'").fetchone()
        self.compacted: int = row[0] if row else 0

    def append(self, batch: Sequence[Record]) -> None:
        try:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO log VALUES (?,?,?,?,?)", batch)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(str(error)) from error

    def replay(self) -> Iterator[Record]:
        for row in self._db.execute("SELECT revision, resource, namespace, name, data FROM log ORDER BY revision"):
            yield Record(*row)

    def rewrite(self, records: Sequence[Record]) -> None:
        try:
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute("BEGIN")
            self._db.executemany("UPDATE log SET data=? WHERE revision=?", [(record.data, record.revision) for record in records])
            self._db.execute("COMMIT")
            self._db.execute("VACUUM")  # what earlier deletions left in free pages goes, too
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(str(error)) from error

    def compact(self, dead: Sequence[int], compacted: int) -> None:
        try:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM log WHERE revision=?", [(revision,) for revision in dead])
            self._db.execute("INSERT OR REPLACE INTO facts VALUES ('compacted', ?)", (compacted,))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(str(error)) from error
        self.compacted = compacted

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        self._db.close()
