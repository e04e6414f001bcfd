"""Unmounting what containers leave mounted below a cluster's directories."""
from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from pathlib import Path

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def unmount_below(*directories: Path) -> None:
    """Unmounts everything at or below the directories, the deepest and latest first."""
    for point in reversed(list(mounted_below(*directories))):
        if _libc.umount2(os.fsencode(point), _MNT_DETACH) != 0 and (number := ctypes.get_errno()) not in (2, 22):
            raise OSError(number, f"{os.strerror(number)}: cannot unmount", str(point))


def mounted_below(*directories: Path) -> Iterator[Path]:
    """The mount points at or below the directories, in the order they were mounted."""
    resolved = [directory.resolve() for directory in directories]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # Space, tab, newline and backslash are written as three octal digits (proc_pid_mountinfo(5)).
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]))
        if any(point.is_relative_to(directory) for directory in resolved):
            yield point
