"""What a container says when it ends: the termination message, from its file or from the end of its log."""
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tiffin.kubelet import runtime
from tiffin.kubelet.state import Container

FILE_LIMIT = 4096
LOG_LIMIT, LOG_LINES = 2048, 80


def with_message(container: Container) -> Container:
    """An ended container with its termination message; others, and those that have one, as they are."""
    if not container.is_over or container.message:
        return container
    text = _from_file(container.annotations.get(runtime.TERMINATION_MESSAGE_FILE, ""))
    policy = container.annotations.get(runtime.TERMINATION_MESSAGE_POLICY)
    if not text and policy == "FallbackToLogsOnError" and container.exit_code:
        text = _from_log(container.log_path)
    return replace(container, message=text) if text else container


def _from_file(path: str) -> str:
    if not path:
        return ""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read(FILE_LIMIT).decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"Error on reading termination log {path}: {error.strerror}"


def _from_log(path: str) -> str:
    """The last lines of a CRI log, without their times and tags."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - LOG_LIMIT * 4, 0))
            lines = file.read().split(b"\n")[-LOG_LINES - 1:]
    except OSError:
        return ""
    parts = [line.split(b" ", 3) for line in lines]
    text = b"".join(p[3] + (b"" if p[2] == b"P" else b"\n") for p in parts if len(p) == 4)
    return text[-LOG_LIMIT:].decode(errors="replace")


def new_file(directory: Path, name: str) -> Path:
    """An empty file for one run's message, writable by whatever user the container runs as."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.touch(mode=0o666)
    path.chmod(0o666)
    return path
