"""Volume type emptyDir: a directory, or memory, that lives as long as the pod."""
from __future__ import annotations

import os
from pathlib import Path

from tiffin.kubelet.volumes import memory
from tiffin.kubelet.volumes.ownership import give_to_group
from tiffin.kubelet.volumes.types import Ready, Request, VolumeFault, VolumeType
from tiffin.machinery import quantity

MODE = 0o777


async def set_up(request: Request) -> Ready:
    medium = request.source.get("medium") or ""
    if medium == "Memory":
        limit = request.source.get("sizeLimit")
        memory.ensure_tmpfs(request.path, quantity.to_int(limit) if limit is not None else 0, MODE)
    elif medium:
        raise VolumeFault(f'unknown storage medium "{medium}"')
    _open_to_all(request.path)
    if request.fs_group is not None:
        give_to_group(request.path, request.fs_group)
    return Ready(request.path)


def _open_to_all(path: Path) -> None:
    """The directory, writable by everybody; one that is there keeps what its pod made of it."""
    if not path.is_dir():
        path.mkdir(parents=True)
        os.chmod(path, MODE)


VOLUME = VolumeType("emptyDir", "kubernetes.io~empty-dir", set_up)
