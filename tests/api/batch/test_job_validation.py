"""Jobs and CronJobs: what is refused when they are made, changed, and when their status is written."""
from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from tiffin.api.batch.cronjob import KIND as CRON_JOB
from tiffin.api.batch.job import KIND
from tiffin.api.kind import Context

CONTEXT = Context(datetime(2024, 1, 1, tzinfo=UTC))
POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}
INDEXED = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    made = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": copy.deepcopy(POD)}} | copy.deepcopy(spec)}
    KIND.default(made)
    KIND.prepare_for_create(made, CONTEXT)
    made["status"] = status or {}
    return made


@pytest.mark.parametrize("spec, errors", [
    ({}, []),
    ({"selector": {"matchLabels": {"job-name": "j"}}}, []),
    ({"completionMode": "Indexed", "completions": 100_001, "parallelism": 10_001, "backoffLimitPerIndex": 1}, [
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
        "spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with "
        "backoff limit per index"]),
    ({"completionMode": "Indexed", "completions": 100_001, "parallelism": 1, "backoffLimitPerIndex": 1, "maxFailedIndexes": 10_001}, [
        "spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with "
        "backoff limit per index"]),
    ({"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "X"}] * 21}]}},
     ["spec.podFailurePolicy.rules[0].onPodConditions: Too many: 21: must have at most 20 items"]),
    (INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "1-2-3"}]}},
     ['spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the fragment "1-2-3" violates '
      "the requirement that an index interval can have at most two parts separated by '-'"]),
    (INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "2-2"}]}},
     ['spec.successPolicy.rules[0].succeededIndexes: Invalid value: "2-2": error parsing succeededIndexes: non-increasing order, '
      "previous: 2, current: 2"]),
])
def test_creation(spec: dict[str, Any], errors: list[str]) -> None:
    assert [str(e) for e in KIND.validate(job(**spec), CONTEXT)] == errors


SUSPENDED = {"conditions": [{"type": "Suspended", "status": "True"}], "startTime": "2024-01-01T00:00:00Z"}
IMAGE = {"containers": [{"name": "c", "image": "y"}]}
RESOURCES = {"containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}]}


@pytest.mark.parametrize("before, status, pod, fields", [
    ({}, {}, IMAGE, ["spec.template"]),
    ({}, {}, RESOURCES, ["spec.template"]),
    ({"suspend": True}, {}, IMAGE, ["spec.template.spec"]),
    ({"suspend": True}, {}, RESOURCES, []),
    ({"suspend": True}, {}, {"nodeSelector": {"a": "b"}, "schedulingGates": [{"name": "g"}]}, []),
    ({"suspend": True}, SUSPENDED, RESOURCES, []),
    ({"suspend": True}, SUSPENDED | {"active": 1}, RESOURCES, ["spec.template"]),
    ({"suspend": True}, {"startTime": "2024-01-01T00:00:00Z"}, {"nodeSelector": {"a": "b"}}, ["spec.template"]),
])
def test_template_changes(before: dict[str, Any], status: dict[str, Any], pod: dict[str, Any], fields: list[str]) -> None:
    old = job(status, **before)
    new = copy.deepcopy(old)
    new["spec"]["template"]["spec"] |= copy.deepcopy(pod)
    KIND.default(new)
    found = KIND.validate_update(new, old, CONTEXT)
    assert [e.field for e in found] == fields and all(e.message.endswith(": field is immutable") for e in found)


def conditions(*true: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True"} for kind in true]}


T0, T1, T2 = ("2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z", "2024-01-01T00:02:00Z")
DONE = conditions("SuccessCriteriaMet", "Complete") | {"startTime": T0, "completionTime": T1}


@pytest.mark.parametrize("spec, before, after, errors", [
    ({}, {}, {"startTime": T0, "active": 1, "ready": 1}, []),
    ({}, {}, {"ready": 1}, ["status.ready: Invalid value: 1: cannot set more ready pods than active"]),
    ({}, {"ready": 1}, {"ready": 1}, []),
    ({}, {}, {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}}, [
        'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
        'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
    ({}, {"startTime": T0}, DONE, []),
    ({}, {"startTime": T0}, DONE | {"uncountedTerminatedPods": {"succeeded": ["a"]}, "terminating": 1}, [
        'status.uncountedTerminatedPods: Invalid value: {"Succeeded":["a"],"Failed":null}: must be empty for finished job',
        "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"]),
    ({}, {}, conditions("SuccessCriteriaMet", "Complete") | {"completionTime": T1},
     ["status.startTime: Required value: startTime is required for finished job"]),
    ({"suspend": True, "completions": 0}, {}, conditions("SuccessCriteriaMet", "Complete") | {"completionTime": T1}, []),
    ({}, {"startTime": T0}, conditions("Complete") | {"startTime": T0}, [
        "status.completionTime: Required value: completionTime is required for Complete jobs",
        "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"]),
    ({}, {"startTime": T0}, conditions("Complete", "FailureTarget", "SuccessCriteriaMet") | {"startTime": T0, "completionTime": T1}, [
        "status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
        "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"]),
    ({}, DONE, DONE | {"completionTime": T2}, [f'status.completionTime: Invalid value: "{T2}": field is immutable']),
    ({}, {"startTime": T0}, {}, ["status.startTime: Invalid value: null: field is immutable for unsuspended job once set"]),
    ({}, {"startTime": T0} | conditions("Suspended"),
     {"startTime": T1, "conditions": [{"type": "Suspended", "status": "False"}]}, []),
    ({}, {"failed": 2, "succeeded": 2}, {"failed": 1, "succeeded": 1}, [
        "status.failed: Invalid value: 1: cannot decrease the failed counter",
        "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
    (INDEXED, {"succeeded": 2}, {"succeeded": 1}, []),
    ({}, {}, {"completedIndexes": "0", "failedIndexes": ""}, [
        'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
        'status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null']),
    (INDEXED | {"backoffLimitPerIndex": 1}, {}, {"completedIndexes": "0-2,9", "failedIndexes": "1,3"}, [
        'status.completedIndexes: Invalid value: "0-2,9": error parsing completedIndexes: too large index: "9"',
        'status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 1']),
    ({}, {"startTime": T0} | conditions("FailureTarget"), {"startTime": T0},
     ["status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition"]),
    ({}, {"startTime": T0}, conditions("Failed") | {"startTime": T0},
     ["status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"]),
])
def test_status(spec: dict[str, Any], before: dict[str, Any], after: dict[str, Any], errors: list[str]) -> None:
    status = next(s for s in KIND.subresources if s.name == "status")
    assert status.validate is not None
    found = status.validate(job(after, **spec), job(before, **spec), CONTEXT)
    assert [str(e) for e in found] == errors


def cron_job(schedule: str, zone: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": copy.deepcopy(POD)}}}}
    made = {"metadata": {"name": "c"}, "spec": spec | ({} if zone is None else {"timeZone": zone})}
    CRON_JOB.default(made)
    return made


_TZ = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


@pytest.mark.parametrize("schedule, zone, errors", [
    ("0 * * * *", "Europe/Berlin", []),
    ("TZ=UTC 0 * * * *", None, [f'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": {_TZ}']),
    ("TZ=Mars/Base 0 * * * *", None, [
        'spec.schedule: Invalid value: "TZ=Mars/Base 0 * * * *": provided bad location Mars/Base: unknown time zone Mars/Base',
        f'spec.schedule: Invalid value: "TZ=Mars/Base 0 * * * *": {_TZ}']),
    ("0 * * TZ", None, ['spec.schedule: Invalid value: "0 * * TZ": expected exactly 5 fields, found 4: [0 * * TZ]',
                        f'spec.schedule: Invalid value: "0 * * TZ": {_TZ}']),
    ("0 * * * *", "local", [
        'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones',
        'spec.timeZone: Invalid value: "local": unknown time zone local']),
    ("0 * * * *", "America/../UTC", ['spec.timeZone: Invalid value: "America/../UTC": unknown time zone America/../UTC']),
])
def test_schedules(schedule: str, zone: str | None, errors: list[str]) -> None:
    assert [str(e) for e in CRON_JOB.validate(cron_job(schedule, zone), CONTEXT)] == errors


def test_a_stored_zone_in_the_schedule_stays() -> None:
    old, new = cron_job("TZ=UTC 0 * * * *"), cron_job("TZ=UTC 1 * * * *")
    assert CRON_JOB.validate_update(new, old, CONTEXT) == []
    both = cron_job("TZ=UTC 1 * * * *", "UTC")
    assert [str(e) for e in CRON_JOB.validate_update(both, old, CONTEXT)] == [
        'spec.schedule: Invalid value: "TZ=UTC 1 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule']
