"""What roles and bindings of both scopes share: policy rules, subjects, role references.

Names are path segments, not DNS names. Source: API reference "rbac.authorization.k8s.io/v1" and recorded messages.
"""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import needed
from tiffin.api.kind import Column
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, not_supported, required
from tiffin.machinery.object import Object
from tiffin.machinery.table import age, name

GROUP = "rbac.authorization.k8s.io"
BINDING_COLUMNS = (
    NAME, Column("Role"), AGE, Column("Users", priority=1), Column("Groups", priority=1), Column("ServiceAccounts", priority=1),
)


def rule_errors(rules: list[dict[str, Any]] | None, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(rules or ()):
        errors += _rule_errors(rule, f"rules[{index}]", namespaced)
    return errors


def _rule_errors(rule: dict[str, Any], path: str, namespaced: bool) -> list[FieldError]:
    errors = needed(rule.get("verbs"), f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.append(invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            errors.append(invalid(f"{path}.nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs"))
        return errors
    errors += needed(rule.get("apiGroups"), f"{path}.apiGroups", "resource rules must supply at least one api group")
    return errors + needed(rule.get("resources"), f"{path}.resources", "resource rules must supply at least one resource")


def default_binding(obj: Object) -> None:
    """Groups of the role and of users and groups, where a client left them out."""
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for field in ("kind", "name"):
        reference.setdefault(field, "")
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


def binding_errors(obj: Object, *, namespaced: bool) -> list[FieldError]:
    reference = obj.get("roleRef") or {}
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    errors: list[FieldError] = []
    if reference.get("apiGroup") != GROUP:
        errors.append(not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,)))
    if reference.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        errors.append(required("roleRef.name"))
    else:
        errors += [invalid("roleRef.name", reference["name"], m) for m in names.is_path_segment_name(reference["name"])]
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced)
    return errors


def _subject_errors(subject: dict[str, Any], path: str, namespaced: bool) -> list[FieldError]:
    errors = needed(subject.get("name"), f"{path}.name")
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if kind == "ServiceAccount":
        if subject.get("name"):
            errors += [invalid(f"{path}.name", subject["name"], m) for m in names.is_dns1123_subdomain(subject["name"])]
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return errors


def role_change_errors(new: Object, old: Object) -> list[FieldError]:
    """A binding binds one role for good."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    reference = new.get("roleRef") or {}
    shown = {"APIGroup": reference.get("apiGroup", ""), "Kind": reference.get("kind", ""), "Name": reference.get("name", "")}
    return [invalid("roleRef", shown, "cannot change roleRef")]


def binding_row(obj: Object, now: datetime) -> list[Any]:
    reference, subjects = obj.get("roleRef") or {}, obj.get("subjects") or []
    accounts = [f"{s.get('namespace', '')}/{s.get('name', '')}" for s in subjects if s.get("kind") == "ServiceAccount"]
    by_kind = [[s.get("name", "") for s in subjects if s.get("kind") == kind] for kind in ("User", "Group")]
    role = f"{reference.get('kind', '')}/{reference.get('name', '')}"
    return [name(obj), role, age(obj, now), *(", ".join(found) for found in (*by_kind, accounts))]
