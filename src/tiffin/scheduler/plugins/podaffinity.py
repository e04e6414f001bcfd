"""InterPodAffinity: pods that must or should be near others, or away from them, counted by topology domain."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiffin.scheduler.plugins.base import MAX_SCORE, Rejection
from tiffin.scheduler.podinfo import AffinityTerm, PodInfo
from tiffin.scheduler.state import Floats, Ints, Mask, State

HARD_WEIGHT = 1
"""What the required affinity of pods already placed counts when rows are compared."""


def spread_over_domains(counts: Ints, key: str, state: State) -> Ints:
    """Each row's count over its whole domain of the topology key; 0 for rows without the label."""
    return state.domain(key).sums(counts)


def _refused(found: Sequence[Rejection], state: State) -> Mask:
    """Rows that are out already."""
    rows = np.zeros(len(state.nodes), bool)
    for rejection in found:
        rows |= rejection.rows
    return rows


class InterPodAffinity:
    name = "InterPodAffinity"

    def _means(self, term: AffinityTerm, info: PodInfo, state: State) -> bool:
        return term.selects(info.namespace, info.labels, state.namespaces.get(info.namespace, {}))

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        """Of a row that is out for several reasons the first is told."""
        found: list[Rejection] = []
        if info.affinity:
            lonely = self._unmet(info, state)
            if lonely.any():
                found.append(Rejection(lonely, "node(s) didn't match pod affinity rules", False))
        if info.anti_affinity:
            near = np.zeros(len(state.nodes), bool)
            for term in info.anti_affinity:
                near |= spread_over_domains(state.selected_by(term), term.topology_key, state) > 0
            near &= ~_refused(found, state)
            if near.any():
                found.append(Rejection(near, "node(s) didn't match pod anti-affinity rules", True))
        if state.anti_terms:
            unwanted = np.zeros(len(state.nodes), bool)
            for term, counts in state.anti_terms.items():
                if counts.any() and self._means(term, info, state):
                    unwanted |= spread_over_domains(counts, term.topology_key, state) > 0
            unwanted &= ~_refused(found, state)
            if unwanted.any():
                found.append(Rejection(unwanted, "node(s) didn't satisfy existing pods anti-affinity rules", True))
        return found

    def _unmet(self, info: PodInfo, state: State) -> Mask:
        """Rows where a required term is not met. The first pod of a group that likes itself may go anywhere."""
        met = state.alive.copy()
        somewhere = False
        for term in info.affinity:
            counts = spread_over_domains(state.selected_by(term), term.topology_key, state)
            somewhere = somewhere or bool((counts > 0).any())
            met &= counts > 0
        if not somewhere and all(self._means(term, info, state) for term in info.affinity):
            met = state.alive.copy()
            for term in info.affinity:
                met &= state.domain(term.topology_key).labelled
        return ~met

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        if not (info.preferred_affinity or info.preferred_anti_affinity or state.liked_terms):
            return None
        total = np.zeros(len(state.nodes))
        for term in info.preferred_affinity:
            total += term.weight * spread_over_domains(state.selected_by(term), term.topology_key, state)
        for term in info.preferred_anti_affinity:
            total -= term.weight * spread_over_domains(state.selected_by(term), term.topology_key, state)
        for (kind, term), counts in state.liked_terms.items():
            if counts.any() and self._means(term, info, state):
                weight = {"required": HARD_WEIGHT, "like": term.weight, "dislike": -term.weight}[kind]
                total += weight * spread_over_domains(counts, term.topology_key, state)
        low, high = total[feasible].min(), total[feasible].max()
        return MAX_SCORE * (total - low) / (high - low) if high > low else None
