"""Garbage collection by owner references, for every kind there is.

A key is one object: namespace, and "group-resource/name". What happens to it depends on its owners and its own deletion:

    an owner is there (and not waiting)      references to absent or waiting owners are dropped, the object stays
    owners absent, none there                deleted, in the way its finalizers ask for, else in the background
    only owners that wait for dependents     deleted in the foreground
    deleted with "orphan"                    its dependents lose their reference, then the finalizer goes
    deleted with "foregroundDeletion"        when no dependent that blocks is left, the finalizer goes

Rules:
* An owner that the caches do not show is asked of the server before anything is done because of its absence.
* An owner of a namespaced kind must be in the dependent's own namespace; a namespaced owner of a cluster-scoped object is reported
  and never followed. An owner of an unknown kind decides nothing.

Source: Kubernetes' garbage collector, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from tiffin.controllers import catalog
from tiffin.controllers.catalog import Holding
from tiffin.controllers.config import Config
from tiffin.controllers.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS_RULE, NAMESPACES
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, Resource, is_deleting, meta, name_of, namespace_of, replaced, uid_of
from tiffin.runtime.controller import Absent, Change, Changes, Controller, Delete, Patch, PolicyRule, RecordEvent, View, Watch

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
IGNORED = {("", "events")}
"""Resources that have neither owners nor dependents, but many objects."""
UNKNOWN_KIND_RETRY = timedelta(minutes=5)


class Standing(Enum):
    """How it stands with the owner a reference names."""

    SOLID = "there"
    WAITING = "being deleted, waiting for its dependents"
    ABSENT = "not there, or another of the same name"
    UNKNOWN = "of a kind that is not served"


class Reference(NamedTuple):
    """An owner reference, and what is known of its owner."""

    reference: Object
    standing: Standing
    holding: Holding | None
    namespace: str


def gc_key(resource: Resource, obj: Object) -> Key:
    return Key(namespace_of(obj), f"{resource.group_resource}/{name_of(obj)}")


def owners_index(obj: Object) -> Iterable[str]:
    """The index "owners": UIDs of all owners, controllers or not."""
    return [reference["uid"] for reference in meta(obj).get("ownerReferences") or () if reference.get("uid")]


def waits_for_dependents(obj: Object) -> bool:
    return is_deleting(obj) and FOREGROUND in (meta(obj).get("finalizers") or ())


def collected(view: View) -> Iterator[Holding]:
    return (h for h in catalog.holdings(view) if (h.resource.group, h.resource.plural) not in IGNORED)


def dependents(owner: Object, view: View) -> list[tuple[Resource, Object]]:
    return [(h.resource, obj) for h in collected(view) for obj in view.by_index(h.resource, "owners", uid_of(owner))]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    group_resource, _, name = key.name.partition("/")
    holding = next((h for h in collected(view) if h.resource.group_resource == group_resource), None)
    obj = view.get(holding.resource, key.namespace, name) if holding else None
    if holding is None or obj is None:
        return Changes()
    if is_deleting(obj):
        return Changes(_finish(holding.resource, obj, view))
    return _judge(holding, obj, view)


def _finish(resource: Resource, obj: Object, view: View) -> Sequence[Change]:
    """What a deleted object with one of our finalizers still waits for."""
    finalizers = meta(obj).get("finalizers") or ()
    if ORPHAN in finalizers:
        orphaned = [p for r, dependent in dependents(obj, view) for p in _without_owners(r, dependent, {uid_of(obj)})]
        return [*orphaned, *_without_finalizer(resource, obj, ORPHAN)]
    if FOREGROUND in finalizers and not any(_blocks(dependent, obj) for _, dependent in dependents(obj, view)):
        return _without_finalizer(resource, obj, FOREGROUND)
    return ()


def _blocks(dependent: Object, owner: Object) -> bool:
    references = meta(dependent).get("ownerReferences") or ()
    return any(r.get("uid") == uid_of(owner) and r.get("blockOwnerDeletion") for r in references)


def _without_owners(resource: Resource, obj: Object, uids: set[str]) -> list[Patch]:
    kept = [r for r in meta(obj).get("ownerReferences") or () if r.get("uid") not in uids]
    return changed(resource, obj, replaced(obj, ("metadata", "ownerReferences"), kept or None))


def _without_finalizer(resource: Resource, obj: Object, finalizer: str) -> list[Patch]:
    kept = [f for f in meta(obj).get("finalizers") or () if f != finalizer]
    return changed(resource, obj, replaced(obj, ("metadata", "finalizers"), kept or None))


def _judge(holding: Holding, obj: Object, view: View) -> Changes:
    """Whether an object that nobody deletes may stay."""
    references = [_reference(holding, obj, r, view) for r in meta(obj).get("ownerReferences") or ()]
    by_standing = {standing: [r for r in references if r.standing is standing] for standing in Standing}
    absent, waiting = by_standing[Standing.ABSENT], by_standing[Standing.WAITING]
    checks = [Absent(r.holding.resource, r.namespace, r.reference["name"], r.reference["uid"]) for r in absent if r.holding]
    reports = [event for r in references for event in _misplaced(holding, obj, r, view)]
    if by_standing[Standing.UNKNOWN]:
        return Changes(reports, requeue_after=UNKNOWN_KIND_RETRY)
    if not absent and not waiting:
        return Changes(reports)
    if by_standing[Standing.SOLID]:
        dropped = {r.reference["uid"] for r in (*absent, *waiting)}
        return Changes([*reports, *checks, *_without_owners(holding.resource, obj, dropped)])
    if waiting and (below := dependents(obj, view)):
        return Changes([*reports, *_unblocked(holding.resource, obj, below), _deletion(holding.resource, obj, "Foreground")])
    return Changes([*reports, *checks, _deletion(holding.resource, obj, _policy(obj))])


def _policy(obj: Object) -> str:
    """The propagation that the object's finalizers ask for."""
    finalizers = meta(obj).get("finalizers") or ()
    return "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"


def _deletion(resource: Resource, obj: Object, propagation: str) -> Delete:
    return Delete(resource, namespace_of(obj), name_of(obj), uid_of(obj), meta(obj).get("resourceVersion") or "", propagation)


def _unblocked(resource: Resource, obj: Object, below: Sequence[tuple[Resource, Object]]) -> list[Patch]:
    """In a circle of owners that all wait, one must stop blocking."""
    if not any(waits_for_dependents(dependent) for _, dependent in below):
        return []
    references = [r | {"blockOwnerDeletion": False} if r.get("blockOwnerDeletion") else r for r in meta(obj).get("ownerReferences") or ()]
    return changed(resource, obj, replaced(obj, ("metadata", "ownerReferences"), references), guarded=False)


def _reference(holding: Holding, obj: Object, reference: Object, view: View) -> Reference:
    group = reference.get("apiVersion", "").rpartition("/")[0]
    owner_holding = catalog.of_reference(group, reference.get("kind", ""), view)
    if owner_holding is None or (owner_holding.namespaced and not holding.namespaced):
        return Reference(reference, Standing.UNKNOWN, owner_holding, "")
    namespace = namespace_of(obj) if owner_holding.namespaced else ""
    if (owner_holding.resource.group, owner_holding.resource.plural) in IGNORED:
        return Reference(reference, Standing.UNKNOWN, owner_holding, namespace)
    owner = view.get(owner_holding.resource, namespace, reference.get("name", ""))
    if owner is None or uid_of(owner) != reference.get("uid"):
        return Reference(reference, Standing.ABSENT, owner_holding, namespace)
    blocking = waits_for_dependents(owner)
    return Reference(reference, Standing.WAITING if blocking else Standing.SOLID, owner_holding, namespace)


def _misplaced(holding: Holding, obj: Object, reference: Reference, view: View) -> Iterator[RecordEvent]:
    """The warning about an owner that exists, but where it cannot own this object."""
    owner = reference.holding
    if owner is None or not owner.namespaced or reference.standing not in (Standing.ABSENT, Standing.UNKNOWN):
        return
    r = reference.reference
    elsewhere = (view.get(owner.resource, name_of(n), r["name"]) for n in view.list(NAMESPACES) if name_of(n) != namespace_of(obj))
    if not holding.namespaced or any(other is not None and uid_of(other) == r["uid"] for other in elsewhere):
        where = f"[{r['apiVersion']}/{r['kind']}, namespace: {namespace_of(obj)}, name: {r['name']}, uid: {r['uid']}]"
        message = f'ownerRef {where} does not exist in namespace "{namespace_of(obj)}"'
        yield RecordEvent(_identity(obj), "Warning", "OwnerRefInvalidNamespace", message)


def _identity(obj: Object) -> Object:
    """Which object it is, whatever its version."""
    named = {name: meta(obj)[name] for name in ("name", "namespace", "uid") if meta(obj).get(name)}
    return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": named}


def _watch(holding: Holding) -> Watch:
    def keys(obj: Object, view: View) -> Iterator[Key]:
        """The object itself if there is something to decide about it; dependents of one that is going or gone; owners that wait for it."""
        current = view.get(holding.resource, namespace_of(obj), name_of(obj))
        gone = current is None or uid_of(current) != uid_of(obj)
        references = [_reference(holding, obj, r, view) for r in meta(obj).get("ownerReferences") or ()]
        if not gone and (is_deleting(obj) or any(r.standing is not Standing.SOLID for r in references)):
            yield gc_key(holding.resource, obj)
        if gone or waits_for_dependents(obj):
            yield from (gc_key(r, dependent) for r, dependent in dependents(obj, view))
        for r in references:
            if r.standing is Standing.WAITING and r.holding:
                yield Key(r.namespace, f"{r.holding.resource.group_resource}/{r.reference['name']}")

    return Watch(holding.resource, keys=keys, indexes={"owners": owners_index})


def discover(view: View) -> list[Watch]:
    """Custom resources, as long as they are served."""
    return [_watch(h) for h in catalog.custom(view)]


def controller(config: Config) -> Controller:
    ignored = [h for h in catalog.builtin() if (h.resource.group, h.resource.plural) not in IGNORED]
    watches = tuple(_watch(h) for h in ignored)
    rules = (PolicyRule(("*",), ("*",), ("delete", "get", "list", "patch", "update", "watch")), EVENTS_RULE)
    return Controller(
        "generic-garbage-collector", watches, reconcile, rules, workers=10,
        component="garbage-collector-controller", discover=discover, discovers=CUSTOM_RESOURCE_DEFINITIONS,
    )  # fmt: skip
