"""Deployments: replace the pods of one template by those of another, a few at a time, and remember how to go back.

A deployment owns one replica set per template. A reconciliation drafts the replica sets as they should be, and writes what
differs; the steps are those of Kubernetes, and each of them changes the draft:

    adopt ─→ paused or resized? ─→ scale in proportion
                 └─ else Recreate:      all old to zero ─→ wait for their pods ─→ new one to full size
                         RollingUpdate: new one up as far as surge allows, else old ones down as far as availability allows
          ─→ drop old replica sets beyond the history limit ─→ status

Source: Kubernetes' deployment controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain

from tiffin.controllers import deploymentstatus as ds
from tiffin.controllers import rollout as r
from tiffin.controllers.config import Config
from tiffin.controllers.deploymentrollback import rolled_back, wants_back
from tiffin.controllers.owners import claim, controller_reference, orphan_index, owner_keys
from tiffin.controllers.pods import condition, is_finished
from tiffin.controllers.resources import DEPLOYMENTS, EVENTS_RULE, PODS, REPLICA_SETS
from tiffin.controllers.writing import changed, status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import (
    Key,
    Object,
    annotations_of,
    controller_of,
    dig,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    replaced,
    uid_of,
)
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, RecordEvent, View, Watch


def selector(deployment: Object) -> Selector:
    return from_label_selector(dig(deployment, "spec", "selector"))


def recreating_keys(pod: Object, view: View) -> Iterable[Key]:
    """The deployment that waits for its old pods to end before it makes new ones."""
    reference = controller_of(pod)
    if not reference or reference.get("kind") != "ReplicaSet":
        return
    owner = view.get(REPLICA_SETS, namespace_of(pod), reference["name"])
    reference = controller_of(owner) if owner else None
    if reference and reference.get("kind") == "Deployment":
        deployment = view.get(DEPLOYMENTS, namespace_of(pod), reference["name"])
        if deployment and not r.is_rolling(deployment):
            yield Key(namespace_of(pod), name_of(deployment))


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    """One step of the deployment towards its template and size."""
    deployment = view.get(DEPLOYMENTS, *key)
    if deployment is None:
        return Changes()
    if selector(deployment).is_everything:
        warning = "This deployment is selecting all pods. A non-empty selector is required."
        return Changes((RecordEvent(deployment, "Warning", "SelectingAll", warning), *_observed(deployment)))
    claimed = claim(REPLICA_SETS, deployment, selector(deployment), view)
    if wants_back(deployment) and not is_deleting(deployment) and not dig(deployment, "spec", "paused"):
        return Changes([*claimed.patches, *rolled_back(deployment, claimed.objects)])
    draft = Draft(deployment, claimed.objects, view, now)
    draft.step()
    wait = ds.until_deadline(draft.deployment, draft.deployment["status"], now)
    return Changes([*claimed.patches, *draft.changes()], wait, draft.failed)


def _observed(deployment: Object) -> list[Change]:
    generation = dig(deployment, "metadata", "generation", default=0)
    return list(status_changed(DEPLOYMENTS, deployment, (deployment.get("status") or {}) | {"observedGeneration": generation}))


class Draft:
    """A deployment and its replica sets as they should become. Objects are never changed, only replaced in the draft."""

    def __init__(self, deployment: Object, replica_sets: Sequence[Object], view: View, now: datetime) -> None:
        self.seen = self.deployment = deployment
        self._view, self._now = view, now
        self._seen = {name_of(rs): rs for rs in replica_sets}
        self._sets = dict(self._seen)
        self._events: list[RecordEvent] = []
        self._doomed: list[Object] = []

    @property
    def all(self) -> list[Object]:
        return list(self._sets.values())

    @property
    def new(self) -> Object | None:
        return r.find_new(self.deployment, self.all)

    @property
    def old(self) -> list[Object]:
        new = self.new
        return [rs for rs in self.all if new is None or name_of(rs) != name_of(new)]

    def step(self) -> None:
        """Everything one reconciliation does."""
        if is_deleting(self.deployment):
            self._set_status(ds.counted(self.deployment, self.all, self.new, self._now))
            return
        self.deployment = ds.with_pause(self.deployment, self._now)
        paused = bool(dig(self.deployment, "spec", "paused"))
        if paused or self._is_resized():
            self._number_new()
            self._scale()
            if paused:
                self._clean_up()
            self._set_status(ds.counted(self.deployment, self.all, self.new, self._now))
            return
        self._roll() if r.is_rolling(self.deployment) else self._recreate()
        self._set_status(ds.rolled_out(self.deployment, self.all, self.new, self._now))

    def _set_status(self, status: Object) -> None:
        self.deployment = self.deployment | {"status": status}

    def _is_resized(self) -> bool:
        """An active replica set was last sized for another size of the deployment."""
        sizes = [annotations_of(rs).get(r.DESIRED, "") for rs in r.active(self.all)]
        return any(size.isdigit() and int(size) != r.wanted(self.deployment) for size in sizes)

    def _number_new(self) -> Object | None:
        """Bring the new replica set's annotations and the deployment's revision up to date, if there is one."""
        new = self.new
        if new is None:
            return None
        number = max(map(r.revision, self.old), default=0) + 1
        seconds = dig(self.deployment, "spec", "minReadySeconds")
        before, new = new, replaced(r.annotated(self.deployment, new, number), ("spec", "minReadySeconds"), seconds)
        self._sets[name_of(new)] = new
        if new == before:
            self._set_revision(r.revision(new))
            if ds.deadline(self.deployment) is not None and condition(self.deployment, ds.PROGRESSING) is None:
                self._tell_progress("FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"')
        return new

    def _set_revision(self, number: int) -> None:
        self.deployment = r.with_annotations(self.deployment, {r.REVISION: str(number)})

    def _tell_progress(self, reason: str, message: str) -> None:
        self._set_status(ds.with_condition(self.deployment.get("status") or {}, ds.PROGRESSING, "True", reason, message, self._now))

    def _ensure_new(self) -> Object | None:
        """The new replica set, drafted if there is none. None where its name is taken: then another is tried next time."""
        if new := self._number_new():
            return new
        number = max(map(r.revision, self.old), default=0) + 1
        new = self._made()
        if self._view.get(REPLICA_SETS, namespace_of(self.deployment), name_of(new)):
            collisions = dig(self.deployment, "status", "collisionCount", default=0) + 1
            self._set_status((self.deployment.get("status") or {}) | {"collisionCount": collisions})
            return None
        size = r.new_size(self.deployment, self.all, new)
        new = r.sized(self.deployment, r.annotated(self.deployment, new, number), size)
        self._sets[name_of(new)] = new
        if size:
            self._tell_scaling(new, 0, size)
        self._set_revision(number)
        if ds.deadline(self.deployment) is not None:
            self._tell_progress("NewReplicaSetCreated", f'Created new replica set "{name_of(new)}"')
        return new

    def _made(self) -> Object:
        """A replica set of the present template, with no pods yet."""
        deployment = self.deployment
        template = dig(deployment, "spec", "template", default={})
        hashed = {r.HASH_LABEL: r.template_hash(template, dig(deployment, "status", "collisionCount"))}
        template = replaced(template, ("metadata", "labels"), {**labels_of(template), **hashed})
        chosen = dig(deployment, "spec", "selector", default={})
        chosen = chosen | {"matchLabels": chosen.get("matchLabels", {}) | hashed}
        metadata = {
            "name": f"{name_of(deployment)}-{hashed[r.HASH_LABEL]}",
            "namespace": namespace_of(deployment),
            "labels": labels_of(template),
            "ownerReferences": [controller_reference(deployment)],
        }
        spec = {"replicas": 0, "selector": chosen, "template": template}
        if seconds := dig(deployment, "spec", "minReadySeconds"):
            spec["minReadySeconds"] = seconds
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}

    def _resize(self, rs: Object, size: int) -> bool:
        """Draft another size; False where it is that size already."""
        before = r.wanted(rs)
        if before != size:
            self._sets[name_of(rs)] = r.sized(self.deployment, rs, size)
            self._tell_scaling(rs, before, size)
        return before != size

    def _resize_or_annotate(self, rs: Object, size: int) -> None:
        """Draft a size, and note for which size of the deployment it was chosen even where it stays the same."""
        if not self._resize(rs, size):
            self._sets[name_of(rs)] = r.with_annotations(rs, r.size_annotations(self.deployment))

    def _tell_scaling(self, rs: Object, before: int, size: int) -> None:
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {name_of(rs)} from {before} to {size}"
        self._events.append(RecordEvent(self.seen, "Normal", "ScalingReplicaSet", message))

    def _scale(self) -> None:
        """Give the deployment's size to the only active replica set, or share it out among several."""
        active = r.active(self.all)
        if len(active) <= 1:
            latest = active[0] if active else self.new or next(iter(reversed(r.by_age(self.all))), None)
            if latest:
                self._resize_or_annotate(latest, r.wanted(self.deployment))
        elif r.is_saturated(self.deployment, self.new):
            for rs in r.active(self.old):
                self._resize(rs, 0)
        elif r.is_rolling(self.deployment):
            for name, size in r.proportions(self.deployment, active).items():
                self._resize_or_annotate(self._sets[name], size)

    def _roll(self) -> None:
        new = self._ensure_new()
        if new is None:
            return
        size = min(r.wanted(self.deployment), r.new_size(self.deployment, self.all, new))
        if name_of(new) not in self._seen or self._resize(new, size) or self._shrink_old(new):
            return
        if ds.is_complete(self.deployment, self.deployment.get("status") or {}):
            self._clean_up()

    def _shrink_old(self, new: Object) -> bool:
        """Take pods from old replica sets: first those that are not available anyway, then as many as availability allows."""
        needed = r.wanted(self.deployment) - r.max_unavailable(self.deployment)
        still_coming = r.wanted(new) - dig(new, "status", "availableReplicas", default=0)
        spare = r.wanted_total(self.all) - needed - still_coming
        if spare <= 0 or not r.active(self.old):
            return False
        cleaned = 0
        for rs in r.by_age(r.active(self.old)):
            lame = r.wanted(rs) - dig(rs, "status", "availableReplicas", default=0)
            if (count := min(spare - cleaned, lame)) > 0:
                self._resize(rs, r.wanted(rs) - count)
                cleaned += count
        to_take = taken = max(0, r.total(self.all, "availableReplicas") - needed)
        for rs in r.by_age(r.active(self.old)):
            count = min(r.wanted(rs), to_take)
            if count:
                self._resize(rs, r.wanted(rs) - count)
                to_take -= count
        return bool(cleaned or taken)

    def _recreate(self) -> None:
        self._number_new()
        shrunk = [self._resize(rs, 0) for rs in r.active(self.old)]
        if any(shrunk) or self._old_pods_run():
            return
        new = self._ensure_new()
        if new and name_of(new) in self._seen and not self._resize(new, r.wanted(self.deployment)):
            if ds.is_complete(self.deployment, self.deployment.get("status") or {}):
                self._clean_up()

    def _old_pods_run(self) -> bool:
        owned = chain.from_iterable(self._view.by_index(PODS, "owner", uid_of(rs)) for rs in self.old)
        return r.total(self.old, "replicas") > 0 or any(not is_finished(pod) for pod in owned)

    def _clean_up(self) -> None:
        self._doomed = r.disposable(self.deployment, self.old)

    def changes(self) -> list[Change]:
        """The writes that make the cluster like the draft."""
        changes: list[Change] = []
        for name, rs in self._sets.items():
            seen = self._seen.get(name)
            changes += [Create(REPLICA_SETS, rs)] if seen is None else changed(REPLICA_SETS, seen, rs)
        changes += self._events
        changes += [Delete(REPLICA_SETS, namespace_of(rs), name_of(rs), uid=uid_of(rs)) for rs in self._doomed]
        # Through the status subresource, annotations do not move the generation.
        changes += changed(DEPLOYMENTS, self.seen, self.deployment, "status", guarded=False)
        return changes

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        """A replica set that could not be made is told as an event and a condition."""
        if not isinstance(change, Create) or error.reason == "AlreadyExists":
            return ()
        message = f'Failed to create new replica set "{name_of(change.obj)}": {error.message}'
        told = RecordEvent(self.seen, "Warning", ds.NOT_CREATED, message)
        if ds.deadline(self.seen) is None:
            return (told,)
        status = ds.with_condition(self.seen.get("status") or {}, ds.PROGRESSING, "False", ds.NOT_CREATED, message, self._now)
        return (told, *status_changed(DEPLOYMENTS, self.seen, status))


def controller(config: Config) -> Controller:
    watches = (
        Watch(DEPLOYMENTS),
        Watch(REPLICA_SETS, keys=owner_keys(DEPLOYMENTS, "Deployment", selector), indexes={"orphan": orphan_index}),
        Watch(PODS, keys=recreating_keys),
    )
    rules = (
        PolicyRule(("apps",), ("deployments",), ("get", "list", "update", "watch")),
        PolicyRule(("apps",), ("deployments/status",), ("patch", "update")),
        PolicyRule(("apps",), ("deployments/finalizers",), ("update",)),
        PolicyRule(("apps",), ("replicasets",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("pods",), ("get", "list", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("deployment-controller", watches, reconcile, rules)
