"""Volumes bound to a claim are not deleted beneath it: a finalizer holds them as long as they are bound."""
from __future__ import annotations

from datetime import datetime

from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, PERSISTENT_VOLUMES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, dig, is_deleting, meta, replaced
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

FINALIZER = "kubernetes.io/pv-protection"


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    volume = view.get(PERSISTENT_VOLUMES, *key)
    if volume is None:
        return Changes()
    finalizers = list(meta(volume).get("finalizers") or ())
    held, bound = FINALIZER in finalizers, dig(volume, "status", "phase") == "Bound"
    if held and is_deleting(volume) and not bound:
        wanted = [f for f in finalizers if f != FINALIZER]
    elif not held and not is_deleting(volume):
        wanted = [*finalizers, FINALIZER]
    else:
        return Changes()
    return Changes(changed(PERSISTENT_VOLUMES, volume, replaced(volume, ("metadata", "finalizers"), wanted or None)))


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("",), ("persistentvolumes",), ("get", "list", "patch", "update", "watch")), EVENTS_RULE)
    return Controller("pv-protection-controller", (Watch(PERSISTENT_VOLUMES),), reconcile, rules)
