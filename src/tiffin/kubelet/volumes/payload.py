"""Files written into a volume so that readers see either all of the old ones or all of the new.

The files of one version lie in a directory `..<time>`; `..data` is a link to it, replaced by one rename; each name a reader sees is
a link into `..data`. Everything is done relative to an open descriptor of the volume, links are never followed and names are
checked, so a pod that could write there gains nothing (CVE-2017-1002102).
"""
from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tiffin.kubelet.volumes.types import DIRECTORY_MODE, VolumeFault

DATA, DATA_NEW = "..data", "..data_tmp"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class File(NamedTuple):
    """One file: content, permission bits and, if not root, its owner."""

    data: bytes
    mode: int
    user: int = -1


def check_path(path: str) -> None:
    """Refuse names that lead out of the volume or among the names kept for versions. Raises VolumeFault."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith("..") or "\0" in path:
        raise VolumeFault(f'invalid path "{path}": must be relative, stay inside the volume and not start with ".."')


@contextmanager
def directory(path: str | Path, dir_fd: int | None = None) -> Iterator[int]:
    """A descriptor of a directory that is no link."""
    descriptor = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write(path: Path, files: Mapping[str, File], group: int | None, now: datetime) -> bool:
    """Make a volume show exactly `files`; answers whether anything changed. Raises VolumeFault and OSError."""
    for name in files:
        check_path(name)
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    with directory(path) as volume:
        old = _version(volume)
        if old is not None and _shown(volume, old) == {name: (f.data, _mode(f, group)) for name, f in files.items()}:
            return False
        new = f"..{now:%Y_%m_%d_%H_%M_%S}.{secrets.randbelow(10**10):010d}"
        _write_version(volume, new, files, group)
        _switch(volume, new)
        _link_names(volume, files)
        if old is not None:
            shutil.rmtree(old, dir_fd=volume)
    return True


def _version(volume: int) -> str | None:
    """The directory that `..data` names, if it is one of ours."""
    try:
        name = os.readlink(DATA, dir_fd=volume)
        if "/" in name or not name.startswith("..") or name in ("..", DATA, DATA_NEW):
            return None
        return name if stat.S_ISDIR(os.stat(name, dir_fd=volume, follow_symlinks=False).st_mode) else None
    except OSError:
        return None


def _mode(file: File, group: int | None) -> int:
    return file.mode | (0o440 if group is not None else 0)


def _shown(volume: int, version: str) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file of a version."""
    shown: dict[str, tuple[bytes, int]] = {}
    for parent, _, names, descriptor in os.fwalk(version, dir_fd=volume):
        inside = parent[len(version):].lstrip("/")
        for name in names:
            with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor), "rb") as file:
                shown[f"{inside}/{name}" if inside else name] = (file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
    return shown


def _write_version(volume: int, version: str, files: Mapping[str, File], group: int | None) -> None:
    os.mkdir(version, DIRECTORY_MODE, dir_fd=volume)
    with directory(version, volume) as root:
        _own(root, DIRECTORY_MODE | (0o2110 if group is not None else 0), group)
        for name, file in files.items():
            *parents, last = PurePosixPath(name).parts
            with _nested(root, parents, group) as parent:
                descriptor = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
                with os.fdopen(descriptor, "wb") as out:
                    out.write(file.data)
                    os.fchown(descriptor, file.user, -1 if group is None else group)
                    os.fchmod(descriptor, _mode(file, group))


@contextmanager
def _nested(root: int, parents: list[str], group: int | None) -> Iterator[int]:
    """A descriptor of a directory beneath `root`, made where missing."""
    descriptor = os.dup(root)
    try:
        for name in parents:
            try:
                os.mkdir(name, DIRECTORY_MODE, dir_fd=descriptor)
            except FileExistsError:
                pass
            deeper = os.open(name, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
            _own(descriptor, DIRECTORY_MODE | (0o2110 if group is not None else 0), group)
        yield descriptor
    finally:
        os.close(descriptor)


def _own(descriptor: int, mode: int, group: int | None) -> None:
    if group is not None:
        os.fchown(descriptor, -1, group)
    os.fchmod(descriptor, mode)


def _switch(volume: int, version: str) -> None:
    try:
        os.unlink(DATA_NEW, dir_fd=volume)
    except FileNotFoundError:
        pass
    os.symlink(version, DATA_NEW, dir_fd=volume)
    os.rename(DATA_NEW, DATA, src_dir_fd=volume, dst_dir_fd=volume)


def _link_names(volume: int, files: Mapping[str, File]) -> None:
    """Links for what is shown, and none for what no longer is."""
    wanted = {PurePosixPath(name).parts[0] for name in files}
    present = {name for name in os.listdir(volume) if not name.startswith("..")}
    for name in wanted - present:
        os.symlink(f"{DATA}/{name}", name, dir_fd=volume)
    for name in present - wanted:
        os.unlink(name, dir_fd=volume)
