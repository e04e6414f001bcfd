"""A process to be killed: eight writers that change pairs of objects in one store, and say on stdout what was acknowledged.

Each writer owns the pair `n<i>`, `m<i>` and gives both the next number in one commit; every seventh commit deletes both. A
line is `writer number revision`, the revision that of the second write.
"""
from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tiffin.machinery.object import Key
from tiffin.store.sqlite import SqliteLog
from tiffin.store.store import Store, Write

WRITERS = 8
DELETED_EVERY = 7


def number_of(store: Store, key: Key) -> int:
    entry = store.get("pods", key)
    return entry.object["number"] if entry else 0


async def write(store: Store, writer: int, start: int) -> None:
    keys = (Key("a", f"n{writer}"), Key("a", f"m{writer}"))
    number = start
    while True:
        number += 1
        gone = number % DELETED_EVERY == 0
        if gone and store.get("pods", keys[0]) is None:
            continue
        writes = [Write("pods", key, None if gone else {"metadata": {"name": key.name}, "number": number}, None) for key in keys]
        entries = await store.commit(*writes)
        os.write(1, f"{writer} {number} {entries[-1].revision}\n".encode())


async def main(path: Path, start: int) -> None:
    store = Store(SqliteLog(path))
    await asyncio.gather(*(write(store, writer, start) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
