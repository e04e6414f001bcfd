"""File systems in memory, for secrets and for emptyDirs that ask for one."""
from __future__ import annotations

from pathlib import Path

from tiffin.kubelet import syscalls
from tiffin.kubelet.volumes.types import DIRECTORY_MODE


def ensure_tmpfs(path: Path, size: int = 0, mode: int = DIRECTORY_MODE) -> None:
    """A tmpfs at `path`, of at most `size` bytes if given; one that is there stays. Raises OSError."""
    path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    if path.is_mount():
        return
    options = [f"mode={mode:o}", *([f"size={size}"] if size else [])]
    syscalls.mount("tmpfs", str(path), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, ",".join(options))
