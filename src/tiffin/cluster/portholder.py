"""Who has a port of this machine, as far as this process may know. Source: proc(5), /proc/net/tcp and /proc/PID/fd."""
from __future__ import annotations

import os
from pathlib import Path

_LISTENING = {"TCP": "0A", "UDP": "07"}


def holder(protocol: str, port: int, proc: Path = Path("/proc")) -> str:
    """`process nginx (pid 123)`, or "another process" where that cannot be told."""
    inodes = {f"socket:[{inode}]" for table in (protocol.lower(), f"{protocol.lower()}6") for inode in _inodes(proc / "net" / table, _LISTENING[protocol], port)}
    pid = _owner(proc, inodes) if inodes else None
    if pid is None:
        return "another process"
    try:
        return f"process {(proc / pid / 'comm').read_text().strip()} (pid {pid})"
    except OSError:
        return f"process {pid}"


def _inodes(table: Path, state: str, port: int) -> list[str]:
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [row[9] for row in rows if len(row) > 9 and row[3] == state and int(row[1].rpartition(":")[2], 16) == port]


def _owner(proc: Path, sockets: set[str]) -> str | None:
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(proc / pid / "fd")]
        except OSError:  # it ended, or is somebody else's
            continue
        if sockets.intersection(links):
            return pid
    return None
