"""The two flow schemas and two priority levels without which the server could not go on: their specs are fixed.

Only what the level `exempt` lends may be changed. A refusal shows the spec that was sent as the API server prints its own types.
"""
from __future__ import annotations

from typing import Any

from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object, name_of

_RULES = ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]},)
_PATHS = ({"verbs": ["*"], "nonResourceURLs": ["*"]},)


def _everything(level: str, precedence: int, *groups: str, **more: Any) -> Object:
    subjects = [{"kind": "Group", "group": {"name": group}} for group in groups]
    rule = {"subjects": subjects, "resourceRules": list(_RULES), "nonResourceRules": list(_PATHS)}
    return {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, **more, "rules": [rule]}


SCHEMAS: dict[str, Object] = {
    "exempt": _everything("exempt", 1, "system:masters"),
    "catch-all": _everything(
        "catch-all", 10000, "system:unauthenticated", "system:authenticated", distinguisherMethod={"type": "ByUser"}),
}
LEVELS: dict[str, Object] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}, "lendablePercent": 0}},
}

Layout = dict[str, tuple[str, Any]]
"""Of a struct: its fields in order, by their JSON names, with the server's own names and the layouts of structs in them."""
_NAMED: Layout = {"name": ("Name", None)}
_SUBJECT: Layout = {
    "kind": ("Kind", None), "user": ("User", _NAMED), "group": ("Group", _NAMED),
    "serviceAccount": ("ServiceAccount", {"namespace": ("Namespace", None), **_NAMED})}
_RESOURCES: Layout = {
    "verbs": ("Verbs", None), "apiGroups": ("APIGroups", None), "resources": ("Resources", None), "clusterScope": ("ClusterScope", False),
    "namespaces": ("Namespaces", None)}
_RULE: Layout = {
    "subjects": ("Subjects", _SUBJECT), "resourceRules": ("ResourceRules", _RESOURCES),
    "nonResourceRules": ("NonResourceRules", {"verbs": ("Verbs", None), "nonResourceURLs": ("NonResourceURLs", None)})}
_SCHEMA: Layout = {
    "priorityLevelConfiguration": ("PriorityLevelConfiguration", _NAMED), "matchingPrecedence": ("MatchingPrecedence", None),
    "distinguisherMethod": ("DistinguisherMethod", {"type": ("Type", None)}), "rules": ("Rules", _RULE)}
_QUEUING: Layout = {"queues": ("Queues", None), "handSize": ("HandSize", None), "queueLengthLimit": ("QueueLengthLimit", None)}
_LEVEL: Layout = {
    "type": ("Type", None),
    "limited": ("Limited", {
        "nominalConcurrencyShares": ("NominalConcurrencyShares", None),
        "limitResponse": ("LimitResponse", {"type": ("Type", None), "queuing": ("Queuing", _QUEUING)}),
        "lendablePercent": ("LendablePercent", None), "borrowingLimitPercent": ("BorrowingLimitPercent", None)}),
    "exempt": ("Exempt", {"nominalConcurrencyShares": ("NominalConcurrencyShares", None), "lendablePercent": ("LendablePercent", None)})}


def _printed(value: Any, layout: Layout) -> Any:
    if isinstance(value, list):
        return [_printed(each, layout) for each in value]
    if not isinstance(value, dict):
        return value
    made: Object = {}
    for name, (own, inner) in layout.items():
        default = inner if isinstance(inner, bool) else None
        made[own] = _printed(value[name], inner) if isinstance(inner, dict) and name in value else value.get(name, default)
    return made


def schema_errors(obj: Object) -> list[FieldError]:
    """What is wrong with a mandatory flow schema."""
    fixed, spec = SCHEMAS.get(name_of(obj)), obj.get("spec") or {}
    if fixed is None or _plain(spec) == fixed:
        return []
    return [invalid("spec", _printed(spec, _SCHEMA), f"spec of '{name_of(obj)}' must equal the fixed value")]


def level_errors(obj: Object) -> list[FieldError]:
    """What is wrong with a mandatory priority level."""
    name, spec = name_of(obj), obj.get("spec") or {}
    fixed = LEVELS.get(name)
    if fixed is None:
        return []
    if name == "exempt":
        wrong = _plain({**spec, "exempt": None}) != _plain({**fixed, "exempt": None})
        return [invalid("spec", _printed(spec, _LEVEL), "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")] if wrong else []
    return [] if _plain(spec) == fixed else [invalid("spec", _printed(spec, _LEVEL), f"spec of '{name}' must equal the fixed value")]


def _plain(spec: Object) -> Object:
    return {key: value for key, value in spec.items() if value is not None}
