"""Memory and CPU time of processes, from /proc."""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """PSS (shared pages divided among those who share them) and RSS in MB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    pss, rss = (int(fields[name].split()[0]) / 1024 for name in ("Pss", "Rss"))
    return pss, rss


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of the process and its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def with_descendants(pids: Iterable[int]) -> set[int]:
    """The processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(path.name))
    found, left = set(), list(pids)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, [])
    return found
