"""Finished Jobs that say how long they want to be kept: deleted with their pods when that time has passed."""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from tiffin.controllers.config import Config
from tiffin.controllers.pods import condition
from tiffin.controllers.resources import EVENTS_RULE, JOBS
from tiffin.machinery.object import Key, Object, dig, is_deleting, key_of, meta, uid_of
from tiffin.machinery.timestamps import parse_time
from tiffin.runtime.controller import Changes, Controller, Delete, PolicyRule, View, Watch


def finished_at(job: Object) -> datetime | None:
    """When the job completed or failed, None while it has not."""
    for type in ("Complete", "Failed"):
        ended = condition(job, type)
        if ended and ended.get("status") == "True" and ended.get("lastTransitionTime"):
            return parse_time(ended["lastTransitionTime"])
    return None


def is_due(job: Object) -> bool:
    """Finished, and with a time to live."""
    return dig(job, "spec", "ttlSecondsAfterFinished") is not None and not is_deleting(job) and finished_at(job) is not None


def keys(job: Object, view: View) -> Iterable[Key]:
    return (key_of(job),) if is_due(job) else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    job = view.get(JOBS, *key)
    if job is None or not is_due(job):
        return Changes()
    ended = finished_at(job)
    assert ended is not None
    rest = ended + timedelta(seconds=job["spec"]["ttlSecondsAfterFinished"]) - now
    if rest > timedelta(0):
        return Changes(requeue_after=rest)
    # Only as we saw it: someone may just have raised its time to live.
    return Changes((Delete(JOBS, *key, uid=uid_of(job), resource_version=meta(job).get("resourceVersion") or "", propagation="Foreground"),))


def controller(config: Config) -> Controller:
    rules = (PolicyRule(("batch",), ("jobs",), ("delete", "get", "list", "watch")), EVENTS_RULE)
    return Controller("ttl-after-finished-controller", (Watch(JOBS, keys=keys),), reconcile, rules)
