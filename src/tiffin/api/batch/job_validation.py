"""What a Job's spec must be, in the order and words of the API. Also the rule of the job template of a CronJob."""
from __future__ import annotations

from typing import Any

from tiffin.api.batch.indexes import IndexesError, count_indexes
from tiffin.api.checks import named, not_negative, not_supported, one_of
from tiffin.api.pod_templates import MISMATCH, template_errors, template_warnings
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required, shown, too_long, too_many
from tiffin.machinery.object import Object, dig, name_of, uid_of
from tiffin.machinery.selectors import from_label_selector, validate_label_selector

Spec = dict[str, Any]

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_EXIT_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
MAX_RULES, MAX_VALUES, MAX_INDEXED, MAX_INDEXES_TEXT = 20, 255, 100_000, 64 * 1024


MANY_COMPLETIONS, MANY_AT_ONCE, MANY_FAILED = 100_000, 10_000, 10_000
_MANY_INDEXES = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track "
    "completedIndexes when a big number of indexes fail"
)


def valueless(path: str, detail: str) -> FieldError:
    """An invalid value that the message does not show."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")


def job_spec_warnings(new: Object, old: Object | None, *path: str) -> list[str]:
    """Warnings for the Job spec at `path`, in a Job or in a CronJob: more indexes than can be kept track of, and its pod template."""
    if old is not None and dig(new, "metadata", "generation") == dig(old, "metadata", "generation"):
        return []
    spec = dig(new, *path, default={})
    many = (spec.get("completions") or 0) > MANY_COMPLETIONS and (spec.get("parallelism") or 0) > MANY_AT_ONCE
    found = [f"{'.'.join(path)}: {_MANY_INDEXES}"] if spec.get("completionMode") == "Indexed" and many else []
    return found + template_warnings(new, old, *path, "template")


def job_errors(job: Object) -> list[FieldError]:
    """A whole Job: its generated selector, then its spec."""
    spec = job.get("spec") or {}
    errors = _generated_errors(job, spec) + whole_spec_errors(spec, "spec")
    completions = spec.get("completions")
    if spec.get("completionMode") == "Indexed" and completions:
        hostname = f"{name_of(job)}-{completions - 1}"
        if names.is_dns1123_label(hostname):
            detail = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.append(invalid("metadata.name", name_of(job), detail))
    return errors


def _generated_errors(job: Object, spec: Spec) -> list[FieldError]:
    """A selector that the server makes selects by the Job's own UID, and the template's labels say the same."""
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return []
    template_labels = dig(spec, "template", "metadata", "labels", default={})
    errors = []
    for key, expected in generated_labels(job).items():
        path = f"spec.template.metadata.labels[{key}]"
        if key not in template_labels:
            errors.append(required(path, f"must be '{expected}'"))
        elif template_labels[key] != expected:
            errors.append(invalid(path, template_labels, f"must be '{expected}'"))
    if not validate_label_selector(selector, "") and not from_label_selector(selector).matches(generated_labels(job)):
        errors.append(invalid("spec.selector", selector, "`selector` not auto-generated"))
    return errors


def generated_labels(job: Object) -> dict[str, str]:
    """The labels a Job's pods bear, unless its selector is manual."""
    return {OLD_CONTROLLER_UID: uid_of(job), OLD_JOB_NAME: name_of(job), CONTROLLER_UID: uid_of(job), JOB_NAME: name_of(job)}


def whole_spec_errors(spec: Spec, path: str) -> list[FieldError]:
    """The spec with its selector."""
    errors, selector = job_spec_errors(spec, path), spec.get("selector")
    faults = [required(f"{path}.selector")] if selector is None else validate_label_selector(selector, f"{path}.selector")
    errors += faults
    template_labels = dig(spec, "template", "metadata", "labels")
    if selector is not None and not faults and not from_label_selector(selector).matches(template_labels or {}):
        errors.append(invalid(f"{path}.template.metadata.labels", template_labels, MISMATCH))
    return errors


def job_spec_errors(spec: Spec, path: str) -> list[FieldError]:
    """The spec without its selector, as in the job template of a CronJob."""
    errors = [error for field in _COUNTS for error in not_negative(spec.get(field), f"{path}.{field}")]
    failed = spec.get("maxFailedIndexes")
    errors += not_negative(failed, f"{path}.maxFailedIndexes")
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    errors += _manager_errors(spec.get("managedBy"), f"{path}.managedBy") + _mode_errors(spec, path)
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy_errors(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        errors += _success_policy_errors(spec, f"{path}.successPolicy")
    errors += _replacement_errors(spec, f"{path}.podReplacementPolicy")
    errors += template_errors(spec.get("template") or {}, f"{path}.template")
    return errors + _restart_errors(spec, f"{path}.template.spec.restartPolicy")


def _manager_errors(manager: str | None, path: str) -> list[FieldError]:
    if manager is None:
        return []
    errors = named(manager, path, names.is_domain_prefixed_path)
    return [*errors, too_long(path, 63)] if len(manager) > 63 else errors


def _mode_errors(spec: Spec, path: str) -> list[FieldError]:
    mode, completions, failed = spec.get("completionMode"), spec.get("completions"), spec.get("maxFailedIndexes")
    errors = one_of(mode, f"{path}.completionMode", ("NonIndexed", "Indexed")) if mode is not None else []
    if mode == "Indexed":
        if completions is None:
            errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
        if (spec.get("parallelism") or 0) > MAX_INDEXED:
            detail = f"must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"
            errors.append(invalid(f"{path}.parallelism", spec["parallelism"], detail))
        if completions is not None and failed is not None and failed > completions:
            errors.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
        if failed is not None and failed > MAX_INDEXED:
            errors.append(invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {MAX_INDEXED}"))
        if (completions or 0) > MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
            errors += _many_errors(spec, path)
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                errors.append(invalid(f"{path}.{field}", spec[field], "requires indexed completion mode"))
    return errors


def _many_errors(spec: Spec, path: str) -> list[FieldError]:
    """What a Job of very many indexes, each with its own retries, must keep within."""
    errors, detail = [], f"when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    if spec.get("maxFailedIndexes") is None:
        errors.append(required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {MANY_COMPLETIONS}"))
    for field, most in (("parallelism", MANY_AT_ONCE), ("maxFailedIndexes", MANY_FAILED)):
        if (spec.get(field) or 0) > most:
            errors.append(invalid(f"{path}.{field}", spec[field], f"must be less than or equal to {most} {detail}"))
    return errors


def _restart_errors(spec: Spec, path: str) -> list[FieldError]:
    policy = dig(spec, "template", "spec", "restartPolicy", default="")
    if policy in ("", "Always"):
        return [required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [not_supported(path, policy, ("OnFailure", "Never"))]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        return [invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    return []


def _replacement_errors(spec: Spec, path: str) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    return one_of(policy, path, ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed"))


# --- pod failure policy --------------------------------------------------------------------------------------------------


def _failure_policy_errors(spec: Spec, path: str) -> list[FieldError]:
    rules = dig(spec, "podFailurePolicy", "rules", default=[])
    errors = [too_many(f"{path}.rules", len(rules), MAX_RULES)] if len(rules) > MAX_RULES else []
    template = dig(spec, "template", "spec", default={})
    containers = {c.get("name") for field in ("containers", "initContainers") for c in template.get(field) or ()}
    for index, rule in enumerate(rules):
        errors += _failure_rule_errors(spec, rule, f"{path}.rules[{index}]", containers)
    return errors


def _one_of_listed(value: str, path: str, choices: tuple[str, ...]) -> list[FieldError]:
    if not value:
        return [required(path, f"valid values: [{' '.join(map(shown, choices))}]")]
    return one_of(value, path, choices)


def _failure_rule_errors(spec: Spec, rule: dict[str, Any], path: str, containers: set[Any]) -> list[FieldError]:
    action, codes, conditions = rule.get("action") or "", rule.get("onExitCodes"), rule.get("onPodConditions") or []
    errors = _one_of_listed(action, f"{path}.action", _ACTIONS)
    if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        errors.append(invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    if codes is not None:
        errors += _exit_code_errors(codes, f"{path}.onExitCodes", containers)
    if len(conditions) > MAX_RULES:
        errors.append(too_many(f"{path}.onPodConditions", len(conditions), MAX_RULES))
    for index, condition in enumerate(conditions):
        here = f"{path}.onPodConditions[{index}]"
        errors += named(condition.get("type"), f"{here}.type", names.is_qualified_name)
        errors += _one_of_listed(condition.get("status") or "", f"{here}.status", _STATUSES)
    if codes is not None and conditions:
        errors.append(valueless(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not conditions:
        errors.append(valueless(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return errors


def _exit_code_errors(codes: dict[str, Any], path: str, containers: set[Any]) -> list[FieldError]:
    operator, container, values = codes.get("operator") or "", codes.get("containerName"), codes.get("values") or []
    errors = _one_of_listed(operator, f"{path}.operator", _EXIT_OPERATORS)
    if container is not None and container not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", container, detail))
    if not values:
        errors.append(invalid(f"{path}.values", [], "at least one value is required"))
    elif len(values) > MAX_VALUES:
        errors.append(too_many(f"{path}.values", len(values), MAX_VALUES))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(duplicate(f"{path}.values[{index}]", value))
    if values != sorted(values):
        errors.append(invalid(f"{path}.values", values, "must be ordered"))
    return errors


# --- success policy ------------------------------------------------------------------------------------------------------


def _success_policy_errors(spec: Spec, path: str) -> list[FieldError]:
    rules = dig(spec, "successPolicy", "rules", default=[])
    if spec.get("completionMode") != "Indexed":
        listed = [{"SucceededIndexes": r.get("succeededIndexes"), "SucceededCount": r.get("succeededCount")} for r in rules]
        return [invalid(path, {"Rules": listed or None}, "requires indexed completion mode")]
    errors = []
    if not rules:
        errors.append(required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > MAX_RULES:
        errors.append(too_many(f"{path}.rules", len(rules), MAX_RULES))
    for index, rule in enumerate(rules):
        errors += _success_rule_errors(rule, f"{path}.rules[{index}]", spec.get("completions") or 0)
    return errors


def _success_rule_errors(rule: dict[str, Any], path: str, completions: int) -> list[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if indexes is None and count is None:
        return [required(path, "at least one of succeededCount or succeededIndexes must be specified")]
    errors, total = [], 0
    if indexes is not None:
        here = f"{path}.succeededIndexes"
        if len(indexes) > MAX_INDEXES_TEXT:
            errors.append(too_long(here, MAX_INDEXES_TEXT))
        try:
            total = count_indexes(indexes, completions)
        except IndexesError as error:
            errors.append(invalid(here, indexes, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        here = f"{path}.succeededCount"
        errors += not_negative(count, here)
        if count > completions:
            detail = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(invalid(here, count, detail))
        if indexes is not None and count > total:
            detail = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            errors.append(invalid(here, count, detail))
    return errors


# --- changes -------------------------------------------------------------------------------------------------------------

_FIXED = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")


def change_errors(new: Spec, old: Spec, may_reschedule: bool) -> list[FieldError]:
    """What an update may not change. `may_reschedule`: the job is suspended and never ran, so where its pods run may change."""
    errors = _completions_errors(new, old)
    errors += _same(new, old, "selector") + _template_errors(new.get("template") or {}, old.get("template") or {}, may_reschedule)
    return errors + [error for field in _FIXED for error in _same(new, old, field)]


def _same(new: Spec, old: Spec, field: str) -> list[FieldError]:
    return [] if new.get(field) == old.get(field) else [invalid(f"spec.{field}", new.get(field), "field is immutable")]


def _completions_errors(new: Spec, old: Spec) -> list[FieldError]:
    if new.get("completionMode") != "Indexed":
        return _same(new, old, "completions")
    completions = new.get("completions")
    if completions == old.get("completions") or completions is None or completions == new.get("parallelism"):
        return []
    return [invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")]


def _template_errors(new: dict[str, Any], old: dict[str, Any], may_reschedule: bool) -> list[FieldError]:
    if not may_reschedule:
        return [] if _plain(new) == _plain(old) else [invalid("spec.template", new, "field is immutable")]
    after = new.get("spec") or {}
    if _plain(_rescheduled(old.get("spec") or {}, after)) == _plain(after):
        return []
    return [invalid("spec.template.spec", after, "field is immutable")]


def _rescheduled(old: Spec, new: Spec) -> Spec:
    """The old pod spec with all of the new one that says where its pods run and what they ask for."""
    spec = old | {field: new.get(field) for field in ("nodeSelector", "tolerations", "schedulingGates")}
    affinity = dict(old.get("affinity") or {}) | {"nodeAffinity": dig(new, "affinity", "nodeAffinity")}
    spec["affinity"] = _plain(affinity) or new.get("affinity") or None
    for field in ("containers", "initContainers"):
        before, after = old.get(field) or [], new.get(field) or []
        if before and len(before) == len(after):
            spec[field] = [
                a | {"resources": b.get("resources")} if a.get("name") == b.get("name") else a for a, b in zip(before, after)
            ]
    return spec


def _plain(value: Any) -> Any:
    """The value without fields that say nothing."""
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := _plain(item)) is not None and plain != {}}
    return value
