"""As whom a pod's processes may run: users, groups and SELinux labels. Each rule completes what a pod leaves open, and says what is wrong."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiffin.machinery.field import FieldError, invalid, required

Spec = dict[str, Any]


def ranges_text(strategy: Spec) -> str:
    """The ranges of a rule as Go prints them."""
    return "[" + " ".join(f"{{{r.get('min', 0)} {r.get('max', 0)}}}" for r in strategy.get("ranges") or ()) + "]"


def _in_ranges(strategy: Spec, number: int) -> bool:
    return any(r.get("min", 0) <= number <= r.get("max", 0) for r in strategy.get("ranges") or ())


def first(strategy: Spec | None) -> int | None:
    """The user or group that a pod gets which names none: the first that it must have, if it must."""
    ranges = (strategy or {}).get("ranges")
    return ranges[0].get("min", 0) if strategy and strategy.get("rule") == "MustRunAs" and ranges else None


def group_errors(strategy: Spec | None, groups: list[int], path: str) -> list[FieldError]:
    """Groups that are not in the ranges; none at all where there must be one."""
    rule = (strategy or {}).get("rule")
    if strategy is None or rule not in ("MustRunAs", "MayRunAs"):
        return []
    shown = f"Invalid value: []int64{{{', '.join(map(str, groups))}}}: "
    if rule == "MustRunAs" and not groups and strategy.get("ranges"):
        return [FieldError("FieldValueInvalid", path, f"{shown}unable to validate empty groups against required ranges")]
    return [
        FieldError("FieldValueInvalid", path, f"{shown}group {group} must be in the ranges: {ranges_text(strategy)}")
        for group in groups if not _in_ranges(strategy, group)]


def user_errors(strategy: Spec, user: int | None, not_root: bool | None, path: str) -> list[FieldError]:
    """What is wrong with the user of a container; `path` is that of its security context."""
    rule = strategy.get("rule")
    if rule == "MustRunAs":
        if user is None:
            return [required(f"{path}.runAsUser")]
        return [] if _in_ranges(strategy, user) else [invalid(f"{path}.runAsUser", user, f"must be in the ranges: {ranges_text(strategy)}")]
    if rule != "MustRunAsNonRoot":
        return []
    if not_root is None and user is None:
        return [required(f"{path}.runAsNonRoot", "must be true")]
    if not_root is False:
        return [invalid(f"{path}.runAsNonRoot", False, "must be true")]
    return [invalid(f"{path}.runAsUser", 0, "running with the root UID is forbidden")] if user == 0 else []


def label_errors(strategy: Spec, options: Spec | None, path: str) -> list[FieldError]:
    """An SELinux label that is not the one demanded."""
    if strategy.get("rule") != "MustRunAs":
        return []
    if options is None:
        return [required(path)]
    wanted = strategy.get("seLinuxOptions") or {}
    wrong = [field for field in ("level", "role", "type", "user") if _parts(field, options.get(field)) != _parts(field, wanted.get(field))]
    return [invalid(f"{path}.{field}", options.get(field) or "", f"must be {wanted.get(field) or ''}") for field in wrong]


def _parts(field: str, value: str | None) -> Any:
    """A level by its meaning: the order of categories does not matter."""
    if field != "level" or not value:
        return value or ""
    sensitivity, _, categories = value.partition(":")
    return sensitivity, frozenset(_categories(categories.split(",")))


def _categories(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        low, dot, high = text.partition(".")
        if dot and low[1:].isdecimal() and high[1:].isdecimal():
            yield from (f"c{number}" for number in range(int(low[1:]), min(int(high[1:]), 1023) + 1))
        else:
            yield text
