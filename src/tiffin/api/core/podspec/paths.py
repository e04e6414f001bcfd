"""Paths inside volumes and containers: relative, never upwards."""
from __future__ import annotations

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError


def no_backsteps(value: str, path: str) -> list[FieldError]:
    """No element is `..`."""
    return [f.invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def descending(value: str, path: str) -> list[FieldError]:
    """Relative, and never upwards."""
    absolute = [f.invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    return absolute + no_backsteps(value, path)


def descending_not_reserved(value: str, path: str) -> list[FieldError]:
    """As `descending`, and the first element does not begin with `..`, which atomic updates use for themselves."""
    errors = descending(value, path)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(f.invalid(path, value, "must not start with '..'"))
    return errors
