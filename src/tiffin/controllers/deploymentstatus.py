"""The status of a deployment: counts, conditions, and whether its rollout progresses, is complete or has timed out.

Source: Kubernetes' deployment controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from tiffin.controllers.pods import condition
from tiffin.controllers.rollout import NO_LIMIT, max_unavailable, total, wanted, wanted_total
from tiffin.controllers.writing import compact
from tiffin.machinery.object import Object, dig, meta, name_of
from tiffin.machinery.timestamps import format_time, parse_time

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
COMPLETE, TIMED_OUT, NOT_CREATED = "NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetCreateError"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"


def with_condition(status: Object, type: str, value: str, reason: str, message: str, now: datetime, since: str = "") -> Object:
    """The status with this condition. One of the same status and reason stays as it is; one of the same status keeps its
    transition time. `since` overrides the transition time.
    """
    current = condition({"status": status}, type)
    if current and (current["status"], current.get("reason")) == (value, reason):
        return status
    if not since and current and current["status"] == value:
        since = current.get("lastTransitionTime", "")
    time = format_time(now)
    new = {"type": type, "status": value, "lastUpdateTime": time, "lastTransitionTime": since or time, "reason": reason, "message": message}
    return status | {"conditions": [*without(status, type).get("conditions", ()), new]}


def without(status: Object, type: str) -> Object:
    remaining = [c for c in status.get("conditions", ()) if c["type"] != type]
    return {name: value for name, value in status.items() if name != "conditions"} | ({"conditions": remaining} if remaining else {})


def deadline(deployment: Object) -> timedelta | None:
    """How long a rollout may stand still, None for ever."""
    seconds = dig(deployment, "spec", "progressDeadlineSeconds", default=NO_LIMIT)
    return None if seconds == NO_LIMIT else timedelta(seconds=seconds)


def with_pause(deployment: Object, now: datetime) -> Object:
    """The deployment with a Progressing condition that says it was paused or resumed, if that is new."""
    status = deployment.get("status") or {}
    progressing = condition(deployment, PROGRESSING) or {}
    if deadline(deployment) is None or progressing.get("reason") == TIMED_OUT:
        return deployment
    paused, said = bool(dig(deployment, "spec", "paused")), progressing.get("reason") == PAUSED
    if paused and not said:
        return deployment | {"status": with_condition(status, PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now)}
    if said and not paused:
        return deployment | {"status": with_condition(status, PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now)}
    return deployment


def counted(deployment: Object, replica_sets: Sequence[Object], new: Object | None, now: datetime) -> Object:
    """The status with counts and the condition Available."""
    available = total(replica_sets, "availableReplicas")
    status: Object = {
        "observedGeneration": meta(deployment).get("generation", 0),
        **compact(
            {
                "replicas": total(replica_sets, "replicas"),
                "updatedReplicas": total([new] if new else [], "replicas"),
                "readyReplicas": total(replica_sets, "readyReplicas"),
                "availableReplicas": available,
                "unavailableReplicas": max(0, wanted_total(replica_sets) - available),
            }
        ),
        "terminatingReplicas": total(replica_sets, "terminatingReplicas"),
    }
    before = deployment.get("status") or {}
    status |= {name: before[name] for name in ("collisionCount", "conditions") if before.get(name)}
    if available >= wanted(deployment) - max_unavailable(deployment):
        return with_condition(status, AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    return with_condition(status, AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now)


def is_complete(deployment: Object, status: Object) -> bool:
    """All pods are of the new template and available, and none of the old are left."""
    counts = {status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")}
    return counts == {wanted(deployment)} and status.get("observedGeneration", 0) >= meta(deployment).get("generation", 0)


def is_progressing(before: Object, status: Object) -> bool:
    """More new, fewer old, or more ready or available pods than before."""

    def old(counts: Object) -> int:
        return counts.get("replicas", 0) - counts.get("updatedReplicas", 0)

    grown = any(status.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return grown or old(status) < old(before)


def has_timed_out(deployment: Object, status: Object, now: datetime) -> bool:
    progressing, limit = condition({"status": status}, PROGRESSING), deadline(deployment)
    if limit is None or progressing is None or progressing.get("reason") == COMPLETE:
        return False
    return progressing.get("reason") == TIMED_OUT or parse_time(progressing["lastUpdateTime"]) + limit < now


def rolled_out(deployment: Object, replica_sets: Sequence[Object], new: Object | None, now: datetime) -> Object:
    """The status of a deployment that is not paused: counts, Available, Progressing and ReplicaFailure."""
    status = counted(deployment, replica_sets, new, now)
    if deadline(deployment) is None:
        status = without(status, PROGRESSING)
    elif not _rests(deployment, status):
        status = _progress(deployment, status, new, now)
    failure = _failure(replica_sets, new)
    if failure is None:
        return without(status, REPLICA_FAILURE)
    time = failure.get("lastTransitionTime", "")
    return with_condition(status, REPLICA_FAILURE, failure["status"], failure.get("reason", ""), failure.get("message", ""), now, time)


def _rests(deployment: Object, status: Object) -> bool:
    """Complete already, and only scaled or restored since: that is no rollout."""
    all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return all_new and (condition(deployment, PROGRESSING) or {}).get("reason") == COMPLETE


def _progress(deployment: Object, status: Object, new: Object | None, now: datetime) -> Object:
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        return with_condition(status, PROGRESSING, "True", COMPLETE, f"{subject} has successfully progressed.", now)
    if is_progressing(deployment.get("status") or {}, status):
        current = condition(deployment, PROGRESSING)
        since = current.get("lastTransitionTime", "") if current and current["status"] == "True" else ""
        # Taken out first, so that its update time moves although status and reason stay: that is what the deadline counts from.
        return with_condition(without(status, PROGRESSING), PROGRESSING, "True", "ReplicaSetUpdated", f"{subject} is progressing.", now, since)
    if has_timed_out(deployment, status, now):
        return with_condition(status, PROGRESSING, "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    return status


def _failure(replica_sets: Sequence[Object], new: Object | None) -> Object | None:
    """The failure of the new replica set, or else of any other."""
    for rs in ([new] if new else []) + list(replica_sets):
        if failure := condition(rs, REPLICA_FAILURE):
            return failure
    return None


def until_deadline(deployment: Object, status: Object, now: datetime) -> timedelta | None:
    """When to look again whether the rollout has timed out."""
    progressing, limit = condition({"status": status}, PROGRESSING), deadline(deployment)
    if limit is None or progressing is None or is_complete(deployment, status) or progressing.get("reason") in (TIMED_OUT, COMPLETE, PAUSED):
        return None
    return max(parse_time(progressing["lastUpdateTime"]) + limit - now, timedelta(0)) + timedelta(seconds=1)
