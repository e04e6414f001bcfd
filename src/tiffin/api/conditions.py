"""Conditions in the form every API shares (`metav1.Condition`): what a status update must say of each.

Source: API conventions, "Typical status properties"; Kubernetes' validation of `metav1.Condition`.
"""
from __future__ import annotations

import re
from typing import Any

from tiffin.api.checks import named
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, not_supported, required, too_long

LONGEST_REASON, LONGEST_MESSAGE = 1024, 32 * 1024
_STATES = ("False", "True", "Unknown")
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_reason = re.compile(_REASON).fullmatch
_REASON_MESSAGE = names.regex_message(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must "
    "end with an alphanumeric character or '_'", _REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")


def condition_errors(conditions: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """One condition of each type, all of them complete."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        kind, here = condition.get("type") or "", f"{path}[{index}]"
        if kind in seen:
            errors.append(duplicate(f"{here}.type", kind))
        seen.add(kind)
        errors += _condition_errors(condition, here)
    return errors


def _condition_errors(condition: dict[str, Any], path: str) -> list[FieldError]:
    state, observed, reason = condition.get("status") or "", condition.get("observedGeneration") or 0, condition.get("reason") or ""
    errors = named(condition.get("type"), f"{path}.type", names.is_qualified_name)
    if state not in _STATES:
        errors.append(not_supported(f"{path}.status", state, _STATES))
    if observed < 0:
        errors.append(invalid(f"{path}.observedGeneration", observed, "must be greater than or equal to zero"))
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime", "must be set"))
    if not reason:
        errors.append(required(f"{path}.reason", "must be set"))
    elif not _reason(reason):
        errors.append(invalid(f"{path}.reason", reason, _REASON_MESSAGE))
    if len(reason.encode()) > LONGEST_REASON:
        errors.append(too_long(f"{path}.reason", LONGEST_REASON))
    if len((condition.get("message") or "").encode()) > LONGEST_MESSAGE:
        errors.append(too_long(f"{path}.message", LONGEST_MESSAGE))
    return errors
