"""How the server's concurrency is divided among priority levels. Pure.

Each level has a nominal share. It lends part of it to others and may borrow; who needs what at the moment decides within these
bounds, in the proportion of what each needs. Source: KEP-1040, "Borrowing"; Kubernetes documentation.
"""
from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from tiffin.machinery.object import Object

ROUNDS = 32
"""Halvings in the search for the common factor: enough for a thousandth of a seat."""


class Limits(NamedTuple):
    """A level's seats: nominal, the least it keeps however much others need, and the most it may ever hold."""

    nominal: int
    least: int
    most: int


class Need(NamedTuple):
    """What a level may have, and the seats its requests hold or wait for."""

    limits: Limits
    demand: int


def limits_of(spec: Object, total: int, all_shares: int) -> Limits:
    """The limits that the spec of a Limited level comes to, of `total` seats and the sum of everybody's shares."""
    limited = spec.get("limited") or {}
    nominal = ceil(total * (limited.get("nominalConcurrencyShares") or 0) / all_shares) if all_shares else 0
    lendable = round(nominal * (limited.get("lendablePercent") or 0) / 100)
    borrowing = limited.get("borrowingLimitPercent")
    return Limits(nominal, nominal - lendable, nominal + (total if borrowing is None else round(nominal * borrowing / 100)))


def divide(total: int, needs: Sequence[Need]) -> list[int]:
    """Seats for each level: as many as it needs, times a factor common to all, within its bounds, together about `total`."""
    floors = [max(n.limits.least, min(n.limits.nominal, n.demand)) for n in needs]
    wanted = [max(floor, n.demand) for floor, n in zip(floors, needs)]
    low, high = 0.0, float(max(total, 1))

    def seats(factor: float) -> list[float]:
        return [max(floor, min(n.limits.most, factor * want)) for n, floor, want in zip(needs, floors, wanted)]

    for _ in range(ROUNDS):
        middle = (low + high) / 2
        if sum(seats(middle)) < total:
            low = middle
        else:
            high = middle
    return [round(value) for value in seats(low)]
