"""CronJobs: a Job for every time of a schedule, the missed ones made up for by one.

The name of a Job is made of the CronJob's and the scheduled minute, so that no time is served twice, whatever crashes when.

Source: Kubernetes' CronJob controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiffin.api.batch.schedule import Schedule, ScheduleError, parse_schedule
from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.owners import controller_reference, owner_keys
from tiffin.controllers.resources import CRON_JOBS, EVENTS_RULE, JOBS
from tiffin.controllers.writing import status_changed
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.machinery.selectors import NOTHING
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, RecordEvent, View, Watch

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100
PAUSE = timedelta(milliseconds=100)
"""Looked at a little after the minute, as clocks of the parts of a cluster differ."""


def ended(job: Object) -> str:
    """"Complete" or "Failed", "" for a job that still runs."""
    return next((type for type in ("Complete", "Failed") if (p.condition(job, type) or {}).get("status") == "True"), "")


def reference(job: Object) -> Object:
    m = meta(job)
    return {
        "kind": "Job", "namespace": m.get("namespace"), "name": m.get("name"), "uid": m.get("uid"), "apiVersion": "batch/v1",
        "resourceVersion": m.get("resourceVersion"),
    }  # fmt: skip


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    cron_job = view.get(CRON_JOBS, *key)
    if cron_job is None:
        return Changes()
    plan = Plan(cron_job, view, now)
    plan.follow_jobs()
    if not is_deleting(cron_job) and not dig(cron_job, "spec", "suspend"):
        plan.schedule()
    return Changes(plan.changes(), plan.again, plan.failed)


class Plan:
    """One look at a cron job: what became of its jobs, and whether another is due."""

    def __init__(self, cron_job: Object, view: View, now: datetime) -> None:
        self.cron_job, self.now = cron_job, now
        self.jobs = {uid_of(job): job for job in view.by_index(JOBS, "owner", uid_of(cron_job))}
        self.status: Object = dict(cron_job.get("status") or {})
        self.active: list[Object] = list(self.status.get("active") or ())
        self.again: timedelta | None = None
        self._changes: list[Change] = []

    def _say(self, type: str, reason: str, message: str) -> None:
        self._changes.append(RecordEvent(self.cron_job, type, reason, message))

    def follow_jobs(self) -> None:
        """Take jobs that ended or are gone off the list, and delete finished ones beyond the history limits."""
        for entry in tuple(self.active):
            job = self.jobs.get(entry.get("uid", ""))
            if job is None:
                self._say("Warning", "MissingJob", f"Active job went missing: {entry.get('name')}")
                self.active.remove(entry)
            elif end := ended(job):
                self._say("Normal", "SawCompletedJob", f"Saw completed job: {name_of(job)}, condition: {end}")
                self.active.remove(entry)
        completed = [dig(job, "status", "completionTime", default="") for job in self.jobs.values() if ended(job) == "Complete"]
        if latest := max(completed, default=""):
            self.status["lastSuccessfulTime"] = max(latest, self.status.get("lastSuccessfulTime", ""))
        known = {entry.get("uid") for entry in self.active}
        for uid, job in self.jobs.items():
            if uid in known or ended(job) or is_deleting(job):
                continue
            if SCHEDULED_AT in annotations_of(job):
                # Made by us, and only its start not noted.
                self.active.append(reference(job))
            else:
                self._say("Warning", "UnexpectedJob", f"Saw a job that the controller did not create or forgot: {name_of(job)}")
        self._forget("Complete", dig(self.cron_job, "spec", "successfulJobsHistoryLimit", default=3))
        self._forget("Failed", dig(self.cron_job, "spec", "failedJobsHistoryLimit", default=1))

    def _forget(self, end: str, limit: int) -> None:
        done = [job for job in self.jobs.values() if ended(job) == end and not is_deleting(job)]
        ordered = sorted(done, key=lambda job: (dig(job, "status", "startTime", default=""), name_of(job)))
        for job in ordered[: max(0, len(done) - limit)]:
            self._delete(job)

    def _delete(self, job: Object) -> None:
        told = RecordEvent(self.cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name_of(job)}")
        self._changes.append(Delete(JOBS, namespace_of(job), name_of(job), uid=uid_of(job), propagation="Background", then=lambda answer: (told,)))

    def schedule(self) -> None:
        """Make the job that is due, if the policy allows; otherwise say when to look again."""
        try:
            schedule = parse_schedule(self.cron_job["spec"]["schedule"])
            zone = ZoneInfo(dig(self.cron_job, "spec", "timeZone", default="UTC"))
        except (ScheduleError, ZoneInfoNotFoundError, ValueError) as error:
            self._say("Warning", "UnparseableSchedule", f"unparseable schedule: {self.cron_job['spec']['schedule']!r} : {error}")
            return
        here = self.now.astimezone(zone)
        if following := schedule.next_after(here):
            self.again = following - here + PAUSE
        due = self._due(schedule, here)
        if due is None or self.status.get("lastScheduleTime") == format_time(due.astimezone(UTC)):
            return
        limit = dig(self.cron_job, "spec", "startingDeadlineSeconds")
        if limit is not None and due + timedelta(seconds=limit) < here:
            self._say("Warning", "MissSchedule", f"Missed scheduled time to start a job: {due.astimezone(UTC):%a, %d %b %Y %H:%M:%S %z}")
            return
        self._start(due)

    def _due(self, schedule: Schedule, here: datetime) -> datetime | None:
        """The latest time not served yet."""
        since = p.created(self.cron_job)
        if last := self.status.get("lastScheduleTime"):
            since = parse_time(last)
        limit = dig(self.cron_job, "spec", "startingDeadlineSeconds")
        if limit is not None:
            since = max(since, self.now - timedelta(seconds=limit))
        first = schedule.next_after(since.astimezone(here.tzinfo))
        if first is None or first > here:
            return None
        second = schedule.next_after(first)
        if second is None or second > here:
            return first
        if (here - first) / (second - first) + 1 > MANY_MISSED:
            hint = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._say("Warning", "TooManyMissedTimes", f"too many missed start times. {hint}")
        return latest_before(schedule, here, first, second - first)

    def _start(self, due: datetime) -> None:
        if self._name(due) in {name_of(job) for job in self.jobs.values()}:
            # Made before, and only its time not noted.
            self.status["lastScheduleTime"] = format_time(due.astimezone(UTC))
            return
        policy = dig(self.cron_job, "spec", "concurrencyPolicy", default="Allow")
        if policy == "Forbid" and self.active:
            reason = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._say("Normal", "JobAlreadyActive", reason)
            # When the running one ends, its event brings us back.
            return
        if policy == "Replace":
            for entry in self.active:
                if job := self.jobs.get(entry.get("uid", "")):
                    self._delete(job)
            self.active = []
        self._changes.append(Create(JOBS, self._job(due), ignore_exists=True, then=lambda job: self._started(job, due)))

    def _name(self, due: datetime) -> str:
        return f"{name_of(self.cron_job)}-{int(due.timestamp()) // 60}"

    def _job(self, due: datetime) -> Object:
        template = dig(self.cron_job, "spec", "jobTemplate", default={})
        metadata = {
            "name": self._name(due),
            "namespace": namespace_of(self.cron_job),
            "labels": dict(labels_of(template)),
            "annotations": {**annotations_of(template), SCHEDULED_AT: due.isoformat().replace("+00:00", "Z")},
            "ownerReferences": [controller_reference(self.cron_job)],
        }
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template.get("spec") or {}}

    def _started(self, job: Object, due: datetime) -> Sequence[Change]:
        told = RecordEvent(self.cron_job, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
        status = self._status() | {"active": [*self.active, reference(job)], "lastScheduleTime": format_time(due.astimezone(UTC))}
        return (told, *status_changed(CRON_JOBS, self.cron_job, status))

    def _status(self) -> Object:
        rest = {name: value for name, value in self.status.items() if name != "active"}
        return rest | ({"active": self.active} if self.active else {})

    def changes(self) -> list[Change]:
        starts = any(isinstance(change, Create) for change in self._changes)
        return [*self._changes, *(() if starts else status_changed(CRON_JOBS, self.cron_job, self._status()))]

    def failed(self, change: Change, error: ApiError) -> Sequence[Change]:
        if isinstance(change, Create):
            return (RecordEvent(self.cron_job, "Warning", "FailedCreate", f"Error creating job: {error.message}"),)
        return ()


def latest_before(schedule: Schedule, here: datetime, first: datetime, gap: timedelta) -> datetime:
    """The last time of the schedule that is not after `here`, found from the end: years may lie between."""
    found, span = first, gap
    while here - span > first:
        start = schedule.next_after(here - span)
        if start is not None and start <= here:
            found = start
            break
        span *= 2
    while (following := schedule.next_after(found)) is not None and following <= here:
        found = following
    return found


def controller(config: Config) -> Controller:
    watches = (Watch(CRON_JOBS), Watch(JOBS, keys=owner_keys(CRON_JOBS, "CronJob", lambda cron_job: NOTHING)))
    rules = (
        PolicyRule(("batch",), ("cronjobs",), ("get", "list", "update", "watch")),
        PolicyRule(("batch",), ("jobs",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("batch",), ("cronjobs/status",), ("patch", "update")),
        PolicyRule(("batch",), ("cronjobs/finalizers",), ("update",)),
        EVENTS_RULE,
    )
    return Controller("cronjob-controller", watches, reconcile, rules)
