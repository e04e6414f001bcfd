"""PodTopologySpread: hard constraints as a filter, soft ones and the cluster's defaults as a score."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.scheduler.plugins.base import MAX_SCORE, Rejection
from tiffin.scheduler.plugins.nodes import NodeAffinity, TaintToleration
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import Floats, Mask, State

HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
"""Topology key and maximal skew of the soft constraints of pods that have none of their own but belong to something."""


@dataclass(frozen=True)
class Constraint:
    """One constraint with its selector resolved."""

    key: str
    max_skew: int
    hard: bool
    selector: Selector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def constraints_of(info: PodInfo, default_selector: Selector | None) -> list[Constraint]:
    """The pod's own constraints, or the defaults when it has none and something selects it."""
    declared: Sequence[Mapping[str, Any]] = info.spec.get("topologySpreadConstraints") or ()
    if not declared:
        return [Constraint(k, skew, False, default_selector) for k, skew in DEFAULTS] if default_selector is not None else []
    return [_constraint(c, info) for c in declared]


def _constraint(given: Mapping[str, Any], info: PodInfo) -> Constraint:
    selector = given.get("labelSelector")
    extra = [{"key": k, "operator": "In", "values": [info.labels[k]]} for k in given.get("matchLabelKeys") or () if k in info.labels]
    if extra and selector is not None:
        selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
    return Constraint(
        given["topologyKey"], given["maxSkew"], given["whenUnsatisfiable"] == "DoNotSchedule", from_label_selector(selector),
        given.get("minDomains") or 1, given.get("nodeAffinityPolicy", "Honor") == "Honor", given.get("nodeTaintsPolicy", "Ignore") == "Honor")


class PodTopologySpread:
    name = "PodTopologySpread"

    def __init__(self, affinity: NodeAffinity, taints: TaintToleration, default_selector: Callable[[PodInfo], Selector | None]) -> None:
        self._affinity, self._taints, self._default_selector = affinity, taints, default_selector

    def _eligible(self, constraint: Constraint, info: PodInfo, state: State) -> Mask:
        """Rows whose domains count for the constraint."""
        rows = state.alive
        if constraint.honor_affinity:
            required = self._affinity.required(info, state)
            rows = rows if required is None else rows & required
        if constraint.honor_taints:
            for rejection in self._taints.rejections(info, state):
                rows = rows & ~rejection.rows
        return rows

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        hard = [c for c in constraints_of(info, None) if c.hard]
        if not hard:
            return ()
        unlabelled = np.zeros(len(state.nodes), bool)
        skewed = np.zeros(len(state.nodes), bool)
        for constraint in hard:
            domains = state.domain(constraint.key)
            unlabelled |= ~domains.labelled & ~skewed
            counted = self._eligible(constraint, info, state) & domains.labelled
            sums = domains.sums(state.matching(info.namespace, constraint.selector), counted)
            enough = counted.any() and domains.present(counted) >= constraint.min_domains
            least = sums[counted].min() if enough else 0
            own = 1 if constraint.selector.matches(info.labels) else 0
            skewed |= ~unlabelled & (sums + own - least > constraint.max_skew)
        found = []
        if unlabelled.any():
            found.append(Rejection(unlabelled, "node(s) didn't match pod topology spread constraints (missing required label)", False))
        if skewed.any():
            found.append(Rejection(skewed, "node(s) didn't match pod topology spread constraints", True))
        return found

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        soft = [c for c in constraints_of(info, self._default_selector(info)) if not c.hard]
        total: Floats | None = None
        for constraint in soft:
            domains = state.domain(constraint.key)
            present = domains.present(feasible)
            if not present:
                continue
            sums = domains.sums(state.matching(info.namespace, constraint.selector), self._eligible(constraint, info, state))
            weight = np.float64(math.log(present + 2))
            part: Floats = (sums.astype(np.float64) * weight + (constraint.max_skew - 1)) * domains.labelled
            total = part if total is None else total + part
        if total is None:
            return None
        chosen = total[feasible]
        low, high = chosen.min(), chosen.max()
        return MAX_SCORE * (high + low - total) / high if high > low else None
