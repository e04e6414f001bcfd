"""What can go wrong with an expression, worded as cel-go words it, and where in the source it went wrong.

`CompilationError` carries one report per problem, sorted by position; its text is what Kubernetes puts behind "compilation failed: ".
`EvaluationError` is a value of the language: `||`, `&&` and the macros absorb it. `CostExceeded` is not: it ends the evaluation.
"""
from __future__ import annotations

from typing import NamedTuple

MAX_REPORTS = 100
COST_EXCEEDED = "operation cancelled: actual cost limit exceeded"


class CelError(Exception):
    """Base of what the engine raises on purpose."""


class CompilationError(CelError):
    """The expression does not parse or does not check; the text shows each place."""


class EvaluationError(CelError):
    """An evaluation came to no value: "no such key: foo", "division by zero", "no such overload"…"""


class CostExceeded(CelError):
    """An evaluation cost more than one call may."""

    def __init__(self) -> None:
        super().__init__(COST_EXCEEDED)


class Report(NamedTuple):
    """One problem at a code point of the source."""

    offset: int
    message: str


class Source:
    """The text of an expression, and positions in it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def position(self, offset: int) -> tuple[int, int]:
        """(line from 1, column from 0) of a code point."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    def failure(self, reports: list[Report]) -> CompilationError:
        """All reports as one error, in the order of the source."""
        ordered = sorted(reports, key=lambda report: self.position(report.offset))
        shown = [self._show(report) for report in ordered[:MAX_REPORTS]]
        if len(ordered) > MAX_REPORTS:
            shown.append(f"{len(ordered) - MAX_REPORTS} more errors were truncated")
        return CompilationError("\n".join(shown))

    def _show(self, report: Report) -> str:
        line, column = self.position(report.offset)
        text = self.text.split("\n")[line - 1].replace("\t", " ")
        dots = "".join("." if ord(char) < 0x80 else "．" for char in text[:column])
        mark = "＾" if column < len(text) and ord(text[column]) >= 0x80 else "^"
        return f"ERROR: <input>:{line}:{column + 1}: {report.message}\n | {text}\n | {dots}{mark}"
