"""Jobs: run pods until as many have succeeded as wanted, count each exactly once, and say how it ended.

A pod carries a finalizer until it is counted, in three writes that may each be the last before a crash:

    finished ─→ its UID in `status.uncountedTerminatedPods` ─→ finalizer removed ─→ UID out, count up

The end too takes two steps: SuccessCriteriaMet or FailureTarget says what it will be, Complete or Failed follow when no pod is left
running and every one is counted.

Source: Kubernetes' job controller and KEP-2307, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tiffin.controllers import jobindexes as ji
from tiffin.controllers import jobpolicy as jp
from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.owners import claim, orphan_index, owner_keys
from tiffin.controllers.replicas import batches, pod_from
from tiffin.controllers.resources import EVENTS_RULE, JOBS, PODS
from tiffin.controllers.writing import changed, compact, status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import (
    Key,
    Object,
    annotations_of,
    controller_of,
    dig,
    is_deleting,
    key_of,
    labels_of,
    meta,
    name_of,
    namespace_of,
    replaced,
    uid_of,
)
from tiffin.machinery.selectors import Selector, from_label_selector
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, Patch, PolicyRule, RecordEvent, Together, View, Watch

FINALIZER = "batch.kubernetes.io/job-tracking"
STRAY = "pod/"
"""Prefix of keys that stand for a pod whose job is gone, and which only waits to be let go."""
BURST = 500


def selector(job: Object) -> Selector:
    return from_label_selector(dig(job, "spec", "selector"))


def is_finished(job: Object) -> bool:
    return any((p.condition(job, type) or {}).get("status") == "True" for type in ("Complete", "Failed"))


def is_tracked(pod: Object) -> bool:
    return FINALIZER in (meta(pod).get("finalizers") or ())


def is_stray(pod: Object, view: View) -> bool:
    """It waits to be counted, but nobody will."""
    reference = controller_of(pod)
    job = view.get(JOBS, namespace_of(pod), reference["name"]) if reference and reference.get("kind") == "Job" else None
    return is_tracked(pod) and (job is None or uid_of(job) != (reference or {}).get("uid") or is_finished(job))


def pod_keys(pod: Object, view: View) -> Iterable[Key]:
    if is_stray(pod, view):
        yield Key(namespace_of(pod), STRAY + name_of(pod))
    yield from owner_keys(JOBS, "Job", selector)(pod, view)


def job_keys(job: Object, view: View) -> Iterable[Key]:
    yield key_of(job)
    current = view.get(JOBS, *key_of(job))
    if current is None or is_finished(current):
        tracked = [pod for pod in view.by_index(PODS, "owner", uid_of(job)) if is_tracked(pod)]
        yield from (Key(namespace_of(pod), STRAY + name_of(pod)) for pod in tracked)


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    if key.name.startswith(STRAY):
        pod = view.get(PODS, key.namespace, key.name.removeprefix(STRAY))
        return Changes(_let_go(pod) if pod and is_stray(pod, view) else ())
    job = view.get(JOBS, *key)
    if job is None or is_finished(job) or dig(job, "spec", "managedBy", default="kubernetes.io/job-controller") != "kubernetes.io/job-controller":
        return Changes()
    claimed = claim(PODS, job, selector(job), view)
    sync = Sync(job, claimed.objects, now)
    sync.step()
    return Changes([*claimed.patches, *sync.changes], sync.again, sync.failed)


def _let_go(pod: Object) -> list[Patch]:
    kept = [f for f in meta(pod).get("finalizers") or () if f != FINALIZER]
    return changed(PODS, pod, replaced(pod, ("metadata", "finalizers"), kept or None), guarded=False)


class Sync:
    """One look at a job and its pods: what to change, and when to look again."""

    def __init__(self, job: Object, pods: Sequence[Object], now: datetime) -> None:
        self.job, self.pods, self.now = job, pods, now
        self.changes: list[Change] = []
        self.again: timedelta | None = None
        spec = job["spec"]
        self.completions: int | None = spec.get("completions")
        self.parallelism: int = spec.get("parallelism", 1)
        self.indexed = spec.get("completionMode") == "Indexed"
        self.suspended = bool(spec.get("suspend"))
        self.patient = spec.get("podReplacementPolicy") == "Failed"
        """A pod is replaced only once it has failed, not when its deletion begins."""
        status = job.get("status") or {}
        self.conditions: list[Object] = list(status.get("conditions") or ())
        self.started: str | None = status.get("startTime")
        uncounted = status.get("uncountedTerminatedPods") or {}
        self.uncounted = {outcome: set(uncounted.get(outcome) or ()) for outcome in ("succeeded", "failed")}
        self.counted = {outcome: status.get(outcome, 0) for outcome in ("succeeded", "failed")}
        self.done = ji.parsed(status.get("completedIndexes", ""), self.completions or 0)
        self.lost = ji.parsed(status.get("failedIndexes", ""), self.completions or 0)
        self.active = [pod for pod in pods if p.is_active(pod)]
        self.held: list[Object] = []
        """Failed pods that are counted once their successors are there."""

    def step(self) -> None:
        if is_deleting(self.job):
            self.changes += [change for pod in self.pods if is_tracked(pod) for change in _let_go(pod)]
            return
        if not self.suspended and self.started is None:
            self.started = format_time(self.now)
        finalized = self._count()
        ending = self._ending()
        if ending:
            finalized += self._release_held()
            # Pods that a success makes superfluous have not failed; those that a failure takes along have.
            superfluous = ending[0] == "SuccessCriteriaMet"
            self.changes += [Together([self._deletion(pod, superfluous) for pod in self.active])] if self.active else []
        else:
            self._manage()
            self._note_suspension()
            if self._has_enough():
                ending = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
        if ending:
            self._end(*ending)
        # The count is written before a pod is let go, and pods are let go before they are counted out of the list.
        self.changes = [*self._status_changes(), *([Together(finalized)] if finalized else []), *self.changes]

    # counting

    def _count(self) -> list[Change]:
        """Take note of pods that ended; answers the changes that let them go."""
        tracked = {uid_of(pod) for pod in self.pods if is_tracked(pod)}
        for outcome, uids in self.uncounted.items():
            gone = uids - tracked
            self.counted[outcome] += len(gone) if not (self.indexed and outcome == "succeeded") else 0
            uids -= gone
        ended = [(pod, outcome) for pod in self.pods if is_tracked(pod) and (outcome := self._outcome(pod))]
        for pod, outcome in ended:
            if outcome == "failed":
                self._note_index(pod)
        finalized: list[Change] = []
        for pod, outcome in ended:
            if outcome == "failed" and self._is_held(pod):
                self.held.append(pod)
            else:
                self._note(pod, outcome)
                finalized += _let_go(pod)
        if self.indexed:
            self.counted["succeeded"] = len(self.done)
        return finalized

    def _outcome(self, pod: Object) -> str:
        """How a pod ended, "" if it has not."""
        if p.phase(pod) == "Succeeded":
            return "succeeded"
        if p.phase(pod) == "Failed" or (is_deleting(pod) and not self.patient):
            return "failed"
        return ""

    def _note(self, pod: Object, outcome: str) -> None:
        uid = uid_of(pod)
        index = ji.index_of(pod)
        if outcome == "succeeded":
            if not self.indexed:
                self.uncounted["succeeded"].add(uid)
            elif index is not None and index < (self.completions or 0):
                self.done.add(index)
            return
        if jp.judged(self.job, pod).action != "Ignore":
            self.uncounted["failed"].add(uid)

    def _note_index(self, pod: Object) -> None:
        """Whether a failed pod was its index's last chance."""
        limit, index, action = dig(self.job, "spec", "backoffLimitPerIndex"), ji.index_of(pod), jp.judged(self.job, pod).action
        if limit is not None and index is not None and action != "Ignore" and (action == "FailIndex" or ji.failures_of(pod) + 1 > limit):
            self.lost.add(index)

    def _release_held(self) -> list[Change]:
        """Where no successors are to come, count what waited for them."""
        for pod in self.held:
            self._note(pod, "failed")
        return [change for pod in self.held for change in _let_go(pod)]

    def _number(self, outcome: str) -> int:
        held = sum(jp.judged(self.job, pod).action != "Ignore" for pod in self.held) if outcome == "failed" else 0
        return self.counted[outcome] + len(self.uncounted[outcome]) + held

    # how it ends

    def _ending(self) -> tuple[str, str, str] | None:
        """The condition, reason and message of an end that was decided before or is now."""
        for type in ("FailureTarget", "SuccessCriteriaMet"):
            if (before := p.condition({"status": {"conditions": self.conditions}}, type)) and before["status"] == "True":
                return type, before.get("reason", ""), before.get("message", "")
        for pod in self.pods:
            if p.phase(pod) == "Failed" and (verdict := jp.judged(self.job, pod)).action == "FailJob":
                return "FailureTarget", "PodFailurePolicy", verdict.message
        return self._out_of_limits() or self._ended_by_indexes()

    def _out_of_limits(self) -> tuple[str, str, str] | None:
        spec = self.job["spec"]
        if self._number("failed") > spec.get("backoffLimit", 6) or jp.exceeds_restarts(self.job, self.pods):
            return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        seconds = spec.get("activeDeadlineSeconds")
        if seconds is not None and self.started and not self.suspended:
            rest = parse_time(self.started) + timedelta(seconds=seconds) - self.now
            if rest <= timedelta(0):
                return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
            self._look_again(rest)
        return None

    def _ended_by_indexes(self) -> tuple[str, str, str] | None:
        if not self.indexed:
            return None
        limit = dig(self.job, "spec", "maxFailedIndexes")
        if limit is not None and len(self.lost) > limit:
            return "FailureTarget", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
        if self.lost and len(self.lost) + len(self.done) >= (self.completions or 0):
            return "FailureTarget", "FailedIndexes", "Job has failed indexes"
        if met := jp.met_success_rule(self.job, self.done):
            return "SuccessCriteriaMet", "SuccessPolicy", met
        return None

    def _has_enough(self) -> bool:
        if self.suspended:
            return False
        if self.completions is None:
            return self._number("succeeded") > 0 and not self.active
        return self._number("succeeded") >= self.completions and not self.active

    def _end(self, type: str, reason: str, message: str) -> None:
        """Say how it will end, and that it has once nothing is left to wait for."""
        if not any(c["type"] == type and c["status"] == "True" for c in self.conditions):
            self._set_condition(type, "True", reason, message)
        waiting = any(not p.is_finished(pod) for pod in self.pods) or any(self.uncounted.values()) or any(is_tracked(pod) for pod in self.pods)
        if waiting:
            return
        if type == "SuccessCriteriaMet":
            self._set_condition("Complete", "True", reason, message)
            if self.completions is not None and self.counted["succeeded"] > self.completions:
                surplus = "Too many succeeded pods running after completion count reached"
                self.changes.append(RecordEvent(self.job, "Warning", "TooManySucceededPods", surplus))
            self.changes.append(RecordEvent(self.job, "Normal", "Completed", "Job completed"))
        else:
            self._set_condition("Failed", "True", reason, message)
            self.changes.append(RecordEvent(self.job, "Warning", reason, message))

    def _set_condition(self, type: str, status: str, reason: str, message: str) -> None:
        time = format_time(self.now)
        new = {"type": type, "status": status, "lastProbeTime": time, "lastTransitionTime": time, "reason": reason, "message": message}
        self.conditions = dig(p.with_condition({"status": {"conditions": self.conditions}}, new), "status", "conditions")

    def _note_suspension(self) -> None:
        before = p.condition({"status": {"conditions": self.conditions}}, "Suspended")
        is_noted = bool(before and before["status"] == "True")
        if self.suspended:
            self.started = None
        if self.suspended and not is_noted:
            self._set_condition("Suspended", "True", "JobSuspended", "Job suspended")
            self.changes.append(RecordEvent(self.job, "Normal", "Suspended", "Job suspended"))
        if is_noted and not self.suspended:
            self._set_condition("Suspended", "False", "JobResumed", "Job resumed")
            self.changes.append(RecordEvent(self.job, "Normal", "Resumed", "Job resumed"))
            self.started = format_time(self.now)

    # making and deleting pods

    def _manage(self) -> None:
        wanted = self._wanted_active()
        superfluous = ji.superfluous(self.active, self.completions or 0) if self.indexed else []
        count = max(len(self.active) - wanted, 0)
        ranked = superfluous + [pod for pod in p.by_deletion_preference(self.active, {}, self.now) if pod not in superfluous]
        doomed = ranked[: max(count, len(superfluous))]
        if doomed:
            self.changes.append(Together([self._deletion(pod, True) for pod in doomed[:BURST]]))
            return
        ending = sum(p.is_terminating(pod) for pod in self.pods) if self.patient else 0
        missing = wanted - len(self.active) - ending
        if missing > 0:
            self._make(missing)

    def _wanted_active(self) -> int:
        succeeded = self._number("succeeded")
        if self.suspended:
            return 0
        if self.completions is None:
            return len(self.active) if succeeded else self.parallelism
        return min(max(self.completions - succeeded - len(self.lost), 0), self.parallelism)

    def _make(self, missing: int) -> None:
        retry = jp.retry_at(self.pods)
        if retry and retry > self.now and dig(self.job, "spec", "backoffLimitPerIndex") is None:
            self._look_again(retry - self.now)
            return
        count = min(missing, BURST)
        if not self.indexed:
            pods = [self._pod(None) for _ in range(count)]
        else:
            working = {index for pod in self.active if (index := ji.index_of(pod)) is not None}
            ending = {ji.index_of(pod) for pod in self.pods if self.patient and p.is_terminating(pod)}
            taken = self.done | self.lost | working | {index for index in ending if index is not None}
            pods = [self._pod(index) for index in ji.first_pending(count, self.completions or 0, taken) if self._may_retry(index)]
        self.changes += batches(pods, self.job)

    def _may_retry(self, index: int) -> bool:
        """With a limit per index, each index waits for itself."""
        if dig(self.job, "spec", "backoffLimitPerIndex") is None:
            return True
        retry = jp.retry_at(pod for pod in self.pods if ji.index_of(pod) == index)
        if retry is None or retry <= self.now:
            return True
        self._look_again(retry - self.now)
        return False

    def _pod(self, index: int | None) -> Object:
        pod = pod_from(dig(self.job, "spec", "template", default={}), self.job)
        finalizers = [*(meta(pod).get("finalizers") or ()), FINALIZER]
        metadata = meta(pod) | {"finalizers": finalizers}
        if index is None:
            return pod | {"metadata": metadata}
        note = {ji.INDEX: str(index)}
        metadata |= {
            "generateName": f"{name_of(self.job)}-{index}-",
            "annotations": {**annotations_of(pod), **note, **self._failure_note(index)},
            "labels": {**labels_of(pod), **note},
        }
        variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{ji.INDEX}']"}}}
        spec = pod["spec"] | {"hostname": f"{name_of(self.job)}-{index}"}
        for field in ("containers", "initContainers"):
            if spec.get(field):
                spec[field] = [c | {"env": [*(c.get("env") or ()), variable]} for c in spec[field]]
        return pod | {"metadata": metadata, "spec": spec}

    def _failure_note(self, index: int) -> dict[str, str]:
        """How often the index failed, for whoever judges the pod that follows."""
        if dig(self.job, "spec", "backoffLimitPerIndex") is None:
            return {}
        last = self._last_of(index)
        if last is None:
            return {ji.FAILURES: "0"}
        ignored = jp.judged(self.job, last).action == "Ignore"
        counted, passed = ji.failures_of(last) + (not ignored), ji.ignored_of(last) + ignored
        return {ji.FAILURES: str(counted)} | ({ji.IGNORED: str(passed)} if passed else {})

    def _last_of(self, index: int) -> Object | None:
        """The pod of an index that ended last without success: it knows how often the index failed before."""
        ended = [pod for pod in self.pods if ji.index_of(pod) == index and self._outcome(pod) == "failed"]
        return max(ended, key=lambda pod: (ji.failures_of(pod) + ji.ignored_of(pod), jp.ended_at(pod)), default=None)

    def _is_held(self, pod: Object) -> bool:
        """With a limit per index, the last failure of an index is counted only when its successor, which must know of it, has been made."""
        index = ji.index_of(pod)
        if dig(self.job, "spec", "backoffLimitPerIndex") is None or index is None or index in self.lost or index >= (self.completions or 0):
            return False
        return self._last_of(index) is pod and not any(ji.index_of(other) == index for other in self.active)

    def _deletion(self, pod: Object, uncounted: bool) -> Change:
        """Delete a pod; one that is not to count as failed is let go first."""
        told = RecordEvent(self.job, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        deletion = Delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod), then=lambda answer: (told,))
        for patch in _let_go(pod) if uncounted and is_tracked(pod) else ():
            return replace(patch, then=lambda answer: (deletion,))
        return deletion

    def _look_again(self, wait: timedelta) -> None:
        self.again = min(wait, self.again) if self.again is not None else wait

    # the status

    def _status_changes(self) -> Sequence[Change]:
        before = self.job.get("status") or {}
        finished = any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in self.conditions)
        complete = any(c["type"] == "Complete" and c["status"] == "True" for c in self.conditions)
        limited = dig(self.job, "spec", "backoffLimitPerIndex") is not None
        status = compact(
            {
                "conditions": self.conditions,
                "startTime": self.started,
                "completionTime": before.get("completionTime") or (format_time(self.now) if complete else None),
                "active": 0 if finished else len(self.active),
                "succeeded": self.counted["succeeded"],
                "failed": self.counted["failed"],
                "completedIndexes": ji.formatted(self.done) if self.indexed else "",
            }
        )
        if limited and self.indexed:
            status["failedIndexes"] = ji.formatted(self.lost)
        status["terminating"] = sum(map(p.is_terminating, self.pods))
        status["uncountedTerminatedPods"] = {outcome: sorted(uids) for outcome, uids in self.uncounted.items() if uids}
        status["ready"] = sum(map(p.is_ready, self.active))
        return status_changed(JOBS, self.job, status)

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        match change:
            case Create():
                return (RecordEvent(self.job, "Warning", "FailedCreate", f"Error creating: {error.message}"),)
            case Delete():
                return (RecordEvent(self.job, "Warning", "FailedDelete", f"Error deleting: {error.message}"),)
            case _:
                return ()


def controller(config: Config) -> Controller:
    watches = (Watch(JOBS, keys=job_keys), Watch(PODS, keys=pod_keys, indexes={"orphan": orphan_index}))
    rules = (
        PolicyRule(("batch",), ("jobs",), ("get", "list", "patch", "update", "watch")),
        PolicyRule(("batch",), ("jobs/status",), ("patch", "update")),
        PolicyRule(("batch",), ("jobs/finalizers",), ("update",)),
        PolicyRule(("",), ("pods",), ("create", "delete", "list", "patch", "watch")),
        EVENTS_RULE,
    )
    return Controller("job-controller", watches, reconcile, rules)
