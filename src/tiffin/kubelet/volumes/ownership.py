"""fsGroup: a volume's files are handed to the group of the pod, and new ones inherit it."""
from __future__ import annotations

import os
import stat
from pathlib import Path

FILE_BITS, DIRECTORY_BITS = 0o660, 0o2770


def give_to_group(path: Path, group: int) -> None:
    """Group and permissions of everything in a volume; links are left alone and never followed."""
    for _, _, names, descriptor in os.fwalk(path):
        _give(descriptor, "", group, DIRECTORY_BITS)
        for name in names:
            _give(descriptor, name, group, FILE_BITS)


def _give(directory: int, name: str, group: int, bits: int) -> None:
    info = os.stat(name, dir_fd=directory, follow_symlinks=False) if name else os.fstat(directory)
    if stat.S_ISLNK(info.st_mode) or (info.st_gid == group and info.st_mode & bits == bits):
        return
    if name:
        os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
        os.chmod(name, stat.S_IMODE(info.st_mode) | bits, dir_fd=directory)
    else:
        os.fchown(directory, -1, group)
        os.fchmod(directory, stat.S_IMODE(info.st_mode) | bits)
