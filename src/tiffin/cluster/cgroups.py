"""The cgroups of a cluster's pods: who is in them, and their removal.

Version 1 mounts several hierarchies side by side, version 2 one; in each the cluster has a directory of its own directly below the
root, and all below that is the cluster's.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def is_unified() -> bool:
    """Whether this machine has version 2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """Where each hierarchy is mounted."""
    if is_unified():
        return [ROOT]
    return [place for place in ROOT.iterdir() if place.is_dir() and not place.is_symlink() and (place / "cgroup.procs").exists()]


def processes(cgroup: str) -> set[int]:
    """The pids in the cgroup and those below it, in whichever hierarchy."""
    return {int(pid) for directory in _directories(cgroup) for pid in _read(directory / "cgroup.procs").split()}


def remove(cgroup: str) -> None:
    """Removes the cgroup and those below it, from all hierarchies. Processes must have ended: raises `OSError` (EBUSY) if not."""
    for directory in _directories(cgroup):
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue


def exists(cgroup: str) -> bool:
    return any(True for _ in _directories(cgroup))


def _directories(cgroup: str) -> Iterator[Path]:
    """The deepest first."""
    for hierarchy in hierarchies():
        for directory, _, _ in os.walk(hierarchy / cgroup, topdown=False):
            yield Path(directory)


def _read(file: Path) -> str:
    """Empty for a cgroup that went in the meantime, and for a threaded one, whose processes its parent lists."""
    try:
        return file.read_text()
    except OSError:
        return ""
