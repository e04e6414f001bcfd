"""The status of a CustomResourceDefinition: which of its names are taken, and the conditions that tell so.

A name is a definition's own once it stands in its accepted names; two of one group never share one. What was accepted once stays
served, whatever the definition asks for later. Source: CRD v1 reference; KEP-95.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tiffin.machinery.field import quoted
from tiffin.machinery.object import Object, annotations_of, dig

APPROVED = "api-approved.kubernetes.io"
PROPOSAL = "see https://github.com/kubernetes/enhancements/pull/1111"
_ANNOTATION = f'protected groups must have approval annotation "{APPROVED}"'


def is_protected(group: str) -> bool:
    """Whether a group belongs to the Kubernetes project."""
    return f".{group}".endswith((".k8s.io", ".kubernetes.io"))


def approval(crd: Object) -> tuple[str, str]:
    """Of a definition in a protected group: Missing, Invalid, Bypassed or Approved, and what is to be said about it."""
    given = annotations_of(crd).get(APPROVED)
    if not given:
        return "Missing", f"{_ANNOTATION}, {PROPOSAL}"
    if given.startswith("unapproved"):
        return "Bypassed", f"not approved: {quoted(given)}"
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]+", given):
        return "Approved", f"approved in {given}"
    return "Invalid", f'{_ANNOTATION} with either a URL or a reason starting with "unapproved", {PROPOSAL}'


def is_true(crd: Object, type: str) -> bool:
    return any(c.get("type") == type and c.get("status") == "True" for c in dig(crd, "status", "conditions", default=[]))


def settled_status(crd: Object, others: Iterable[Object], now: str) -> Object:
    """The status of a definition among the others; `now` is an RFC 3339 time."""
    status = dict(crd.get("status") or {})
    conditions = list(status.get("conditions") or ())
    accepted, conflict = _accepted_names(crd, others)
    status["acceptedNames"] = accepted
    if conflict:
        set_condition(conditions, "NamesAccepted", "False", *conflict, now)
        if not is_true(crd, "Established"):
            set_condition(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    else:
        set_condition(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        set_condition(conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now)
    if is_protected(crd["spec"]["group"]):
        state, told = approval(crd)
        reason = f"{'Unapproved' if state == 'Bypassed' else state}Annotation"
        set_condition(conditions, "KubernetesAPIApprovalPolicyConformant", "True" if state == "Approved" else "False", reason, told, now)
    status["conditions"] = conditions
    stored = [v["name"] for v in crd["spec"]["versions"] if v.get("storage")]
    status["storedVersions"] = list(dict.fromkeys([*(status.get("storedVersions") or ()), *stored]))
    return status


def _accepted_names(crd: Object, others: Iterable[Object]) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """The names a definition has from now on, and reason and message of the last conflict."""
    wanted, accepted = crd["spec"]["names"], dict(dig(crd, "status", "acceptedNames", default={}))
    resources, kinds = _claimed(crd, others)
    conflict = None
    for field, reason, taken in (
            ("plural", "PluralConflict", resources), ("singular", "SingularConflict", resources), ("shortNames", "ShortNamesConflict", resources),
            ("kind", "KindConflict", kinds), ("listKind", "ListKindConflict", kinds)):
        given, own = wanted.get(field), accepted.get(field)
        clashes = [name for name in (given or ()) if name not in (own or ())] if field == "shortNames" else [given] if given != own else []
        told = [f"{quoted(name)} is already in use" for name in clashes if name and name in taken]
        if told:
            conflict = reason, told[0] if len(told) == 1 else f"[{', '.join(dict.fromkeys(told))}]"
        elif given:
            accepted[field] = given
        elif field not in ("plural", "kind"):
            accepted.pop(field, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    ordered = {field: accepted[field] for field in ("plural", "singular", "shortNames", "kind", "listKind", "categories") if field in accepted}
    return {"plural": "", "kind": ""} | ordered if len(ordered) < 2 else ordered, conflict


def _claimed(crd: Object, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    """The names of resources and kinds that other definitions of the group have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["metadata"]["name"] == crd["metadata"]["name"] or other["spec"]["group"] != crd["spec"]["group"]:
            continue
        names = dig(other, "status", "acceptedNames", default={})
        resources |= {names.get("plural") or "", names.get("singular") or "", *(names.get("shortNames") or ())}
        kinds |= {names.get("kind") or "", names.get("listKind") or ""}
    return resources, kinds


def set_condition(conditions: list[Object], type: str, status: str, reason: str, message: str, now: str) -> None:
    """Puts a condition into its place; its time moves only with its status."""
    condition: Object = {"type": type, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, old in enumerate(conditions):
        if old["type"] == type:
            if old["status"] == status:
                condition["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[index] = condition
            return
    conditions.append(condition)
