"""One pod's placement as a pure function of the state: the row it goes to, or why there is none."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import Profile
from tiffin.scheduler.state import Mask, State


@dataclass
class Refusals:
    """What rows were refused for, each by the first filter that refuses it."""

    resolvable: Mask
    """Rows where removing pods might help."""
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: set[str] = field(default_factory=set)
    """The filters that refused rows: an event that concerns none of them cannot help."""
    whole: str = ""
    """Why the pod can be on no node at all, whatever the nodes are."""


@dataclass
class Placement:
    """The answer: a node's name, or what every node was refused for."""

    node: str = ""
    refusals: Refusals | None = None


def feasible_rows(info: PodInfo, state: State, profile: Profile, among: Mask | None = None) -> tuple[Mask, Refusals]:
    """The rows (of `among`, else of all nodes) that every filter lets pass, and what the others were refused for."""
    left = state.alive.copy() if among is None else among.copy()
    refusals = Refusals(np.zeros(len(left), bool))
    for first in profile.prefilters:
        narrowed = first.narrowed(info, state)
        if isinstance(narrowed, str):
            refusals.whole = narrowed
            refusals.plugins.add(first.name)
            return np.zeros_like(left), refusals
        if narrowed is not None:
            rows = left & ~narrowed
            if rows.any():
                refusals.reasons[f"node(s) didn't satisfy plugin(s) [{first.name}]"] += int(rows.sum())
                refusals.plugins.add(first.name)
                left &= narrowed
    for plugin in profile.filters:
        rejections = plugin.rejections(info, state)
        if not rejections:
            continue
        refused = np.zeros(len(left), bool)
        hopeless = np.zeros(len(left), bool)
        for rejection in rejections:
            rows = rejection.rows & left
            count = int(rows.sum())
            if count:
                refusals.reasons[rejection.reason] += count
                refused |= rows
                if not rejection.resolvable:
                    hopeless |= rows
        if refused.any():
            refusals.plugins.add(plugin.name)
            refusals.resolvable |= refused & ~hopeless
            left &= ~refused
            if not left.any():
                break
    return left, refusals


@contextmanager
def _nominated_placed(info: PodInfo, state: State) -> Iterator[bool]:
    """Counts the pods nominated to nodes, unless less important than `info`; yields whether there are any."""
    others = [n for n in state.nominated.values() if n.uid != info.uid and n.uid not in state.pods and n.priority >= info.priority and n.node in state.rows]
    for other in others:
        state.place(other)
    try:
        yield bool(others)
    finally:
        for other in others:
            state.displace(other.uid)


def possible_rows(info: PodInfo, state: State, profile: Profile, among: Mask | None = None) -> tuple[Mask, Refusals]:
    """The feasible rows with and without the pods that are nominated, which may or may not come."""
    if not state.nominated:
        return feasible_rows(info, state, profile, among)
    with _nominated_placed(info, state) as any_nominated:
        feasible, refusals = feasible_rows(info, state, profile, among)
    if any_nominated and feasible.any():
        alone, further = feasible_rows(info, state, profile, feasible)
        refusals.reasons += further.reasons
        refusals.plugins |= further.plugins
        refusals.resolvable |= further.resolvable
        feasible = alone
    return feasible, refusals


def explain(refusals: Refusals, state: State, preemption: str) -> str:
    """Why no node is available. `preemption` is what trying to make room came to, "" where room is being made."""
    total = int(state.alive.sum())
    if not total:
        return "no nodes available to schedule pods"
    if refusals.whole:
        return f"0/{total} nodes are available: {refusals.whole}. not found"
    after = f" no new claims to deallocate, preemption: {preemption}" if preemption else ""
    return f"{counted(total, refusals.reasons)}{after}"


def counted(total: int, reasons: Counter[str]) -> str:
    """The sentence that says how many nodes are out for which reason."""
    listed = ", ".join(sorted(f"{n} {reason}" for reason, n in reasons.items() if n))
    return f"0/{total} nodes are available: {listed}."


def place(info: PodInfo, state: State, profile: Profile, turn: int) -> Placement:
    """Where the pod goes: the node it is nominated to, else the best; among equally good ones `turn` (any number) decides."""
    feasible, refusals = possible_rows(info, state, profile)
    rows = np.flatnonzero(feasible)
    if not len(rows):
        return Placement(refusals=refusals)
    nominated = state.nominated.get(info.uid)
    wanted = state.rows.get(nominated.node) if nominated else None
    if wanted is not None and feasible[wanted]:
        rows = np.array([wanted])
    elif len(rows) > 1:
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
