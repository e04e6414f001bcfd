"""DefaultPreemption: which less important pods have to go so that a pod finds a node, as a pure function of the state.

Rules
* Only rows count where a filter refused the pod for something that pods leaving can change.
* On a row all less important pods are taken away at first; then, most important first, each is put back that may stay. Pods whose
  eviction would violate a disruption budget are put back before the others.
* The best row violates the fewest budgets; then its most important victim is the least important, the sum of its victims'
  priorities is lowest, its victims are fewest, its most important victims started latest.
The state is the same after as before.

Source: Kubernetes documentation, "Pod Priority and Preemption"; KEP-268.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiffin.machinery.object import Object, dig, is_deleting, meta
from tiffin.machinery.selectors import from_label_selector
from tiffin.scheduler.plan import Refusals, counted, possible_rows
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import Profile
from tiffin.scheduler.state import Mask, State

HOPELESS = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
REASON = "PreemptionByScheduler"
"""Reason of the DisruptionTarget condition of victims."""
MOST_CANDIDATES = 50
"""Rows that are looked at exactly; where there are more, these are enough for a good choice."""
OFFSET = 2**31
"""Added to priorities before they are summed, so that more victims never weigh less because priorities are negative."""


@dataclass
class Preemption:
    """The node to make room on and the pods that have to go; or without a node, why there is none."""

    node: str = ""
    victims: Sequence[PodInfo] = ()
    message: str = ""
    waits: bool = False
    """Room is being made already: the pods that have to go are about to."""


def preempt(info: PodInfo, state: State, profile: Profile, refusals: Refusals, budgets: Sequence[Object]) -> Preemption:
    """How to make room for a pod that was refused everywhere. `budgets` are the PodDisruptionBudgets of all namespaces."""
    if info.spec.get("preemptionPolicy") == "Never":
        return Preemption(message="not eligible due to preemptionPolicy=Never.")
    if _room_is_being_made(info, state):
        return Preemption(message="not eligible due to a terminating pod on the nominated node.", waits=True)
    candidates = _rows_with_victims(info, state, refusals.resolvable)
    after = Counter({HOPELESS: int((state.alive & ~refusals.resolvable).sum()), NO_VICTIMS: int((refusals.resolvable & ~candidates).sum())})
    if candidates.any():
        candidates, reasons = _possible_without_victims(info, state, profile, candidates)
        after += reasons
    choices = [c for row in np.flatnonzero(candidates)[:MOST_CANDIDATES] if (c := _choice(info, state, profile, int(row), budgets))]
    if not choices:
        return Preemption(message=counted(int(state.alive.sum()), after))
    _, node, victims = min(choices, key=lambda choice: choice[0])
    return Preemption(node, victims)


def _room_is_being_made(info: PodInfo, state: State) -> bool:
    nominated = state.nominated.get(info.uid)
    row = state.rows.get(nominated.node) if nominated else None
    return row is not None and any(p.priority < info.priority and _goes_for_another(p.pod) for p in state.on_row[row].values())


def _goes_for_another(pod: Object) -> bool:
    conditions = dig(pod, "status", "conditions", default=())
    return is_deleting(pod) and any(c.get("type") == "DisruptionTarget" and c.get("reason") == REASON for c in conditions)


def _lesser(info: PodInfo, state: State, row: int) -> list[PodInfo]:
    return [p for p in state.on_row[row].values() if p.priority < info.priority]


def _rows_with_victims(info: PodInfo, state: State, rows: Mask) -> Mask:
    found = np.zeros(len(rows), bool)
    for row in np.flatnonzero(rows):
        found[row] = any(p.priority < info.priority for p in state.on_row[int(row)].values())
    return found


def _possible_without_victims(info: PodInfo, state: State, profile: Profile, rows: Mask) -> tuple[Mask, Counter[str]]:
    """The rows that would do if every less important pod left, and why the others would not."""
    gone = [p for row in np.flatnonzero(rows) for p in _lesser(info, state, int(row))]
    for pod in gone:
        state.displace(pod.uid)
    possible, refusals = possible_rows(info, state, profile, rows)
    for pod in gone:
        state.place(pod)
    return possible, refusals.reasons


def _importance(info: PodInfo) -> tuple[int, str]:
    """Sorts the most important pod first: by priority, then by how long it runs."""
    return -info.priority, _started(info)


def _started(info: PodInfo) -> str:
    return dig(info.pod, "status", "startTime", default="") or meta(info.pod).get("creationTimestamp") or ""


def _choice(
    info: PodInfo, state: State, profile: Profile, row: int, budgets: Sequence[Object]
) -> tuple[tuple[int, ...], str, list[PodInfo]] | None:
    """What the row costs (less is better), its node and its victims; None where the pod does not fit even alone."""
    lesser = sorted(_lesser(info, state, row), key=_importance)
    violating = _violating(lesser, budgets)
    only = np.zeros(len(state.alive), bool)
    only[row] = True
    for pod in lesser:
        state.displace(pod.uid)
    victims: list[PodInfo] = []
    try:
        if not possible_rows(info, state, profile, only)[0][row]:
            return None
        for pod in sorted(lesser, key=lambda p: p.uid not in violating):
            state.place(pod)
            if not possible_rows(info, state, profile, only)[0][row]:
                state.displace(pod.uid)
                victims.append(pod)
    finally:
        for pod in lesser:
            if pod.uid not in state.pods:
                state.place(pod)
    return (_cost(victims, violating), lesser[0].node, victims) if victims else None


def _cost(victims: Sequence[PodInfo], violating: set[str]) -> tuple[int, ...]:
    highest = max(v.priority for v in victims)
    earliest = min(_started(v) for v in victims if v.priority == highest)
    return (
        sum(v.uid in violating for v in victims), highest, sum(v.priority + OFFSET for v in victims), len(victims),
        -int("".join(c for c in earliest if c.isdigit()) or 0))


def _violating(pods: Sequence[PodInfo], budgets: Sequence[Object]) -> set[str]:
    """UIDs of those whose eviction, in this order, a budget does not allow."""
    left = [dig(b, "status", "disruptionsAllowed", default=0) for b in budgets]
    found = set()
    for pod in pods:
        for number, budget in enumerate(budgets):
            selector = dig(budget, "spec", "selector")
            if meta(budget).get("namespace") != pod.namespace or not selector or not from_label_selector(selector).matches(pod.labels):
                continue
            if pod.key.name in dig(budget, "status", "disruptedPods", default={}):
                continue
            left[number] -= 1
            if left[number] < 0:
                found.add(pod.uid)
    return found
