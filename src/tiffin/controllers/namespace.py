"""Namespaces that are deleted: everything in them goes, what stays is told in the conditions, and then the namespace goes.

The content is what the server itself lists, never a cache: nothing may be left behind. Admission refuses new content from the moment
the deletion is stamped, so one pass over every resource suffices for what is not held by finalizers or graceful deletion.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from tiffin.controllers import catalog
from tiffin.controllers.config import Config
from tiffin.controllers.pods import condition
from tiffin.controllers.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from tiffin.controllers.writing import status_changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, meta, name_of, replaced
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, PolicyRule, Sweep, Swept, Update, View, Watch, no_keys

FINALIZER = "kubernetes"
SOONEST, LATEST = timedelta(seconds=0.25), timedelta(seconds=15)
"""How soon, and how late at most, a namespace that waits for its content is looked at again; the longer it waits, the later."""


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    namespace = view.get(NAMESPACES, *key)
    if namespace is None or not is_deleting(namespace) or FINALIZER not in dig(namespace, "spec", "finalizers", default=()):
        return Changes()
    resources = [h.resource for h in catalog.holdings(view) if h.namespaced]
    waited = now - parse_time(meta(namespace)["deletionTimestamp"])
    again = min(max(waited / 4, SOONEST), LATEST)
    return Changes((Sweep(resources, name_of(namespace), lambda swept: _swept(namespace, swept, now)),), requeue_after=again)


def _swept(namespace: Object, swept: Swept, now: datetime) -> Sequence[Change]:
    """Finalize an empty namespace; of one that is not, tell what remains."""
    if not swept.remaining and not swept.errors:
        kept = [f for f in dig(namespace, "spec", "finalizers", default=()) if f != FINALIZER]
        return (Update(NAMESPACES, replaced(namespace, ("spec", "finalizers"), kept), "finalize"),)
    status = {"phase": "Terminating", "conditions": _conditions(namespace, swept, now)}
    return status_changed(NAMESPACES, namespace, (namespace.get("status") or {}) | status)


def _conditions(namespace: Object, swept: Swept, now: datetime) -> list[Object]:
    told = [
        ("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", False, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        _failure(swept),
        _content(swept),
        _finalizers(swept),
    ]
    ours = {type for type, *_ in told}
    others = [c for c in dig(namespace, "status", "conditions", default=()) if c["type"] not in ours]
    return others + [_told(namespace, *entry, now) for entry in told]


def _told(namespace: Object, type: str, holds: bool, reason: str, message: str, now: datetime) -> Object:
    status = "True" if holds else "False"
    before = condition(namespace, type)
    since = before["lastTransitionTime"] if before and before["status"] == status else format_time(now)
    return {"type": type, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}


def _failure(swept: Swept) -> tuple[str, bool, str, str]:
    name = "NamespaceDeletionContentFailure"
    if not swept.errors:
        return name, False, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"
    texts = ", ".join(sorted(swept.errors.values()))
    return name, True, "ContentDeletionFailed", f"Failed to delete all resource types, {len(swept.errors)} remaining: {texts}"


def _content(swept: Swept) -> tuple[str, bool, str, str]:
    name = "NamespaceContentRemaining"
    if not swept.remaining:
        return name, False, "ContentRemoved", "All content successfully removed"
    counts = sorted(f"{r.plural}.{r.group} has {len(objects)} resource instances" for r, objects in swept.remaining.items())
    return name, True, "SomeResourcesRemain", f"Some resources are remaining: {', '.join(counts)}"


def _finalizers(swept: Swept) -> tuple[str, bool, str, str]:
    name = "NamespaceFinalizersRemaining"
    found = Counter(f for objects in swept.remaining.values() for obj in objects for f in meta(obj).get("finalizers") or ())
    if not found:
        return name, False, "ContentHasNoFinalizers", "All content-preserving finalizers finished"
    counts = sorted(f"{finalizer} in {count} resource instances" for finalizer, count in found.items())
    return name, True, "SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {', '.join(counts)}"


def controller(config: Config) -> Controller:
    watches = (Watch(NAMESPACES), Watch(CUSTOM_RESOURCE_DEFINITIONS, keys=no_keys))
    rules = (
        PolicyRule(("",), ("namespaces",), ("delete", "get", "list", "watch")),
        PolicyRule(("",), ("namespaces/finalize", "namespaces/status"), ("patch", "update")),
        PolicyRule(("*",), ("*",), ("delete", "deletecollection", "get", "list")),
    )
    return Controller("namespace-controller", watches, reconcile, rules)
