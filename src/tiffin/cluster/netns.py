"""Network namespaces: made, entered and removed.

A namespace is named by a file under `/run/netns`, where `ip netns` looks too, so that a person can step inside one. The kernel
keeps a network namespace per thread, not per process: everything here that enters one does so in a thread of its own and the
caller's thread never changes.
"""
from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

NAMESPACES = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def create(name: str) -> Path:
    """Makes the namespace unless it is there already, and answers the file that names it."""
    path = NAMESPACES / name
    if is_namespace(path):
        return path
    NAMESPACES.mkdir(mode=0o755, exist_ok=True)
    _share(NAMESPACES)
    path.touch(mode=0o444)
    _in_thread(lambda: _make(path))
    return path


def remove(name: str) -> None:
    """Takes the name away; the kernel removes the namespace with its last process. Nothing happens when it is not there."""
    path = NAMESPACES / name
    while is_namespace(path):
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH))
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.EBUSY:  # named before somebody mounted over the directory; the empty file names nothing any more
            raise


def is_namespace(path: Path) -> bool:
    """Whether the file is a mounted namespace, not the empty file that a reboot leaves."""
    try:
        return path.stat().st_dev == os.stat("/proc/self/ns/net").st_dev
    except FileNotFoundError:
        return False


def inside(path: Path | None, action: Callable[[], T]) -> T:
    """What `action` answers when it runs in that namespace; child processes it starts are born there. None: where we are."""
    if path is None:
        return action()

    def enter() -> T:
        with open(path) as namespace:
            _check(_libc.setns(namespace.fileno(), _CLONE_NEWNET))
        return action()

    return _in_thread(enter)


def _share(directory: Path) -> None:
    """Makes the directory a shared mount of its own, as `ip netns` does: if it did so after us, our names would be hidden beneath."""
    place = os.fsencode(directory)
    if _libc.mount(b"", place, b"none", _MS_SHARED | _MS_REC, None) != 0:
        _check(_libc.mount(place, place, b"none", _MS_BIND | _MS_REC, None))
        _check(_libc.mount(b"", place, b"none", _MS_SHARED | _MS_REC, None))


def _make(path: Path) -> None:
    _check(_libc.unshare(_CLONE_NEWNET))
    _check(_libc.mount(b"/proc/thread-self/ns/net", os.fsencode(path), b"none", _MS_BIND, None))


def _in_thread(action: Callable[[], T]) -> T:
    """The thread ends with the action, so a namespace it entered is not left behind in a pool."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(action).result()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
