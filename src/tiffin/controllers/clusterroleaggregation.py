"""Cluster roles with an aggregation rule: their rules are those of the cluster roles they select, in the order of names."""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import CLUSTER_ROLES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, dig, key_of, labels_of, name_of
from tiffin.machinery.selectors import from_label_selector
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch


def aggregating_index(role: Object) -> Iterable[str]:
    """The index "aggregating": the one value "yes" for roles that are put together from others."""
    return ("yes",) if role.get("aggregationRule") else ()


def keys(role: Object, view: View) -> Iterable[Key]:
    return [key_of(aggregating) for aggregating in view.by_index(CLUSTER_ROLES, "aggregating", "yes")]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    role = view.get(CLUSTER_ROLES, *key)
    if role is None or not role.get("aggregationRule"):
        return Changes()
    rules: list[Object] = []
    for selector in map(from_label_selector, dig(role, "aggregationRule", "clusterRoleSelectors", default=())):
        for other in sorted(view.list(CLUSTER_ROLES), key=name_of):
            if name_of(other) != key.name and selector.matches(labels_of(other)):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return Changes(changed(CLUSTER_ROLES, role, role | {"rules": rules}) if rules != (role.get("rules") or []) else ())


def controller(config: Config) -> Controller:
    # Whoever puts roles together must hold what they grant, or escalation checks would refuse it.
    rules = (
        PolicyRule(("rbac.authorization.k8s.io",), ("clusterroles",), ("escalate", "get", "list", "patch", "update", "watch")),
        PolicyRule(("*",), ("*",), ("*",)),
    )
    return Controller("clusterrole-aggregation-controller", (Watch(CLUSTER_ROLES, keys=keys, indexes={"aggregating": aggregating_index}),), reconcile, rules)
