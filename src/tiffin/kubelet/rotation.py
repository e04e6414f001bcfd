"""Rotation of container logs: a file that has grown too large is set aside, compressed once it is no longer the latest, and the oldest go."""
from __future__ import annotations

import gzip
import os
import shutil
from datetime import datetime
from pathlib import Path

from tiffin.kubelet.runtime import Runtime, RuntimeFault
from tiffin.kubelet.state import Container


async def rotate(container: Container, runtime: Runtime, max_size: int, max_files: int, now: datetime) -> bool:
    """Rotate a running container's log if it is larger than `max_size` bytes; whether it was. Raises OSError and RuntimeFault."""
    path = Path(container.log_path)
    try:
        if os.stat(path, follow_symlinks=False).st_size <= max_size:
            return False
    except FileNotFoundError:
        return False
    rotated = path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S}")
    older = previous(path)
    for surplus in older[: max(len(older) - max_files + 2, 0)]:
        surplus.unlink(missing_ok=True)
    os.rename(path, rotated)
    try:
        await runtime.reopen_log(container.id)
    except RuntimeFault:
        os.rename(rotated, path)  # the runtime still writes to the old file, so it keeps its name
        raise
    for file in previous(path)[:-1]:
        compress(file)
    return True


def previous(path: Path) -> list[Path]:
    """Files set aside earlier, oldest first."""
    return sorted((p for p in path.parent.glob(f"{path.name}.*") if not p.name.endswith(".tmp")), key=lambda p: p.name)


def compress(path: Path) -> None:
    """Compress a file in place; a file that is compressed stays."""
    if path.suffix == ".gz":
        return
    temporary = path.with_name(f"{path.name}.tmp")
    with open(path, "rb") as source, gzip.open(temporary, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    os.rename(temporary, path.with_name(f"{path.name}.gz"))
    path.unlink()
