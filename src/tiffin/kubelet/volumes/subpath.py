"""Parts of volumes: `subPath` resolved beneath the volume by file descriptor and pinned by a bind mount.

The volume belongs to the pod, so any name in it may turn into a link at any moment. The kernel resolves the path beneath an
open descriptor of the volume (openat2), missing directories are made one by one relative to descriptors, and what was opened is
bound through /proc/self/fd: what is checked is what is mounted (CVE-2017-1002101, CVE-2021-25741).
"""
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from tiffin.kubelet import syscalls
from tiffin.kubelet.volumes.types import DIRECTORY_MODE, VolumeFault

_PATH = os.O_PATH


def pin(volume: Path, subpath: str, target: Path) -> Path:
    """Bind the part of a volume at `target`, making missing directories; a target already bound stays. Raises VolumeFault."""
    parts = PurePosixPath(subpath).parts
    if subpath.startswith("/") or ".." in parts or "\0" in subpath:
        raise VolumeFault(f'subPath "{subpath}" is not within the volume')
    if target.is_mount():
        return target
    root = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _resolve(root, [p for p in parts if p != "."], subpath)
        try:
            _bind(found, target)
        finally:
            os.close(found)
    finally:
        os.close(root)
    return target


def _resolve(root: int, parts: list[str], subpath: str) -> int:
    """A descriptor of the part, made as directories where nothing is."""
    try:
        for depth in range(len(parts) + 1):
            path = "/".join(parts[:depth]) or "."
            try:
                descriptor = syscalls.open_beneath(root, path, _PATH)
            except FileNotFoundError:
                descriptor = _make(root, parts[: depth - 1], parts[depth - 1], path)
            if depth == len(parts):
                return descriptor
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP):
            raise VolumeFault(f'subPath "{subpath}" is not within the volume') from error
        raise VolumeFault(f'failed to prepare subPath "{subpath}": {error.strerror}') from error
    raise AssertionError("unreachable")


def _make(root: int, parents: list[str], name: str, path: str) -> int:
    parent = syscalls.open_beneath(root, "/".join(parents) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.mkdir(name, DIRECTORY_MODE, dir_fd=parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)
    return syscalls.open_beneath(root, path, _PATH)


def _bind(descriptor: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    syscalls.mount(f"/proc/self/fd/{descriptor}", str(target), "", syscalls.MS_BIND | syscalls.MS_REC)
