"""Job: pods that run to an end. Unless told otherwise, the server makes the selector and the labels it selects by.

A Job's own labels default to those of its template. Deleting a Job without options leaves its pods (with a warning).
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.batch.job_status import job_status_errors
from tiffin.api.batch.job_validation import (
    CONTROLLER_UID,
    change_errors,
    generated_labels,
    job_errors,
    job_spec_warnings,
    whole_spec_errors,
)
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.pod_templates import default_template, name_warnings
from tiffin.api.printing import AGE, NAME, WORKLOAD_WIDE_WITH_SELECTOR, containers_and_images, selector_text
from tiffin.api.strategy import start_generation, updates_spec, updates_status
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, dig, is_deleting, labels_of, uid_of
from tiffin.machinery.table import age, name
from tiffin.machinery.timestamps import human_duration, parse_time, seconds_between

UNLIMITED = 2**31 - 1
_STATES = ("Suspended", "FailureTarget", "SuccessCriteriaMet")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", UNLIMITED if spec.get("backoffLimitPerIndex") is not None else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    for rule in dig(policy, "rules", default=[]):
        for condition in rule.get("onPodConditions") or ():
            condition["status"] = condition.get("status") or "True"
    spec.setdefault("podReplacementPolicy", "Failed" if policy is not None else "TerminatingOrFailed")
    default_template(spec.setdefault("template", {}))
    _default_labels(obj)


def _default_labels(obj: Object) -> None:
    template_labels = dig(obj, "spec", "template", "metadata", "labels")
    if template_labels and not labels_of(obj):
        obj.setdefault("metadata", {})["labels"] = dict(template_labels)


def prepare_for_create(obj: Object, context: Context) -> None:
    obj["status"] = {}
    start_generation(obj, context)
    spec = obj["spec"]
    if not spec.get("manualSelector"):
        own = labels_of(obj) == dig(spec, "template", "metadata", "labels", default={})
        metadata = spec["template"].setdefault("metadata", {})
        metadata["labels"] = generated_labels(obj) | (metadata.get("labels") or {})
        selector = spec["selector"] = dict(spec.get("selector") or {})
        selector["matchLabels"] = dict(sorted(({CONTROLLER_UID: uid_of(obj)} | (selector.get("matchLabels") or {})).items()))
        if own:
            obj["metadata"]["labels"] = dict(metadata["labels"])
    _default_labels(obj)


def validate(obj: Object, context: Context) -> list[FieldError]:
    return job_errors(obj)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    may_reschedule = bool(dig(old, "spec", "suspend")) and _stands_still(old.get("status") or {})
    after, before = new.get("spec") or {}, old.get("spec") or {}
    return job_errors(new) + whole_spec_errors(after, "spec") + change_errors(after, before, may_reschedule)


def _stands_still(status: dict[str, Any]) -> bool:
    """Whether no pod of the suspended Job has run yet, or none runs any more."""
    if status.get("startTime") is None:
        return True
    suspended = any(c.get("type") == "Suspended" and c.get("status") == "True" for c in status.get("conditions") or ())
    return suspended and not status.get("active")


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return job_status_errors(new, old)


def warnings(new: Object, old: Object | None) -> list[str]:
    return name_warnings(new, old) + job_spec_warnings(new, old, "spec")


def status_text(obj: Object) -> str:
    """The one word for how a Job stands."""
    met = {c.get("type") for c in dig(obj, "status", "conditions", default=[]) if c.get("status") == "True"}
    for outcome in ("Complete", "Failed"):
        if outcome in met:
            return outcome
    if is_deleting(obj):
        return "Terminating"
    return next((state for state in _STATES if state in met), "Running")


def completions_text(obj: Object) -> str:
    succeeded, wanted = dig(obj, "status", "succeeded", default=0), dig(obj, "spec", "completions")
    if wanted is not None:
        return f"{succeeded}/{wanted}"
    parallelism = dig(obj, "spec", "parallelism", default=0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def duration_text(obj: Object, now: datetime) -> str:
    start, end = dig(obj, "status", "startTime"), dig(obj, "status", "completionTime")
    if not start:
        return ""
    return human_duration(seconds_between(start, parse_time(end) if end else now))


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        name(obj), status_text(obj), completions_text(obj), duration_text(obj, now), age(obj, now),
        *containers_and_images(spec.get("template")), selector_text(spec.get("selector")),
    ]


KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    schema="io.k8s.api.batch.v1.Job",
    singular="job",
    metadata_checks="mu",
    categories=("all",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default_propagation="Orphan",
    delete_warning=(
        "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
        "or set propagationPolicy=Orphan to suppress this warning"),
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Status"), Column("Completions"), Column("Duration"), AGE, *WORKLOAD_WIDE_WITH_SELECTOR),
    row=row,
    field_selectors={"status.successful": lambda obj: str(dig(obj, "status", "succeeded", default=0))},
)
