"""Claims that ask for more than they have: somebody else's driver makes volumes larger, and an event says that it is awaited.

Source: Kubernetes' volume expansion controller, which has no driver of its own any more.
"""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.api.core.volume_matching import requested
from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS
from tiffin.machinery import quantity
from tiffin.machinery.object import Key, Object, dig, key_of
from tiffin.runtime.controller import Changes, Controller, PolicyRule, RecordEvent, View, Watch


def is_too_small(claim: Object) -> bool:
    """Bound to a volume smaller than asked for."""
    has = dig(claim, "status", "capacity", "storage")
    return dig(claim, "status", "phase") == "Bound" and has is not None and quantity.compare(requested(claim), has) > 0


def keys(claim: Object, view: View) -> Iterable[Key]:
    return (key_of(claim),) if is_too_small(claim) else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    claim = view.get(PERSISTENT_VOLUME_CLAIMS, *key)
    if claim is None or not is_too_small(claim):
        return Changes()
    return Changes((RecordEvent(claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC"),))


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("",), ("persistentvolumeclaims",), ("get", "list", "watch")), EVENTS_RULE)
    watches = (Watch(PERSISTENT_VOLUME_CLAIMS, keys=keys, changed=lambda old, new: requested(old) != requested(new)),)
    return Controller("expand-controller", watches, reconcile, rules, component="volume_expand")
