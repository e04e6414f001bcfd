"""Labels of nodes that have been renamed or retired: whoever selects by them is warned."""
from __future__ import annotations

from typing import Any

from tiffin.machinery.names import is_label_value

DEPRECATED = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def selector_warnings(selector: dict[str, Any] | None, path: str) -> list[str]:
    """Warnings about a LabelSelector of nodes."""
    selector = selector or {}
    labels = [f"{path}.matchLabels.{key}: {DEPRECATED[key]}" for key in sorted(selector.get("matchLabels") or {}) if key in DEPRECATED]
    return node_term_warnings(selector, path, check_values=False) + labels


def node_term_warnings(term: dict[str, Any], path: str, *, check_values: bool) -> list[str]:
    """Warnings about a NodeSelectorTerm. Values are refused where they decide; where they are preferences they may be checked here."""
    found = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{index}]", expression.get("key")
        if key in DEPRECATED:
            found.append(f"{at}.key: {key} is {DEPRECATED[key]}")
        for position, value in enumerate(expression.get("values") or () if check_values else ()):
            found += [f"{at}.values[{position}]: {value} is invalid, {complaint}" for complaint in is_label_value(value)]
    return found
