"""What controllers ask about pods. Source: k8s.io/kubernetes pkg/api/v1/pod and pkg/controller, as documented behaviour."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key

from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, meta, replaced, uid_of
from tiffin.machinery.timestamps import format_time, parse_time

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
EPOCH = datetime(1, 1, 1, tzinfo=UTC)


def phase(pod: Object) -> str:
    return dig(pod, "status", "phase", default="")


def is_finished(pod: Object) -> bool:
    """All its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    """Being deleted while its containers may still run."""
    return is_deleting(pod) and not is_finished(pod)


def condition(obj: Object, type: str) -> Object | None:
    """The condition of that type in the object's status."""
    for entry in dig(obj, "status", "conditions", default=()):
        if entry.get("type") == type:
            return entry
    return None


def is_ready(pod: Object) -> bool:
    return (condition(pod, "Ready") or {}).get("status") == "True"


def ready_since(pod: Object) -> datetime | None:
    """When a ready pod became so; None if it is not, or does not say."""
    ready = condition(pod, "Ready")
    if not ready or ready.get("status") != "True" or not ready.get("lastTransitionTime"):
        return None
    return parse_time(ready["lastTransitionTime"])


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Ready for at least that long."""
    if not is_ready(pod):
        return False
    if not min_ready_seconds:
        return True
    since = ready_since(pod)
    return since is not None and since + timedelta(seconds=min_ready_seconds) <= now


def next_availability(pods: Iterable[Object], min_ready_seconds: int, now: datetime) -> timedelta | None:
    """How long until the next ready pod becomes available."""
    if not min_ready_seconds:
        return None
    waits = [since + timedelta(seconds=min_ready_seconds) - now for pod in pods if (since := ready_since(pod))]
    return min((wait for wait in waits if wait > timedelta(0)), default=None)


def restarts(pod: Object) -> tuple[int, int]:
    """Highest restart counts: of the containers, then of the restartable init containers."""
    statuses = dig(pod, "status", "containerStatuses", default=())
    restartable = {c["name"] for c in dig(pod, "spec", "initContainers", default=()) if c.get("restartPolicy") == "Always"}
    sidecars = [s for s in dig(pod, "status", "initContainerStatuses", default=()) if s.get("name") in restartable]
    return max((s.get("restartCount", 0) for s in statuses), default=0), max((s.get("restartCount", 0) for s in sidecars), default=0)


def deletion_cost(pod: Object) -> int:
    text = annotations_of(pod).get(DELETION_COST, "0")
    digits = text.removeprefix("-")
    return int(text) if digits.isdigit() else 0


def created(obj: Object) -> datetime:
    text = meta(obj).get("creationTimestamp")
    return parse_time(text) if text else EPOCH


def by_deletion_preference(pods: Sequence[Object], crowding: Mapping[str, int], now: datetime) -> list[Object]:
    """Pods in the order they should go when fewer are wanted.

    Not yet on a node, pending, not ready, cheap to delete, on a crowded node (`crowding` by UID), younger, restarted more often
    go first. Ages are compared by their logarithm, so that pods of about the same age are told apart by chance (their UID)
    and not always the newest node loses.
    """
    return sorted(pods, key=cmp_to_key(_preference(crowding, now)))


def _preference(crowding: Mapping[str, int], now: datetime) -> Callable[[Object, Object], int]:
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}

    def plain(pod: Object) -> tuple[object, ...]:
        assigned = bool(dig(pod, "spec", "nodeName"))
        return assigned, phases.get(phase(pod), 0), is_ready(pod), deletion_cost(pod), -crowding.get(uid_of(pod), 0)

    def compare(a: Object, b: Object) -> int:
        if difference := _order(plain(a), plain(b)):
            return difference
        if is_ready(a) and (difference := _younger_first(ready_since(a) or EPOCH, ready_since(b) or EPOCH, a, b, now)):
            return difference
        if difference := _order(restarts(b), restarts(a)):
            return difference
        return _younger_first(created(a), created(b), a, b, now)

    return compare


def _order(a: tuple[object, ...], b: tuple[object, ...]) -> int:
    return (a > b) - (a < b)  # type: ignore[operator]


def _younger_first(since_a: datetime, since_b: datetime, a: Object, b: Object, now: datetime) -> int:
    if since_a == since_b:
        return 0
    return _order((_magnitude(since_a, now), uid_of(a)), (_magnitude(since_b, now), uid_of(b)))


def _magnitude(since: datetime, now: datetime) -> int:
    """The logarithm of an age, to base two, in nanoseconds."""
    age = (now - since).total_seconds() * 1e9
    return math.floor(math.log2(age)) if age > 0 else -1


def node_name(pod: Object) -> str:
    """The node the pod is bound to, "" before."""
    return dig(pod, "spec", "nodeName", default="")


def with_condition(obj: Object, condition: Object) -> Object:
    """The object with this condition in the place of one of its type, or at the end."""
    conditions = list(dig(obj, "status", "conditions", default=()))
    for index, entry in enumerate(conditions):
        if entry.get("type") == condition["type"]:
            conditions[index] = condition
            break
    else:
        conditions.append(condition)
    return replaced(obj, ("status", "conditions"), conditions)


def disruption(pod: Object, reason: str, message: str, now: datetime) -> Object:
    """The pod with the condition DisruptionTarget: it goes because of something outside of it."""
    told = {"type": "DisruptionTarget", "status": "True", "lastProbeTime": None, "reason": reason, "message": message}
    before = condition(pod, "DisruptionTarget")
    since = before["lastTransitionTime"] if before and before.get("status") == "True" else format_time(now)
    generation = {"observedGeneration": meta(pod)["generation"]} if meta(pod).get("generation") else {}
    return with_condition(pod, told | {"lastTransitionTime": since} | generation)
