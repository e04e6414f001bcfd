"""How long kubelets may keep Secrets and ConfigMaps without asking again, as an annotation of every node: longer in larger clusters.

The bounds of neighbouring steps overlap, so that a cluster at one of them does not go to and fro. Source: Kubernetes' TTL controller.
"""
from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, NODES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, annotations_of, is_deleting, replaced
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

TTL = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 10000, 300))
"""From how many nodes on, up to how many, and the seconds."""


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    node = view.get(NODES, *key)
    if node is None or is_deleting(node):
        return Changes()
    seconds = ttl(annotations_of(node).get(TTL, ""), len(view.list(NODES)))
    return Changes(changed(NODES, node, replaced(node, ("metadata", "annotations"), {**annotations_of(node), TTL: str(seconds)}), guarded=False))


def ttl(before: str, nodes: int) -> int:
    """The seconds for a cluster of that size; what it was stays where the bounds allow it."""
    for least, most, seconds in STEPS:
        if before == str(seconds) and least <= nodes <= most:
            return seconds
    return next((step[2] for step, _ in pairwise(STEPS) if nodes <= step[1]), STEPS[-1][2])


def is_changed(old: Object, new: Object) -> bool:
    return annotations_of(old).get(TTL) != annotations_of(new).get(TTL)


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("",), ("nodes",), ("list", "patch", "update", "watch")), EVENTS_RULE)
    return Controller("ttl-controller", (Watch(NODES, changed=is_changed),), reconcile, rules)
