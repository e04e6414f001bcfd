"""What a scheduling plugin is: filters answer masks, scores answer vectors over the rows of the state."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import Floats, Mask, State

MAX_SCORE = 100.0


class Rejection(NamedTuple):
    """Rows that a filter refuses for one reason. `resolvable`: removing pods from the node might help."""

    rows: Mask
    reason: str
    resolvable: bool


class PreFilter(Protocol):
    """Says first, from the pod alone, which rows come into question."""

    name: str

    def narrowed(self, info: PodInfo, state: State) -> Mask | str | None:
        """The only rows that come into question, None for all; or why the pod can be on no node at all."""
        ...


class Filter(Protocol):
    """Says which rows are out of the question."""

    name: str

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        """What is refused and why; rows not named pass. A row may be refused for several reasons."""
        ...


class Score(Protocol):
    """Says how good each row is."""

    name: str

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        """From 0 to 100 per row, already normalised over the feasible rows; None where all rows are alike."""
        ...
