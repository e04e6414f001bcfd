"""One pod's placement as a pure function of the state: the row it goes to, or why there is none."""
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import Profile
from tiffin.scheduler.state import Mask, State

PREEMPTION_HOPELESS = "Preemption is not helpful for scheduling"
PREEMPTION_NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass
class Placement:
    """The answer: a node's name, or what every node was refused for."""

    node: str = ""
    message: str = ""
    plugins: frozenset[str] = frozenset()
    """The filters that refused nodes: an event that concerns none of them cannot help."""
    resolvable: Mask | None = None
    """Rows where removing pods might help."""


@dataclass
class _Refusals:
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: set[str] = field(default_factory=set)


def feasible_rows(info: PodInfo, state: State, profile: Profile) -> tuple[Mask, Placement]:
    """The rows that every filter lets pass, and what the others were refused for. A row is refused by the first filter only."""
    left = state.alive.copy()
    refusals = _Refusals()
    resolvable = np.zeros(len(left), bool)
    for plugin in profile.filters:
        refused = np.zeros(len(left), bool)
        hopeless = np.zeros(len(left), bool)
        for rejection in plugin.rejections(info, state):
            rows = rejection.rows & left
            count = int(rows.sum())
            if count:
                refusals.reasons[rejection.reason] += count
                refused |= rows
                if not rejection.resolvable:
                    hopeless |= rows
        if refused.any():
            refusals.plugins.add(plugin.name)
            resolvable |= refused & ~hopeless
            left &= ~refused
            if not left.any():
                break
    return left, Placement(message=_message(refusals.reasons, state, resolvable), plugins=frozenset(refusals.plugins), resolvable=resolvable)


def _message(reasons: Counter[str], state: State, resolvable: Mask) -> str:
    total = int(state.alive.sum())
    if not total:
        return "no nodes available to schedule pods"
    counts = ", ".join(sorted(f"{n} {reason}" for reason, n in reasons.items()))
    helpful = int(resolvable.sum())
    preemption = Counter({PREEMPTION_NO_VICTIMS: helpful, PREEMPTION_HOPELESS: total - helpful})
    listed = ", ".join(sorted(f"{n} {reason}" for reason, n in preemption.items() if n))
    return f"0/{total} nodes are available: {counts}. no new claims to deallocate, preemption: 0/{total} nodes are available: {listed}."


def place(info: PodInfo, state: State, profile: Profile, turn: int) -> Placement:
    """Where the pod goes. Among equally good rows `turn` (any number) decides."""
    feasible, refused = feasible_rows(info, state, profile)
    rows = np.flatnonzero(feasible)
    if not len(rows):
        return refused
    if len(rows) > 1:
        total = np.zeros(len(feasible))
        for plugin, weight in profile.scores:
            score = plugin.score(info, state, feasible)
            if score is not None:
                total += weight * np.floor(score)
        chosen = total[rows]
        rows = rows[chosen == chosen.max()]
    node = state.nodes[int(rows[turn % len(rows)])]
    assert node is not None
    return Placement(node=node["metadata"]["name"])
