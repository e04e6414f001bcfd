"""ResourceQuota: how much all of a namespace may use together, optionally of objects within a scope.

The scopes are fixed; what is used is written by the quota controller and by admission.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.core.resources import STANDARD_QUOTA, quantity_errors, quota_name_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, updates_spec, updates_status
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

_POD_RESOURCES = frozenset(("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_CLAIM_RESOURCES = frozenset(("persistentvolumeclaims", "requests.storage"))
_RESOURCES_OF_SCOPE = {
    "Terminating": _POD_RESOURCES,
    "NotTerminating": _POD_RESOURCES,
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _POD_RESOURCES,
    "PriorityClass": _POD_RESOURCES,
    "CrossNamespacePodAffinity": _POD_RESOURCES,
    "VolumeAttributesClass": _CLAIM_RESOURCES,
}
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_ONLY_EXISTS = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_ONLY_EXISTS_WORDS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def default(obj: Object) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {})


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    errors = _amount_errors(hard, "spec.hard") + _scope_errors(spec.get("scopes") or [], hard) + _selector_errors(spec, hard)
    return errors + _status_errors(obj)


def _status_errors(obj: Object) -> list[FieldError]:
    status = obj.get("status") or {}
    return [error for field in ("hard", "used") for error in _amount_errors(status.get(field) or {}, f"status.{field}")]


def _amount_errors(amounts: dict[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for resource, amount in sorted(amounts.items()):
        here = f"{path}[{resource}]"
        errors += quota_name_errors(resource, here) + quantity_errors(resource, amount, here)
    return errors


def _unfit(scope: str, hard: dict[str, str]) -> list[str]:
    """The standard resources of a quota that a scope does not apply to."""
    fit = _RESOURCES_OF_SCOPE.get(scope, STANDARD_QUOTA)
    return [resource for resource in sorted(hard) if resource in STANDARD_QUOTA and resource not in fit]


def _scope_errors(scopes: list[str], hard: dict[str, str]) -> list[FieldError]:
    errors = []
    for scope in scopes:
        if scope not in _RESOURCES_OF_SCOPE:
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
        errors += [invalid("spec.scopes", scopes, "unsupported scope applied to resource") for _ in _unfit(scope, hard)]
    errors += [invalid("spec.scopes", scopes, "conflicting scopes") for pair in _CONFLICTS if set(pair) <= set(scopes)]
    return errors


def _selector_errors(spec: dict[str, Any], hard: dict[str, str]) -> list[FieldError]:
    path, selector = "spec.scopeSelector.matchExpressions", spec.get("scopeSelector") or {}
    errors: list[FieldError] = []
    for requirement in selector.get("matchExpressions") or ():
        scope = requirement.get("scopeName", "")
        if scope not in _RESOURCES_OF_SCOPE:
            errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        errors += [invalid(path, _shown_selector(selector), "unsupported scope applied to resource") for _ in _unfit(scope, hard)]
        errors += _requirement_errors(requirement, path)
    scopes = {r.get("scopeName") for r in selector.get("matchExpressions") or ()}
    return errors + [invalid(path, spec.get("scopes"), "conflicting scopes") for pair in _CONFLICTS if set(pair) <= scopes]


def _shown_selector(selector: dict[str, Any]) -> dict[str, Any]:
    """A selector as messages show it."""
    shown = [
        {"ScopeName": r.get("scopeName", ""), "Operator": r.get("operator", ""), "Values": r.get("values")}
        for r in selector.get("matchExpressions") or ()
    ]
    return {"MatchExpressions": shown}


def _requirement_errors(requirement: dict[str, Any], path: str) -> list[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values")
    errors = []
    if requirement.get("scopeName") in _ONLY_EXISTS and operator != "Exists":
        errors.append(invalid(f"{path}.operator", operator, _ONLY_EXISTS_WORDS))
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(invalid(f"{path}.values", values, detail))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    scopes = dig(new, "spec", "scopes", default=[])
    fixed = set(scopes) == set(dig(old, "spec", "scopes", default=[]))
    return validate(new, context) + ([] if fixed else [invalid("spec.scopes", scopes, "field is immutable")])


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return _status_errors(new)


def row(obj: Object, now: datetime) -> list[Any]:
    hard, used = dig(obj, "status", "hard", default={}), dig(obj, "status", "used", default={})
    shown = [(resource, f"{resource}: {used.get(resource, '0')}/{hard[resource]}") for resource in sorted(hard)]
    requests = ", ".join(text for resource, text in shown if not resource.startswith("limits"))
    limits = ", ".join(text for resource, text in shown if resource.startswith("limits"))
    return [name(obj), requests, limits, age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    schema="io.k8s.api.core.v1.ResourceQuota",
    singular="resourcequota",
    returns_deleted=True,
    short_names=("quota",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    default=default,
    prepare_for_create=creates_with_status(generation=False),
    prepare_for_update=updates_spec(generation=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Request"), Column("Limit"), AGE),
    row=row,
)
