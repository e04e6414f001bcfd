"""What a Job makes of its pods' ends: pod failure policy, success policy, and how long to wait before trying again.

Source: KEP-3329, KEP-3998, KEP-3850 and Kubernetes' job controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from tiffin.controllers import pods as p
from tiffin.controllers.jobindexes import parsed
from tiffin.machinery.object import Object, dig, is_deleting, meta, name_of, namespace_of
from tiffin.machinery.timestamps import parse_time

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(minutes=10)


class Verdict(NamedTuple):
    """The action of the pod failure policy's first rule that fits: Ignore, Count, FailIndex or FailJob; and why."""

    action: str
    message: str


def judged(job: Object, pod: Object) -> Verdict:
    """What a failed pod counts for; without a rule that fits it counts."""
    for number, rule in enumerate(dig(job, "spec", "podFailurePolicy", "rules", default=())):
        fits = _by_exit_code(rule, pod) if rule.get("onExitCodes") else _by_condition(rule, pod)
        if fits:
            return Verdict(rule["action"], f"{fits} matching {rule['action']} rule at index {number}")
    return Verdict("Count", "")


def _by_exit_code(rule: Object, pod: Object) -> str:
    wanted = rule["onExitCodes"]
    for status in _container_statuses(pod):
        code = dig(status, "state", "terminated", "exitCode", default=0)
        if not code or wanted.get("containerName") not in (None, status.get("name")):
            continue
        if (code in wanted.get("values", ())) is (wanted["operator"] == "In"):
            return f"Container {status.get('name')} for pod {namespace_of(pod)}/{name_of(pod)} failed with exit code {code}"
    return ""


def _by_condition(rule: Object, pod: Object) -> str:
    for wanted in rule.get("onPodConditions") or ():
        found = p.condition(pod, wanted["type"])
        if found and found.get("status") == wanted.get("status", "True"):
            return f"Pod {namespace_of(pod)}/{name_of(pod)} has condition {wanted['type']}"
    return ""


def _container_statuses(pod: Object) -> Iterator[Object]:
    for field in ("containerStatuses", "initContainerStatuses"):
        yield from dig(pod, "status", field, default=())


def met_success_rule(job: Object, succeeded: set[int]) -> str:
    """Which rule of the success policy is met by these indexes, in words; "" for none."""
    completions = dig(job, "spec", "completions", default=0)
    for number, rule in enumerate(dig(job, "spec", "successPolicy", "rules", default=())):
        chosen = parsed(rule["succeededIndexes"], completions) if rule.get("succeededIndexes") else set(range(completions))
        count = rule.get("succeededCount")
        if len(chosen & succeeded) >= (len(chosen) if count is None else count):
            return f"Matched rules at index {number}"
    return ""


def exceeds_restarts(job: Object, pods: Iterable[Object]) -> bool:
    """Whether containers that restart in place did so more often than the Job allows."""
    if dig(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    running = [pod for pod in pods if p.phase(pod) in ("Running", "Pending")]
    count = sum(status.get("restartCount", 0) for pod in running for status in _container_statuses(pod))
    limit = dig(job, "spec", "backoffLimit", default=6)
    return count > 0 if limit == 0 else count >= limit


def retry_at(pods: Iterable[Object]) -> datetime | None:
    """When the next pod may be made: ten seconds after a failure, twice that after the next in a row, ten minutes at most."""
    ended = [pod for pod in pods if p.is_finished(pod) or is_deleting(pod)]
    successes = [ended_at(pod) for pod in ended if p.phase(pod) == "Succeeded"]
    since = max(successes, default=p.EPOCH)
    failures = [moment for pod in ended if p.phase(pod) == "Failed" and (moment := ended_at(pod)) > since]
    if not failures:
        return None
    return max(failures) + min(FIRST_WAIT * 2 ** min(len(failures) - 1, 10), LONGEST_WAIT)


def ended_at(pod: Object) -> datetime:
    """When a pod's last container ended, as far as it says."""
    finished = [dig(status, "state", "terminated", "finishedAt") for status in _container_statuses(pod)]
    if finished and all(finished):
        return max(map(parse_time, finished))
    ready = p.condition(pod, "Ready")
    if ready and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    deleted = meta(pod).get("deletionTimestamp")
    return parse_time(deleted) if deleted else p.created(pod)
