"""Deleting: options, grace periods, finalizers and propagation, as pure decisions. `writes.py` carries them out.

Source: apiserver `rest.BeforeDelete` and `genericregistry.Store.Delete`; API concepts, "Resource deletion".
"""
from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tiffin.api.kind import Kind
from tiffin.machinery import errors
from tiffin.machinery.field import FieldError, invalid, not_supported
from tiffin.machinery.object import Object, meta
from tiffin.machinery.timestamps import format_time, parse_time

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
POLICIES = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a DELETE asks for. `orphan_dependents` is the deprecated form of `propagation`."""

    grace_period: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    orphan_dependents: bool | None = None
    dry_run: bool = False

    @classmethod
    def from_object(cls, body: Object) -> DeleteOptions:
        """From a decoded DeleteOptions; raises 422 with every violation."""
        found = _violations(body)
        if found:
            raise errors.invalid("DeleteOptions", "meta.k8s.io", "", found)
        preconditions = body.get("preconditions") or {}
        return cls(
            body.get("gracePeriodSeconds"), preconditions.get("uid") or "", preconditions.get("resourceVersion") or "",
            body.get("propagationPolicy") or "", body.get("orphanDependents"), bool(body.get("dryRun")))


def _violations(body: Object) -> list[FieldError]:
    policy, found = body.get("propagationPolicy"), []
    if policy is not None and body.get("orphanDependents") is not None:
        found.append(invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"))
    if policy is not None and policy not in POLICIES:
        found.append(not_supported("propagationPolicy", policy, [*POLICIES, "nil"]))
    return found + dry_run_violations(body.get("dryRun") or [])


def dry_run_violations(values: list[Any]) -> list[FieldError]:
    if any(value != "All" for value in values):
        return [not_supported("dryRun", values, ["All"])]
    return []


def check_preconditions(kind: Kind, name: str, obj: Object, options: DeleteOptions) -> None:
    """409 when the object is not the one the request means."""
    m = meta(obj)
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    if options.uid and options.uid != m.get("uid"):
        raise errors.conflict(
            qualified, name, f"the UID in the precondition ({options.uid}) does not match the UID in record ({m.get('uid')}). "
            "The object might have been deleted and then recreated")
    if options.resource_version and options.resource_version != m.get("resourceVersion"):
        raise errors.conflict(
            qualified, name, f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({m.get('resourceVersion')}). The object might have been modified")


def propagation_finalizers(kind: Kind, obj: Object, options: DeleteOptions) -> list[str]:
    """The finalizers the object waits with: its own, with orphan and foregroundDeletion as the options ask."""
    current: list[str] = list(meta(obj).get("finalizers") or ())
    keep = [f for f in current if f not in (ORPHAN, FOREGROUND)]
    if options.orphan_dependents is not None:
        return keep + [ORPHAN] if options.orphan_dependents else keep
    if options.propagation == "Orphan":
        return keep + [ORPHAN]
    if options.propagation == "Foreground":
        return keep + [FOREGROUND]
    if options.propagation == "Background":
        return keep
    if ORPHAN in current or FOREGROUND in current:
        return list(current)
    return keep + [ORPHAN] if kind.default_propagation == "Orphan" else keep


@dataclass(frozen=True, slots=True)
class Deletion:
    """What to do: `replacement` is stored (None: nothing changes), and `gone` tells whether the object is removed at once."""

    replacement: Object | None
    gone: bool


def decide(kind: Kind, old: Object, options: DeleteOptions, now: datetime) -> Deletion:
    """The next state of an object that is asked to go. `old` is not changed."""
    metadata = dict(meta(old))
    metadata["finalizers"] = propagation_finalizers(kind, old, options)
    grace = _grace(kind, old, options)
    already = bool(metadata.get("deletionTimestamp"))
    if not already:
        metadata["finalizers"] += [f for f in kind.deletion_finalizers if f not in metadata["finalizers"]]
    held = bool(metadata["finalizers"]) or kind.holds_deletion(old)
    if already:
        if not _shorten(metadata, grace, now) and metadata["finalizers"] == list(meta(old).get("finalizers") or ()) and (held or grace):
            return Deletion(None, False)
    else:
        _mark(metadata, kind, old, grace, now)
    new = {**old, "metadata": metadata}
    if grace == 0 and not held:
        return Deletion(new, True)
    kind.mark_deleted(new)
    return Deletion(new, False)


def _grace(kind: Kind, old: Object, options: DeleteOptions) -> int:
    if kind.grace_period is None:
        return 0
    asked = options.grace_period
    current = meta(old).get("deletionGracePeriodSeconds")
    if meta(old).get("deletionTimestamp") and asked is None and current is not None:
        return current
    return kind.grace_period(old, asked)


def _mark(metadata: dict[str, Any], kind: Kind, old: Object, grace: int, now: datetime) -> None:
    metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=grace))
    if not kind.holds_deletion(old):
        metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1


def _shorten(metadata: dict[str, Any], grace: int, now: datetime) -> bool:
    """A second DELETE may only bring the end nearer."""
    current = metadata.get("deletionGracePeriodSeconds")
    if current is None or grace >= current:
        return False
    start = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=current)
    metadata["deletionTimestamp"] = format_time(max(start + timedelta(seconds=grace), now) if grace else now)
    metadata["deletionGracePeriodSeconds"] = grace
    return True
