"""The few system calls Python lacks: mount, umount2, openat2 and inotify, by way of libc. Failures raise OSError."""
from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
_OPENAT2 = 437
IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_MOVE_SELF = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200, 0x800


def _check(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _check(_libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode()), target)


def unmount(target: str, flags: int = MNT_DETACH | UMOUNT_NOFOLLOW) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_beneath(directory: int, path: str, flags: int, *, links: bool = True) -> int:
    """Open `path` without ever leaving the directory of that descriptor, whatever links say. Needs Linux 5.6.

    Raises OSError; EXDEV when the path leads out, ELOOP for any link when `links` is false.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (0 if links else RESOLVE_NO_SYMLINKS)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    return _check(_libc.syscall(_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)), path)


def inotify() -> int:
    """A descriptor that tells of changes; not blocking."""
    return _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")


def inotify_watch(descriptor: int, path: str, mask: int) -> int:
    return _check(_libc.inotify_add_watch(descriptor, os.fsencode(path), mask), path)


class MountPoint(NamedTuple):
    path: str
    kind: str


def mounts_beneath(directory: str) -> list[MountPoint]:
    """What is mounted at or below a directory in this mount namespace, innermost first."""
    found = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            path = left.split(" ")[4].encode().decode("unicode_escape")
            if path == directory or path.startswith(directory.rstrip("/") + "/"):
                found.append(MountPoint(path, right.split(" ")[0]))
    return sorted(found, key=lambda m: m.path.count("/"), reverse=True)
