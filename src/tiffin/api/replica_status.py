"""Checks of the replica counts in the statuses of workloads."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiffin.api.checks import not_negative
from tiffin.machinery.field import FieldError, invalid

Counts = Iterable[str]


def counts(status: dict[str, Any], fields: Counts) -> list[FieldError]:
    """None of these numbers may be negative."""
    return [error for field in fields for error in not_negative(status.get(field), f"status.{field}")]


def within(status: dict[str, Any], fields: Counts, limit: str = "replicas", words: str = "status.replicas") -> list[FieldError]:
    """None of these numbers may exceed another one."""
    greatest = status.get(limit) or 0
    return [
        invalid(f"status.{field}", status.get(field) or 0, f"cannot be greater than {words}")
        for field in fields if (status.get(field) or 0) > greatest
    ]


def collisions(new: dict[str, Any], old: dict[str, Any]) -> list[FieldError]:
    """The count of hash collisions only grows."""
    before, now = old.get("collisionCount"), new.get("collisionCount")
    if before is None or (now is not None and now >= before):
        return []
    return [invalid("status.collisionCount", now or 0, "cannot be decremented")]
