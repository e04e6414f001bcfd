"""The arithmetic of deployments: how many pods of which template, and which revision is which. Every function here is a small fact.

Source: Kubernetes' deployment utilities, as documented and observed.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import Any

from tiffin.controllers.pods import created
from tiffin.machinery.object import Object, annotations_of, dig, is_deleting, labels_of, meta, name_of, replaced

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
NOT_COPIED = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM, "deprecated.deployment.rollback.to"}
HISTORY_LENGTH = 2000
NO_LIMIT = 2**31 - 1

_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def safe_text(number: int) -> str:
    """A number in letters that spell no words."""
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(number))


def template_hash(template: Object, collisions: int | None) -> str:
    """A name for a template; `collisions` makes another for the same template."""
    text = json.dumps([template, collisions], sort_keys=True, separators=(",", ":"))
    return safe_text(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big"))


def same_template(a: Object, b: Object) -> bool:
    """Equal but for the hash label."""
    return _unhashed(a) == _unhashed(b)


def _unhashed(template: Object) -> Object:
    labels = {name: value for name, value in labels_of(template).items() if name != HASH_LABEL}
    metadata = {name: value for name, value in meta(template).items() if name not in ("labels", "creationTimestamp")}
    return template | {"metadata": metadata | {"labels": labels}}


def wanted(obj: Object) -> int:
    """spec.replicas, which is 1 where it is not given."""
    return dig(obj, "spec", "replicas", default=1)


def total(replica_sets: Iterable[Object], field: str) -> int:
    """Sum of a status field."""
    return sum(dig(rs, "status", field, default=0) for rs in replica_sets)


def wanted_total(replica_sets: Iterable[Object]) -> int:
    return sum(wanted(rs) for rs in replica_sets)


def scaled_value(value: Any, whole: int, round_up: bool) -> int:
    """An IntOrString such as 3 or "25%" of `whole`."""
    if isinstance(value, str) and value.endswith("%"):
        portion = int(value[:-1]) * whole / 100
        return ceil(portion) if round_up else floor(portion)
    return int(value or 0)


def is_rolling(deployment: Object) -> bool:
    return dig(deployment, "spec", "strategy", "type", default="RollingUpdate") == "RollingUpdate"


def fenceposts(deployment: Object) -> tuple[int, int]:
    """How many pods may be too many and too few while rolling. Both zero would never move, so then one may be missing."""
    if not is_rolling(deployment):
        return 0, 0
    limits = dig(deployment, "spec", "strategy", "rollingUpdate", default={})
    surge = scaled_value(limits.get("maxSurge", "25%"), wanted(deployment), True)
    unavailable = scaled_value(limits.get("maxUnavailable", "25%"), wanted(deployment), False)
    return surge, 1 if surge == unavailable == 0 else unavailable


def max_surge(deployment: Object) -> int:
    return fenceposts(deployment)[0]


def max_unavailable(deployment: Object) -> int:
    return min(fenceposts(deployment)[1], wanted(deployment))


def revision(obj: Object) -> int:
    """The revision annotation as a number, 0 without one."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def by_age(replica_sets: Iterable[Object]) -> list[Object]:
    return sorted(replica_sets, key=lambda rs: (created(rs), name_of(rs)))


def by_revision(replica_sets: Iterable[Object]) -> list[Object]:
    return sorted(replica_sets, key=lambda rs: (revision(rs), created(rs), name_of(rs)))


def active(replica_sets: Iterable[Object]) -> list[Object]:
    return [rs for rs in replica_sets if wanted(rs) > 0]


def find_new(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The oldest replica set of the deployment's present template."""
    template = dig(deployment, "spec", "template", default={})
    return next((rs for rs in by_age(replica_sets) if same_template(dig(rs, "spec", "template", default={}), template)), None)


def new_size(deployment: Object, replica_sets: Sequence[Object], new: Object) -> int:
    """How far the new replica set may grow now. `replica_sets` are all, the new one among them if it exists."""
    if not is_rolling(deployment):
        return wanted(deployment)
    room = wanted(deployment) + max_surge(deployment) - wanted_total(replica_sets)
    return wanted(new) if room <= 0 else wanted(new) + min(room, wanted(deployment) - wanted(new))


def proportions(deployment: Object, replica_sets: Sequence[Object]) -> dict[str, int]:
    """Sizes by name when the deployment is resized in the middle of a rollout: every replica set keeps its share."""
    allowed = wanted(deployment) + max_surge(deployment) if wanted(deployment) > 0 else 0
    to_add = allowed - wanted_total(replica_sets)
    ordered = sorted(replica_sets, key=lambda rs: (-wanted(rs), *_newer_first(rs)) if to_add > 0 else (-wanted(rs), created(rs), name_of(rs)))
    sizes, added = {}, 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added)
        sizes[name_of(rs)] = wanted(rs) + share
        added += share
    if ordered and to_add:
        largest = name_of(ordered[0])
        sizes[largest] = max(0, sizes[largest] + to_add - added)
    return sizes


def _newer_first(rs: Object) -> tuple[float, str]:
    return -created(rs).timestamp() if meta(rs).get("creationTimestamp") else 0.0, name_of(rs)


def _share(deployment: Object, rs: Object, to_add: int, added: int) -> int:
    if not wanted(rs) or to_add in (0, added):
        return 0
    fraction, rest = _fraction(deployment, rs), to_add - added
    return min(fraction, rest) if to_add > 0 else max(fraction, rest)


def _fraction(deployment: Object, rs: Object) -> int:
    if wanted(deployment) == 0:
        return -wanted(rs)
    recorded = annotations_of(rs).get(MAXIMUM, "")
    before = int(recorded) if recorded.isdigit() and int(recorded) else dig(deployment, "status", "replicas", default=0)
    if not before:
        return 0
    # Halves are rounded away from zero, as Go does.
    return floor(wanted(rs) * (wanted(deployment) + max_surge(deployment)) / before + 0.5) - wanted(rs)


def with_annotations(rs: Object, values: dict[str, str]) -> Object:
    return replaced(rs, ("metadata", "annotations"), {**annotations_of(rs), **values}) if values else rs


def sized(deployment: Object, rs: Object, size: int) -> Object:
    """The replica set with a new size and the annotations that let proportional scaling find the old one."""
    return with_annotations(replaced(rs, ("spec", "replicas"), size), size_annotations(deployment))


def size_annotations(deployment: Object) -> dict[str, str]:
    return {DESIRED: str(wanted(deployment)), MAXIMUM: str(wanted(deployment) + max_surge(deployment))}


def annotated(deployment: Object, rs: Object, number: int) -> Object:
    """The replica set with the deployment's annotations and, if it rises, revision `number` and the history of those before."""
    values = {name: value for name, value in annotations_of(deployment).items() if name not in NOT_COPIED}
    before = annotations_of(rs).get(REVISION)
    if revision(rs) < number:
        values[REVISION] = str(number)
        if before is not None:
            values[HISTORY] = _history(annotations_of(rs).get(HISTORY, ""), before)
    return with_annotations(rs, values)


def _history(recorded: str, before: str) -> str:
    revisions = [*(recorded.split(",") if recorded else ()), before]
    while len(revisions) > 1 and len(",".join(revisions)) > HISTORY_LENGTH:
        revisions.pop(0)
    return ",".join(revisions)


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """The new replica set has all its pods, and they are available."""
    if new is None:
        return False
    desired = annotations_of(new).get(DESIRED, "")
    full = wanted(deployment)
    return wanted(new) == full and desired.isdigit() and int(desired) == full and dig(new, "status", "availableReplicas", default=0) == full


def disposable(deployment: Object, old: Iterable[Object]) -> list[Object]:
    """Old replica sets beyond the revision history limit, lowest revision first, that nothing uses any more."""
    limit = dig(deployment, "spec", "revisionHistoryLimit", default=NO_LIMIT)
    alive = [rs for rs in old if not is_deleting(rs)]
    excess = by_revision(alive)[: max(0, len(alive) - limit)] if limit != NO_LIMIT else []
    return [rs for rs in excess if not _in_use(rs)]


def _in_use(rs: Object) -> bool:
    behind = meta(rs).get("generation", 0) > dig(rs, "status", "observedGeneration", default=0)
    return bool(dig(rs, "status", "replicas", default=0) or wanted(rs) or behind)
