"""Figures: what was measured, beside the reference's figure and what must be reached."""
from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson


@dataclass(frozen=True)
class Goal:
    """What a figure is held against. `reference` is kube-apiserver v1.36.2 with etcd 3.6 on two cores, best of its runs."""

    reference: str = "-"
    target: float | None = None
    more_is_better: bool = True


@dataclass(frozen=True)
class Figure:
    """One measurement. `load` is the machine's one-minute load average before it, `note` what one must know to read it."""

    name: str
    value: float
    unit: str
    goal: Goal = Goal()
    note: str = ""
    load: float = 0.0

    @property
    def verdict(self) -> str:
        if self.goal.target is None:
            return ""
        reached = self.value >= self.goal.target if self.goal.more_is_better else self.value <= self.goal.target
        return "reached" if reached else "missed"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def shown(value: float) -> str:
    """Three digits that mean something, and thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """One row of cells per figure, the headings first."""
    found: list[tuple[str, ...]] = [("figure", "reference", "target", "measured", "", "load", "note")]
    for figure in figures:
        target = "-" if figure.goal.target is None else f"{shown(figure.goal.target)} {figure.unit}"
        found.append((figure.name, figure.goal.reference, target, f"{shown(figure.value)} {figure.unit}", figure.verdict, f"{figure.load:.1f}", figure.note))
    return found


def table(figures: Iterable[Figure]) -> str:
    """The figures as text in columns."""
    cells = rows(figures)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release(), "python": platform.python_version()}


def save(figures: Sequence[Figure], directory: Path) -> Path:
    """Writes the figures as JSON, under the time of now; gives the file."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = directory / f"{now:%Y%m%d-%H%M%S}.json"
    document = {"time": now.isoformat(timespec="seconds"), "machine": machine(), "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures]}
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return path
