"""What a Job's status may say, and how it may change: a finished Job stays finished, and its times and counts fit together.

Most rules are looked at only where what they are about has changed, so that a status that was stored before them can still be written.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.batch.indexes import IndexesError, count_indexes, overlap
from tiffin.api.batch.job_validation import valueless
from tiffin.api.replica_status import counts
from tiffin.machinery.field import FieldError, duplicate, invalid, required
from tiffin.machinery.object import Object
from tiffin.machinery.timestamps import parse_time

Spec = dict[str, Any]
Status = dict[str, Any]
_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


def _true(status: Status, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or ())


def _is_finished(status: Status) -> bool:
    return _true(status, "Complete") or _true(status, "Failed")


def _uncounted(status: Status) -> tuple[list[str], list[str]]:
    pods = status.get("uncountedTerminatedPods") or {}
    return pods.get("succeeded") or [], pods.get("failed") or []


class _Change:
    """The status before and after, and which of its parts differ."""

    def __init__(self, new: Object, old: Object) -> None:
        self.spec: Spec = new.get("spec") or {}
        self.after: Status = new.get("status") or {}
        self.before: Status = old.get("status") or {}
        self.finished = _is_finished(self.after)
        self.finish_changed = _is_finished(self.before) != self.finished

    def turned(self, *conditions: str) -> bool:
        """Whether one of the conditions became true or stopped being so."""
        return any(_true(self.after, kind) != _true(self.before, kind) for kind in conditions)

    def changed(self, *fields: str) -> bool:
        return any(self.after.get(field) != self.before.get(field) for field in fields)

    def count_changed(self, field: str) -> bool:
        return (self.after.get(field) or 0) != (self.before.get(field) or 0)


def job_status_errors(new: Object, old: Object) -> list[FieldError]:
    change = _Change(new, old)
    errors = counts(change.after, _COUNTS) + _uncounted_errors(change.after) + _outcome_errors(change)
    errors += _finished_errors(change) + _index_errors(change) + _count_errors(change) + _criteria_errors(change)
    return errors + _kept_errors(change)


def _uncounted_errors(status: Status) -> list[FieldError]:
    errors, seen = [], set()
    for field, uids in zip(("succeeded", "failed"), _uncounted(status)):
        for index, uid in enumerate(uids):
            path = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                errors.append(invalid(path, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(path, uid))
            seen.add(uid)
    return errors


def _outcome_errors(change: _Change) -> list[FieldError]:
    """How the Job ended, and when."""
    status = change.after
    start, end, complete, failed = status.get("startTime"), status.get("completionTime"), _true(status, "Complete"), _true(status, "Failed")
    errors = []
    if complete and failed and change.turned("Complete", "Failed"):
        errors.append(valueless("status.conditions", "cannot set Complete=True and Failed=true conditions"))
    if complete and _true(status, "FailureTarget") and change.turned("Complete", "FailureTarget"):
        errors.append(valueless("status.conditions", "cannot set Complete=True and FailureTarget=true conditions"))
    if change.turned("Complete") or change.changed("completionTime"):
        if end and not complete:
            errors.append(invalid("status.completionTime", end, "cannot set completionTime when there is no Complete=True condition"))
        if complete and not end:
            errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if change.changed("startTime", "completionTime") and start and end and parse_time(end) < parse_time(start):
        errors.append(invalid("status.completionTime", end, "must be equal to or after `startTime`"))
    if failed and not _true(status, "FailureTarget") and (change.turned("Failed") or change.changed("failedIndexes")):
        errors.append(valueless("status.conditions", "cannot set Failed=True condition without the FailureTarget=true condition"))
    if complete and not _true(status, "SuccessCriteriaMet") and change.turned("Complete", "SuccessCriteriaMet"):
        errors.append(valueless("status.conditions", "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"))
    return errors


def _finished_errors(change: _Change) -> list[FieldError]:
    """A Job that has ended began, and no pod of it is left to run or to count."""
    if not change.finished:
        return []
    status, errors = change.after, []
    active, never_ran = status.get("active") or 0, change.spec.get("suspend") and change.spec.get("completions") == 0
    if active > 0 and (change.finish_changed or change.count_changed("active")):
        errors.append(invalid("status.active", active, "active>0 is invalid for finished job"))
    if not status.get("startTime") and (change.finish_changed or change.changed("startTime")) and not never_ran:
        errors.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = _uncounted(status)
    if any(uncounted) and (change.finish_changed or uncounted != _uncounted(change.before)):
        shown = dict(zip(("Succeeded", "Failed"), (uids or None for uids in uncounted)))
        errors.append(invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job"))
    return errors


def _index_errors(change: _Change) -> list[FieldError]:
    """Which indexes are done and which have failed."""
    spec, done, failed = change.spec, change.after.get("completedIndexes") or "", change.after.get("failedIndexes")
    completions, limit = spec.get("completions"), spec.get("backoffLimitPerIndex")
    done_changed, failed_changed = done != (change.before.get("completedIndexes") or ""), change.changed("failedIndexes")
    errors = []
    if done_changed and completions is not None:
        errors += _format_errors("completedIndexes", done, completions)
    if failed_changed and completions is not None and limit is not None and failed is not None:
        errors += _format_errors("failedIndexes", failed, completions)
    if done_changed and done and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.append(invalid("status.completedIndexes", done, detail))
    if failed_changed and limit is None and failed is not None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.append(invalid("status.failedIndexes", failed, detail))
    if (done_changed or failed_changed) and completions is not None and failed is not None:
        index = overlap(done, failed, completions)
        if index is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {index}"
            errors.append(invalid("status.failedIndexes", failed, detail))
    return errors


def _format_errors(field: str, text: str, completions: int) -> list[FieldError]:
    try:
        count_indexes(text, completions)
    except IndexesError as error:
        return [invalid(f"status.{field}", text, f"error parsing {field}: {error}")]
    return []


def _count_errors(change: _Change) -> list[FieldError]:
    status, errors = change.after, []
    terminating, ready = status.get("terminating") or 0, status.get("ready")
    if terminating > 0 and change.finished and (change.finish_changed or change.changed("terminating")):
        errors.append(invalid("status.terminating", terminating, "terminating>0 is invalid for finished job"))
    if ready is not None and ready > (status.get("active") or 0) and (change.changed("ready") or change.count_changed("active")):
        errors.append(invalid("status.ready", ready, "cannot set more ready pods than active"))
    return errors


def _criteria_errors(change: _Change) -> list[FieldError]:
    status, errors = change.after, []
    met = _true(status, "SuccessCriteriaMet")
    for condition in ("Failed", "FailureTarget"):
        if met and _true(status, condition):
            errors.append(valueless("status.conditions", f"cannot set SuccessCriteriaMet=True and {condition}=true conditions"))
    if change.spec.get("successPolicy") is not None and not met and _true(status, "Complete"):
        detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        errors.append(valueless("status.conditions", detail))
    return errors


def _kept_errors(change: _Change) -> list[FieldError]:
    """What never goes back: how the Job ended, what was counted and when it began and ended."""
    after, before, spec = change.after, change.before, change.spec
    errors = [
        valueless("status.conditions", f"cannot disable the terminal {kind}=True condition")
        for kind in ("Failed", "Complete", "FailureTarget") if _true(before, kind) and not _true(after, kind)
    ]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed",) if elastic else ("failed", "succeeded"):
        if (after.get(field) or 0) < (before.get(field) or 0):
            errors.append(invalid(f"status.{field}", after.get(field) or 0, f"cannot decrease the {field} counter"))
    if after.get("completionTime") and before.get("completionTime") and change.changed("completionTime"):
        errors.append(invalid("status.completionTime", after["completionTime"], "field is immutable"))
    if before.get("startTime") and change.changed("startTime") and not spec.get("suspend") and not _resumes(change):
        errors.append(invalid("status.startTime", after.get("startTime"), "field is immutable for unsuspended job once set"))
    if _true(before, "SuccessCriteriaMet") and not _true(after, "SuccessCriteriaMet"):
        errors.append(valueless("status.conditions", "cannot disable the SuccessCriteriaMet=True condition"))
    if _true(before, "Complete") and not _true(before, "SuccessCriteriaMet") and _true(after, "SuccessCriteriaMet"):
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.append(valueless("status.conditions", detail))
    return errors


def _resumes(change: _Change) -> bool:
    """Whether the status tells that a suspended Job runs again; its start time is then set anew."""
    going_on = any(c.get("type") == "Suspended" and c.get("status") == "False" for c in change.after.get("conditions") or ())
    return _true(change.before, "Suspended") and going_on
