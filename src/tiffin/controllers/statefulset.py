"""StatefulSets: pods with a name, a number and claims of their own, made and removed in order.

Rules:
* Ordered: the next pod is made when all before it are available, and the highest goes first; one step per look. Parallel: all at once.
* A pod is of the current revision below the partition, of the update revision from it on. Rolling, the highest pod of another
  revision is deleted once all above it are healthy, and made again.
* A claim outlives its pod unless the retention policy says otherwise; then owner references let garbage collection do it.

Source: Kubernetes' StatefulSet controller, as documented and observed.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.history import History, history, template_of
from tiffin.controllers.owners import claim, controller_reference, orphan_index, owner_keys
from tiffin.controllers.replicas import pod_from
from tiffin.controllers.resources import CONTROLLER_REVISIONS, EVENTS_RULE, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tiffin.controllers.rollout import scaled_value
from tiffin.controllers.writing import changed, compact, status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import (
    Key,
    Object,
    dig,
    is_deleting,
    labels_of,
    meta,
    name_of,
    namespace_of,
    replaced,
    uid_of,
)
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, RecordEvent, View, Watch, no_keys

HISTORY_HASH = "controller.kubernetes.io/hash"
REVISION_LABEL = "controller-revision-hash"
POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)")


def selector(stateful_set: Object) -> Selector:
    return from_label_selector(dig(stateful_set, "spec", "selector"))


def ordinal(pod: Object, stateful_set: Object) -> int:
    """The pod's number, -1 if its name is not of the set's making."""
    match = _NAME.fullmatch(name_of(pod))
    return int(match[2]) if match and match[1] == name_of(stateful_set) else -1


def revision_of(pod: Object) -> str:
    return labels_of(pod).get(REVISION_LABEL, "")


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    stateful_set = view.get(STATEFUL_SETS, *key)
    if stateful_set is None:
        return Changes()
    claimed = claim(PODS, stateful_set, selector(stateful_set), view, lambda pod: ordinal(pod, stateful_set) >= 0)
    past = history(stateful_set, selector(stateful_set), view, HISTORY_HASH)
    plan = Plan(stateful_set, past, claimed.objects, view, now)
    if not is_deleting(stateful_set):
        plan.step()
    return Changes([*claimed.patches, *past.changes, *plan.changes, *plan.status_changes()], plan.again(), plan.failed)


class Plan:
    """One look at a stateful set: the next step, or all of them where order does not matter."""

    def __init__(self, stateful_set: Object, past: History, pods: Sequence[Object], view: View, now: datetime) -> None:
        self.set, self.past, self.view, self.now = stateful_set, past, view, now
        spec = stateful_set["spec"]
        self.parallel = spec.get("podManagementPolicy") == "Parallel"
        self.min_ready: int = spec.get("minReadySeconds", 0)
        self.start: int = dig(spec, "ordinals", "start", default=0)
        self.wanted = range(self.start, self.start + spec.get("replicas", 1))
        self.rolling = dig(spec, "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate"
        self.partition: int = dig(spec, "updateStrategy", "rollingUpdate", "partition", default=0)
        self.pods = {ordinal(pod, stateful_set): pod for pod in pods}
        self.condemned = [self.pods[n] for n in sorted(self.pods, reverse=True) if n not in self.wanted]
        names = {name_of(r): r for r in past.revisions}
        self.current = names.get(dig(stateful_set, "status", "currentRevision", default=""), past.current)
        self.changes: list[Change] = []

    def step(self) -> None:
        """Fill the wanted ordinals, remove the others, then replace what is of an old revision."""
        steady = self._fill() and self._shrink()
        if steady and self.rolling:
            self._roll()
        used = {revision_of(pod) for pod in self.pods.values()} | {name_of(self.current)}
        self.changes += self.past.discard(dig(self.set, "spec", "revisionHistoryLimit", default=10), used)

    def _is_healthy(self, pod: Object) -> bool:
        return self._is_running(pod) and p.is_available(pod, self.min_ready, self.now) and not is_deleting(pod)

    @staticmethod
    def _is_running(pod: Object) -> bool:
        return p.phase(pod) == "Running" and p.is_ready(pod)

    def _fill(self) -> bool:
        """Whether every wanted pod has been seen to; ordered sets stop at the first that is not healthy."""
        for n in self.wanted:
            pod = self.pods.get(n)
            if pod is None:
                self._make(n)
            elif p.is_finished(pod):
                self._renew(pod)
            else:
                self._keep_claims(n, pod)
                if self._is_healthy(pod):
                    continue
            if not self.parallel:
                return False
        return True

    def _renew(self, pod: Object) -> None:
        """A pod that ended is deleted, to be made again under its name."""
        if is_deleting(pod):
            return
        failed = p.phase(pod) == "Failed"
        reason, state = ("RecreatingFailedPod", "failed") if failed else ("RecreatingTerminatedPod", "terminated")
        message = f"StatefulSet {namespace_of(self.set)}/{name_of(self.set)} is recreating {state} Pod {name_of(pod)}"
        self.changes.append(RecordEvent(self.set, "Warning" if failed else "Normal", reason, message))
        self._delete(pod)

    def _shrink(self) -> bool:
        """Remove pods beyond the wanted ones, the highest first; an ordered set waits for one to go before the next."""
        unhealthy = [pod for pod in self.condemned if not self._is_healthy(pod)]
        first_unhealthy = unhealthy[-1] if unhealthy else None
        for pod in self.condemned:
            ready_to_go = not is_deleting(pod) and (self.parallel or self._is_healthy(pod) or pod is first_unhealthy)
            if ready_to_go:
                self._keep_claims(ordinal(pod, self.set), pod)
                self._delete(pod)
            if not self.parallel:
                return False
        return True

    def _roll(self) -> None:
        """Delete pods of another revision, the highest first, while as few as allowed are missing."""
        replicas = len(self.wanted)
        limit = dig(self.set, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
        allowed = max(1, scaled_value(limit, replicas, False)) if limit is not None else 1
        missing = sum(not self._is_healthy(pod) for n, pod in self.pods.items() if n in self.wanted)
        for n in reversed(self.wanted):
            if n < self.start + self.partition or missing > allowed:
                return
            pod = self.pods.get(n)
            if pod is None:
                return
            healthy = self._is_healthy(pod)
            if revision_of(pod) != name_of(self.past.current) and not is_deleting(pod):
                if healthy and missing >= allowed:
                    return
                self._delete(pod)
                missing += healthy
                if allowed == 1:
                    return
            elif not healthy and allowed == 1:
                return

    def _delete(self, pod: Object) -> None:
        message = f"delete Pod {name_of(pod)} in StatefulSet {name_of(self.set)} successful"
        told = RecordEvent(self.set, "Normal", "SuccessfulDelete", message)
        self.changes.append(Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), then=lambda answer: (told,)))

    # pods and their claims

    def _make(self, n: int) -> None:
        pod = self._pod(n)
        self.changes += [change for template in self._templates() for change in self._claim(template, n, None)]
        message = f"create Pod {name_of(pod)} in StatefulSet {name_of(self.set)} successful"
        self.changes.append(Create(PODS, pod, then=lambda stored: (RecordEvent(self.set, "Normal", "SuccessfulCreate", message),)))

    def _pod(self, n: int) -> Object:
        kept_back = self.rolling and n < self.start + self.partition
        revision = self.current if kept_back else self.past.current
        pod = pod_from(template_of(revision), self.set)
        name = f"{name_of(self.set)}-{n}"
        labels = {**labels_of(pod), POD_NAME: name, POD_INDEX: str(n), REVISION_LABEL: name_of(revision)}
        service = dig(self.set, "spec", "serviceName")
        spec = pod["spec"] | {"hostname": name} | ({"subdomain": service} if service else {})
        if claims := [{"name": name_of(t), "persistentVolumeClaim": {"claimName": self._claim_name(t, n)}} for t in self._templates()]:
            own = {volume["name"] for volume in claims}
            spec["volumes"] = claims + [volume for volume in spec.get("volumes") or () if volume["name"] not in own]
        return pod | {"metadata": meta(pod) | {"name": name, "labels": labels}, "spec": spec}

    def _templates(self) -> Sequence[Object]:
        return dig(self.set, "spec", "volumeClaimTemplates", default=())

    def _claim_name(self, template: Object, n: int) -> str:
        return f"{name_of(template)}-{name_of(self.set)}-{n}"

    def _keep_claims(self, n: int, pod: Object) -> None:
        """Make claims that are missing, and let each be owned as the retention policy says."""
        for template in self._templates():
            self.changes += self._claim(template, n, pod)

    def _claim(self, template: Object, n: int, pod: Object | None) -> Iterable[Change]:
        found = self.view.get(PERSISTENT_VOLUME_CLAIMS, namespace_of(self.set), self._claim_name(template, n))
        if found is not None:
            references = self._references(found, n, pod)
            owned = replaced(found, ("metadata", "ownerReferences"), references or None)
            return changed(PERSISTENT_VOLUME_CLAIMS, found, owned) if not is_deleting(found) else ()
        if n not in self.wanted:
            return ()
        labels = {**labels_of(template), **dig(self.set, "spec", "selector", "matchLabels", default={})}
        metadata = {name: value for name, value in meta(template).items() if name in ("annotations", "finalizers")}
        metadata |= {"name": self._claim_name(template, n), "namespace": namespace_of(self.set), "labels": labels}
        if self._retention("whenDeleted") == "Delete":
            metadata["ownerReferences"] = [controller_reference(self.set)]
        made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}}
        message = f"create Claim {name_of(made)} Pod {name_of(self.set)}-{n} in StatefulSet {name_of(self.set)} success"
        return (Create(PERSISTENT_VOLUME_CLAIMS, made, ignore_exists=True, then=lambda stored: (RecordEvent(self.set, "Normal", "SuccessfulCreate", message),)),)

    def _retention(self, event: str) -> str:
        return dig(self.set, "spec", "persistentVolumeClaimRetentionPolicy", event, default="Retain")

    def _references(self, found: Object, n: int, pod: Object | None) -> list[Object]:
        """A claim is its set's where deletion takes it along, its pod's where scaling down does."""
        ours = {uid_of(self.set), *([uid_of(pod)] if pod else ())}
        kept = [r for r in meta(found).get("ownerReferences") or () if r.get("uid") not in ours]
        goes_with_pod = n not in self.wanted and self._retention("whenScaled") == "Delete"
        if goes_with_pod and pod:
            return [*kept, controller_reference(pod)]
        return [*kept, controller_reference(self.set)] if self._retention("whenDeleted") == "Delete" else kept

    # the status

    def status_changes(self) -> Sequence[Change]:
        there = list(self.pods.values())
        staying = [pod for pod in there if not is_deleting(pod)]
        current, update = name_of(self.current), name_of(self.past.current)
        ready = [pod for pod in there if self._is_running(pod)]
        updated = sum(revision_of(pod) == update for pod in staying)
        of_current = sum(revision_of(pod) == current for pod in staying)
        if self.rolling and updated == len(there) == len(ready) == len(self.wanted):
            current, of_current = update, updated
        status = {
            "observedGeneration": meta(self.set).get("generation", 0),
            "replicas": len(there),
            **compact({"readyReplicas": len(ready), "currentReplicas": of_current, "updatedReplicas": updated}),
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": self.past.collisions,
            "availableReplicas": sum(p.is_available(pod, self.min_ready, self.now) for pod in ready),
        }
        return status_changed(STATEFUL_SETS, self.set, status)

    def again(self) -> timedelta | None:
        return p.next_availability(self.pods.values(), self.min_ready, self.now)

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        match change:
            case Create(resource=resource, obj=obj) if resource == PODS:
                message = f"create Pod {name_of(obj)} in StatefulSet {name_of(self.set)} failed error: {error.message}"
                return (RecordEvent(self.set, "Warning", "FailedCreate", message),)
            case Create(resource=resource, obj=obj) if resource == PERSISTENT_VOLUME_CLAIMS:
                return self._claim_failed(obj, error)
            case Delete(resource=resource, name=name) if resource == PODS:
                message = f"delete Pod {name} in StatefulSet {name_of(self.set)} failed error: {error.message}"
                return (RecordEvent(self.set, "Warning", "FailedDelete", message),)
            case _:
                return ()


    def _claim_failed(self, claim: Object, error: ApiError) -> Sequence[Change]:
        """Without its claim there is no pod: both are told."""
        number = _NAME.fullmatch(name_of(claim))
        pod, where = f"{name_of(self.set)}-{number[2] if number else ''}", f"in StatefulSet {name_of(self.set)} failed error:"
        claimless = f"create Claim {name_of(claim)} for Pod {pod} {where} {error.message}"
        podless = f"create Pod {pod} {where} failed to create PVC {name_of(claim)}: {error.message}"
        return tuple(RecordEvent(self.set, "Warning", "FailedCreate", message) for message in (claimless, podless))


def controller(config: Config) -> Controller:
    watches = (
        Watch(STATEFUL_SETS),
        Watch(PODS, keys=owner_keys(STATEFUL_SETS, "StatefulSet", selector), indexes={"orphan": orphan_index}),
        Watch(CONTROLLER_REVISIONS, keys=no_keys, indexes={"orphan": orphan_index}),
        Watch(PERSISTENT_VOLUME_CLAIMS, keys=no_keys),
    )
    rules = (
        PolicyRule(("apps",), ("statefulsets",), ("get", "list", "watch")),
        PolicyRule(("apps",), ("statefulsets/status",), ("patch", "update")),
        PolicyRule(("apps",), ("statefulsets/finalizers",), ("update",)),
        PolicyRule(("",), ("pods",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("apps",), ("controllerrevisions",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("persistentvolumeclaims",), ("create", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("statefulset-controller", watches, reconcile, rules)
