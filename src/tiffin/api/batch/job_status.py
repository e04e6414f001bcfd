"""What a Job's status may say, and how it may change: a finished Job stays finished, and its times and counts fit together."""
from __future__ import annotations

from typing import Any

from tiffin.api.batch.job_validation import valueless
from tiffin.api.replica_status import counts
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.timestamps import parse_time

Status = dict[str, Any]
_COUNTS = ("active", "succeeded", "failed", "terminating", "ready")


def _true(status: Status, kind: str) -> bool:
    return any(c.get("type") == kind and c.get("status") == "True" for c in status.get("conditions") or ())


def _is_finished(status: Status) -> bool:
    return _true(status, "Complete") or _true(status, "Failed")


def job_status_errors(new: Object, old: Object) -> list[FieldError]:
    after, before = new.get("status") or {}, old.get("status") or {}
    return counts(after, _COUNTS) + _finished_errors(after) + _time_errors(after, new, before) + _kept_conditions(after, before)


def _finished_errors(status: Status) -> list[FieldError]:
    errors = []
    if _is_finished(status):
        if (status.get("active") or 0) > 0:
            errors.append(invalid("status.active", status["active"], "active>0 is invalid for finished job"))
        if (status.get("ready") or 0) > 0:
            errors.append(invalid("status.ready", status["ready"], "ready>0 is invalid for finished job"))
        uncounted = status.get("uncountedTerminatedPods") or {}
        if uncounted.get("succeeded") or uncounted.get("failed"):
            detail = "uncountedTerminatedPods needs to be empty for finished job"
            errors.append(invalid("status.uncountedTerminatedPods", uncounted, detail))
    if _true(status, "Complete") and _true(status, "Failed"):
        errors.append(valueless("status.conditions", "cannot set Complete=True and Failed=true conditions"))
    for outcome, before in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
        if _true(status, outcome) and not _true(status, before):
            errors.append(valueless("status.conditions", f"cannot set {outcome}=True condition without the {before}=true condition"))
    return errors


def _time_errors(status: Status, job: Object, before: Status) -> list[FieldError]:
    start, end, started = status.get("startTime"), status.get("completionTime"), before.get("startTime")
    errors = []
    if _true(status, "Complete") and not end:
        errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if end and not _true(status, "Complete"):
        errors.append(invalid("status.completionTime", end, "cannot set completionTime when there is no Complete=True condition"))
    if start and end and parse_time(end) < parse_time(start):
        errors.append(invalid("status.completionTime", end, "must be equal to or after `startTime`"))
    if started and not start and not dig(job, "spec", "suspend"):
        errors.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))
    elif started and start != started and not dig(job, "spec", "suspend"):
        errors.append(invalid("status.startTime", start, "field is immutable for unsuspended job once set"))
    if before.get("completionTime") and end and end != before["completionTime"]:
        errors.append(invalid("status.completionTime", end, "field is immutable"))
    return errors


def _kept_conditions(after: Status, before: Status) -> list[FieldError]:
    """Conditions that say how a Job ends never go back."""
    words = (
        ("Complete", "the terminal Complete=True"), ("Failed", "the terminal Failed=True"), ("FailureTarget", "the FailureTarget=True"),
        ("SuccessCriteriaMet", "the SuccessCriteriaMet=True"),
    )
    return [
        valueless("status.conditions", f"cannot disable {described} condition")
        for kind, described in words if _true(before, kind) and not _true(after, kind)
    ]
