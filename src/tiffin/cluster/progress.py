"""What `tiffin up` and `tiffin down` show while they work: live on a terminal, plain lines elsewhere."""
from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self


class Progress(Protocol):
    """Steps run side by side; each begins once and ends once."""

    def begin(self, step: str) -> None: ...

    def end(self, step: str, detail: str = "") -> None: ...


class PlainProgress(AbstractContextManager["PlainProgress"]):
    """One line for each step that is done."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}

    def begin(self, step: str) -> None:
        self._begun[step] = time.monotonic()

    def end(self, step: str, detail: str = "") -> None:
        print(f"{step}: {detail or 'done'} ({time.monotonic() - self._begun[step]:.1f} s)", flush=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


class LiveProgress(AbstractContextManager["LiveProgress"]):
    """A spinner for each step under way, a tick for each that is done."""

    def __init__(self) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"), TextColumn("[dim]{task.fields[detail]}[/]"), TimeElapsedColumn())
        self._display = Progress(*columns)
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._display.stop()

    def begin(self, step: str) -> None:
        self._tasks[step] = self._display.add_task(step, total=1, detail="")

    def end(self, step: str, detail: str = "") -> None:
        self._display.update(self._tasks[step], completed=1, detail=detail)


def show() -> PlainProgress | LiveProgress:
    """What suits the place standard output goes to."""
    return LiveProgress() if sys.stdout.isatty() else PlainProgress()
