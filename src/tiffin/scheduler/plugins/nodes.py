"""Filters by the node itself: NodeName, NodeUnschedulable, TaintToleration, NodeAffinity."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from tiffin.machinery.object import labels_of, name_of
from tiffin.scheduler.plugins.base import MAX_SCORE, Rejection
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.state import BLOCKING, Floats, Mask, State, Taint

UNSCHEDULABLE = ("node.kubernetes.io/unschedulable", "", "NoSchedule")
KEPT = 512


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """Whether one toleration covers one taint."""
    key, value, effect = taint
    if toleration.get("effect") and toleration["effect"] != effect:
        return False
    if toleration.get("key") and toleration["key"] != key:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.get("key")) and (toleration.get("value") or "") == value
    try:
        given, wanted = int(value), int(toleration.get("value") or "")
    except ValueError:
        return False
    return given > wanted if operator == "Gt" else given < wanted


def tolerated(info: PodInfo, taint: Taint) -> bool:
    return any(tolerates(t, taint) for t in info.spec.get("tolerations") or ())


class NodeName:
    name = "NodeName"

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        wanted = info.spec.get("nodeName")
        if not wanted:
            return ()
        rows = state.alive.copy()
        if wanted in state.rows:
            rows[state.rows[wanted]] = False
        return (Rejection(rows, "node(s) didn't match the requested node name", False),)


class NodeUnschedulable:
    name = "NodeUnschedulable"

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        if not state.unschedulable.any() or tolerated(info, UNSCHEDULABLE):
            return ()
        return (Rejection(state.unschedulable, "node(s) were unschedulable", False),)


class _Kept:
    """Results that depend only on nodes and on a part of the pod's spec, kept while the nodes stay as they are."""

    def __init__(self) -> None:
        self._generation = -1
        self._results: dict[bytes, Any] = {}

    def get(self, state: State, part: object, make: Callable[[], Any]) -> Any:
        if state.generation != self._generation or len(self._results) > KEPT:
            self._generation = state.generation
            self._results.clear()
        key = orjson.dumps(part)
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]


class TaintToleration:
    name = "TaintToleration"

    def __init__(self) -> None:
        self._blocked, self._disliked = _Kept(), _Kept()

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        rows: Mask | None = self._blocked.get(state, info.spec.get("tolerations"), lambda: self._blocking(info, state))
        return () if rows is None else (Rejection(rows, "node(s) had untolerated taint(s)", False),)

    @staticmethod
    def _blocking(info: PodInfo, state: State) -> Mask | None:
        columns = [mask for taint, mask in state.taints.items() if taint[2] in BLOCKING and mask.any() and not tolerated(info, taint)]
        return np.logical_or.reduce(columns) if columns else None

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        counts: Floats | None = self._disliked.get(state, info.spec.get("tolerations"), lambda: self._avoided(info, state))
        if counts is None:
            return None
        most = counts[feasible].max()
        return MAX_SCORE * (most - counts) / most if most else None

    @staticmethod
    def _avoided(info: PodInfo, state: State) -> Floats | None:
        columns = [mask for taint, mask in state.taints.items() if taint[2] == "PreferNoSchedule" and mask.any() and not tolerated(info, taint)]
        return np.add.reduce([c.astype(np.float64) for c in columns]) if columns else None


class NodeAffinity:
    name = "NodeAffinity"
    REASON = "node(s) didn't match Pod's node affinity/selector"

    def __init__(self) -> None:
        self._matching, self._preferred = _Kept(), _Kept()

    def required(self, info: PodInfo, state: State) -> Mask | None:
        """Rows that the pod's nodeSelector and required node affinity allow; None for all."""
        selector, affinity = info.spec.get("nodeSelector"), (info.spec.get("affinity") or {}).get("nodeAffinity")
        if not selector and not affinity:
            return None
        rows: Mask | None = self._matching.get(state, [selector, affinity], lambda: self._matches(selector or {}, affinity or {}, state))
        return rows

    @staticmethod
    def _matches(selector: Mapping[str, str], affinity: Mapping[str, Any], state: State) -> Mask | None:
        rows = state.alive.copy()
        for key, value in selector.items():
            rows &= state.label(key, value)
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        if required is not None:
            terms = [term_rows(term, state) for term in required.get("nodeSelectorTerms") or ()]
            rows &= np.logical_or.reduce(terms) if terms else np.zeros_like(rows)
        return rows

    def narrowed(self, info: PodInfo, state: State) -> Mask | str | None:
        """The nodes that the pod names, where each of its required terms does, as the pods of a DaemonSet do."""
        affinity = (info.spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        named = _named(required.get("nodeSelectorTerms") or ()) if required else None
        if named is None:
            return None
        if not named:
            return "pod affinity terms conflict"
        rows = np.zeros(len(state.nodes), bool)
        rows[[state.rows[name] for name in named if name in state.rows]] = True
        return rows

    def rejections(self, info: PodInfo, state: State) -> Sequence[Rejection]:
        rows = self.required(info, state)
        return () if rows is None else (Rejection(~rows, self.REASON, False),)

    def score(self, info: PodInfo, state: State, feasible: Mask) -> Floats | None:
        affinity = (info.spec.get("affinity") or {}).get("nodeAffinity") or {}
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution")
        if not preferred:
            return None
        total: Floats = self._preferred.get(state, preferred, lambda: self._weights(preferred, state))
        most = total[feasible].max()
        return MAX_SCORE * total / most if most > 0 else None

    @staticmethod
    def _weights(preferred: Sequence[Mapping[str, Any]], state: State) -> Floats:
        total = np.zeros(len(state.nodes))
        for term in preferred:
            total += term["weight"] * term_rows(term.get("preference") or {}, state)
        return total


def _named(terms: Sequence[Mapping[str, Any]]) -> set[str] | None:
    """The names that the terms allow together; None where one of them allows any."""
    names: set[str] = set()
    for term in terms:
        given = [set(e.get("values") or ()) for e in term.get("matchFields") or () if e["key"] == "metadata.name" and e["operator"] == "In"]
        if not given:
            return None
        names |= set.intersection(*given)
    return names if terms else None


def term_rows(term: Mapping[str, Any], state: State) -> Mask:
    """Rows that one node selector term means; an empty term means none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return np.zeros(len(state.nodes), bool)
    rows = state.alive.copy()
    for expression in expressions:
        rows &= _expression_rows(expression, state)
    for expression in fields:
        names = set(expression.get("values") or ())
        own = np.array([n is not None and name_of(n) in names for n in state.nodes])
        rows &= own if expression["operator"] == "In" else ~own
    return rows


def _expression_rows(expression: Mapping[str, Any], state: State) -> Mask:
    key, operator = expression["key"], expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    if operator == "Exists":
        return state.label_key(key)
    if operator == "DoesNotExist":
        return ~state.label_key(key)
    if operator in ("In", "NotIn"):
        among = np.logical_or.reduce([state.label(key, value) for value in values]) if values else np.zeros(len(state.nodes), bool)
        return among if operator == "In" else ~among
    return np.array([_compares(labels_of(n).get(key) if n else None, operator, values[0]) for n in state.nodes])


def _compares(label: str | None, operator: str, value: str) -> bool:
    try:
        return label is not None and (int(label) > int(value) if operator == "Gt" else int(label) < int(value))
    except ValueError:
        return False
