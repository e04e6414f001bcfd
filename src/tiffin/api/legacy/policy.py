"""policy/v1beta1, 1.5 to 1.24: PodDisruptionBudget, whose empty selector chose no pod. (PodSecurityPolicy has a file of its own.)

An empty selector of v1 chooses every pod of the namespace. So what is empty in one version is written in the other as a requirement
about a label that no pod has; Kubernetes reserves one for that.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Package
from tiffin.api.legacy.retired import Retired, changed
from tiffin.machinery.object import Object

_RESERVED = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
_NOBODY, _EVERYBODY = ({"matchExpressions": [{"key": _RESERVED, "operator": operator}]} for operator in ("Exists", "DoesNotExist"))
_SELECTOR = ("spec", "selector")
_V1BETA1 = Package("policy.v1beta1", "policy", "v1beta1", "policy.v1", ("PodDisruptionBudget", "Eviction"))


def _exchanged(reserved: dict[str, Any], empty: dict[str, Any]) -> Any:
    """A change of selectors: what is `reserved` becomes the empty one, and what is empty becomes `empty`."""

    def change(selector: dict[str, Any]) -> dict[str, Any]:
        if selector == reserved:
            return {}
        return selector if any(selector.values()) else empty

    return change


def _to_v1(obj: Object) -> Object:
    return changed(obj, _SELECTOR, _exchanged(_EVERYBODY, _NOBODY))


def _from_v1(obj: Object) -> Object:
    return changed(obj, _SELECTOR, _exchanged(_NOBODY, _EVERYBODY))


PACKAGES = (_V1BETA1,)
VERSIONS = (Retired("poddisruptionbudgets.policy", _V1BETA1, "1.21", "1.25", from_stored=_from_v1, to_stored=_to_v1),)
