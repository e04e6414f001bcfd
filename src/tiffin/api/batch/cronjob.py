"""CronJob: Jobs by the clock. Its name leaves room for the suffix of its Jobs."""
from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tiffin.api.batch.job_validation import job_spec_errors, job_spec_warnings
from tiffin.api.batch.schedule import ScheduleError, parse_schedule
from tiffin.api.checks import needed, not_negative, one_of
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import default_template, name_warnings
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE_WITH_SELECTOR, containers_and_images, selector_text
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, invalid, not_supported, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import NONE, age, name, since

LONGEST_NAME = 52
POLICIES = ("Allow", "Forbid", "Replace")
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}")
_TWO_ZONES = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
_WITH_ZONE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    job = spec.setdefault("jobTemplate", {})
    job.setdefault("metadata", {})
    default_template(job.setdefault("spec", {}).setdefault("template", {}))


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = _spec_errors(obj.get("spec") or {}, None)
    if len(name_of(obj)) > LONGEST_NAME:
        errors.append(invalid("metadata.name", name_of(obj), f"must be no more than {LONGEST_NAME} characters"))
    return errors


def _spec_errors(spec: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
    """A time zone that was stored before is not looked at again."""
    had_zone = "TZ" in ((old or {}).get("schedule") or "")
    errors = schedule_errors(spec.get("schedule") or "", spec.get("timeZone"), "spec.schedule", had_zone)
    errors += not_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if old is None or spec.get("timeZone") != old.get("timeZone"):
        errors += time_zone_errors(spec.get("timeZone"), "spec.timeZone")
    policy = spec.get("concurrencyPolicy")
    errors += needed(policy, "spec.concurrencyPolicy") or one_of(policy, "spec.concurrencyPolicy", POLICIES)
    errors += _template_errors(dig(spec, "jobTemplate", "spec", default={}), "spec.jobTemplate.spec")
    errors += not_negative(spec.get("successfulJobsHistoryLimit"), "spec.successfulJobsHistoryLimit")
    return errors + not_negative(spec.get("failedJobsHistoryLimit"), "spec.failedJobsHistoryLimit")


def _template_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    errors = job_spec_errors(spec, path)
    if spec.get("selector") is not None:
        errors.append(invalid(f"{path}.selector", spec["selector"], "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(not_supported(f"{path}.manualSelector", spec["manualSelector"], ("nil", "false")))
    return errors


def schedule_errors(schedule: str, zone: str | None, path: str, had_zone: bool = False) -> list[FieldError]:
    """A zone within the schedule stays only where it was stored before (`had_zone`), and not next to the field for it."""
    if not schedule:
        return [required(path)]
    errors = []
    try:
        parse_schedule(_without_zone(schedule))
    except ScheduleError as error:
        errors.append(invalid(path, schedule, str(error)))
    if "TZ" in schedule and not had_zone:
        errors.append(invalid(path, schedule, _WITH_ZONE))
    elif "TZ" in schedule and zone is not None:
        errors.append(invalid(path, schedule, _TWO_ZONES))
    return errors


def _without_zone(schedule: str) -> str:
    """The schedule after its `TZ=` or `CRON_TZ=`. Raises ScheduleError."""
    if not schedule.startswith(("TZ=", "CRON_TZ=")):
        return schedule
    zone, _, rest = schedule.partition(" ")
    zone = zone.partition("=")[2]
    if zone not in ("", "Local") and not _is_known(zone):
        raise ScheduleError(f"provided bad location {zone}: unknown time zone {zone}")
    return rest.strip()


def _is_known(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):  # a key that is no path, a directory, or nothing at all
        return False
    return True


def time_zone_errors(zone: str | None, path: str) -> list[FieldError]:
    if zone is None:
        return []
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = invalid(path, zone, f"unknown time zone {zone}")
    if any(part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part) for part in zone.split("/")):
        return [unknown]
    errors = []
    if zone.lower() == "local":
        errors.append(invalid(path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
    return errors if zone == "Local" or _is_known(zone) else [*errors, unknown]


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _spec_errors(new.get("spec") or {}, old.get("spec") or {})


def warnings(new: Object, old: Object | None) -> list[str]:
    return name_warnings(new, old) + job_spec_warnings(new, old, "spec", "jobTemplate", "spec")


def row(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    last, job = status.get("lastScheduleTime"), dig(spec, "jobTemplate", "spec", default={})
    return [
        name(obj), spec.get("schedule", ""), spec.get("timeZone") or NONE, str(bool(spec.get("suspend"))), len(status.get("active") or ()),
        since(last, now) if last else NONE, age(obj, now), *containers_and_images(job.get("template")), selector_text(job.get("selector")),
    ]


KIND = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    schema="io.k8s.api.batch.v1.CronJob",
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status()),
    ),
    default=default,
    prepare_for_create=creates_with_status(),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(
        NAME, Column("Schedule"), Column("Timezone"), Column("Suspend", "boolean"), Column("Active", "integer"), Column("Last Schedule"), AGE,
        *WORKLOAD_WIDE_WITH_SELECTOR,
    ),
    row=row,
)
