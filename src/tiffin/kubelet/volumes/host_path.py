"""Volume type hostPath: a path of the node, checked as its type says."""
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from tiffin.kubelet.volumes.types import Ready, Request, VolumeFault, VolumeType

_CHECKS: Mapping[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "directory"), "DirectoryOrCreate": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"), "FileOrCreate": (stat.S_ISREG, "file"), "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"), "BlockDevice": (stat.S_ISBLK, "block device"),
}


async def set_up(request: Request) -> Ready:
    path, kind = Path(request.source["path"]), request.source.get("type") or ""
    if kind and kind not in _CHECKS:
        raise VolumeFault(f"{kind} is an invalid volume type")
    _create(path, kind)
    if kind:
        holds, noun = _CHECKS[kind]
        if not path.exists() or not holds(os.stat(path).st_mode):
            raise VolumeFault(f"hostPath type check failed: {path} is not a {noun}")
    return Ready(path)


def _create(path: Path, kind: str) -> None:
    try:
        if kind == "DirectoryOrCreate" and not path.exists():
            path.mkdir(mode=0o755, parents=True)
        elif kind == "FileOrCreate" and not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise VolumeFault(f"cannot create {path}: {error.strerror}") from error


VOLUME = VolumeType("hostPath", "kubernetes.io~host-path", set_up)
