"""Completion indexes of indexed Jobs: their text ("0,2-4"), where a pod keeps its own, and which are still wanted.

Two neighbours are written apart ("0,1"), three or more as a range ("0-2"), as Kubernetes does.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiffin.machinery.object import Object, annotations_of

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


def parsed(text: str, limit: int) -> set[int]:
    """The indexes below `limit` of a text."""
    indexes: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        indexes.update(range(int(first), min(int(last or first), limit - 1) + 1))
    return indexes


def formatted(indexes: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] + 1 == index:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def index_of(pod: Object) -> int | None:
    """The completion index of a pod, None if it has none that makes sense."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def failures_of(pod: Object) -> int:
    """How often the pod's index had failed when the pod was made."""
    return _number(pod, FAILURES)


def ignored_of(pod: Object) -> int:
    """How many failures of its index did not count by then."""
    return _number(pod, IGNORED)


def _number(pod: Object, annotation: str) -> int:
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isdigit() else 0


def first_pending(count: int, completions: int, taken: set[int]) -> list[int]:
    """The lowest `count` indexes that are neither done nor being worked on."""
    free = (index for index in range(completions) if index not in taken)
    return [index for index, _ in zip(free, range(count))]


def superfluous(pods: Sequence[Object], completions: int) -> list[Object]:
    """Pods without a valid index, and all but one of those that share one."""
    seen: set[int] = set()
    extra = []
    for pod in pods:
        index = index_of(pod)
        if index is None or index >= completions or index in seen:
            extra.append(pod)
        else:
            seen.add(index)
    return extra
