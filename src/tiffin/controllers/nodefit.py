"""Whether a pod of a DaemonSet may be on a node: by name, by node selector and affinity, by taints.

Source: core/v1 NodeSelector and Toleration semantics, and the DaemonSet documentation.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tiffin.controllers.tainteviction import tolerates
from tiffin.machinery.object import Object, dig, labels_of, name_of

_NODE = "node.kubernetes.io/"
_ALWAYS = (
    ("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"), ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule"),
)  # fmt: skip


class Fit(NamedTuple):
    """Whether a pod should be put on the node, and whether one that is there may stay."""

    should_run: bool
    may_stay: bool


def daemon_tolerations(spec: Object) -> list[Object]:
    """The pod's tolerations and those that every daemon has: it runs where others must not."""
    keys = [*_ALWAYS, *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])]
    added = [{"key": _NODE + key, "operator": "Exists", "effect": effect} for key, effect in keys]
    given = list(spec.get("tolerations") or ())
    return given + [toleration for toleration in added if toleration not in given]


def fit(spec: Object, node: Object) -> Fit:
    """How a pod of this spec fits the node."""
    if spec.get("nodeName") not in (None, "", name_of(node)) or not matches_node(spec, node):
        return Fit(False, False)
    tolerations = daemon_tolerations(spec)
    borne = [taint for taint in dig(node, "spec", "taints", default=()) if not any(tolerates(t, taint) for t in tolerations)]
    effects = {taint.get("effect") for taint in borne}
    return Fit(not effects & {"NoSchedule", "NoExecute"}, "NoExecute" not in effects)


def matches_node(spec: Object, node: Object) -> bool:
    """Node selector and required node affinity."""
    if not (spec.get("nodeSelector") or {}).items() <= labels_of(node).items():
        return False
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    named = {"metadata.name": name_of(node)}
    return all(_holds(e, labels_of(node)) for e in expressions) and all(_holds(e, named) for e in fields)


def _holds(expression: Object, values: Mapping[str, str]) -> bool:
    key, operator, wanted = expression["key"], expression["operator"], expression.get("values") or ()
    match operator:
        case "In":
            return values.get(key) in wanted
        case "NotIn":
            return values.get(key) not in wanted
        case "Exists":
            return key in values
        case "DoesNotExist":
            return key not in values
        case _:
            return _compares(operator, values.get(key, ""), wanted)


def _compares(operator: str, value: str, wanted: Sequence[str]) -> bool:
    try:
        number, limit = int(value), int(wanted[0])
    except (ValueError, IndexError):
        return False
    return number > limit if operator == "Gt" else number < limit
