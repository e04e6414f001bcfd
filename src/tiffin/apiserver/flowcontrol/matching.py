"""Which flow schema a request falls under, and what tells its flow from others of the schema. Pure.

Schemas are tried by matching precedence, then by name; the first with a rule whose subject and action match has the request.
Source: API reference, FlowSchema.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiffin.apiserver.authz.attributes import Attributes
from tiffin.apiserver.user import User, split_service_account
from tiffin.machinery.object import Object, dig, name_of, uid_of

Matcher = Callable[[Attributes], bool]


class Schema:
    """One FlowSchema, compiled."""

    __slots__ = ("_distinguish", "_rules", "dispatched", "level", "name", "order", "uid")

    def __init__(self, obj: Object) -> None:
        spec = obj["spec"]
        self.name, self.uid = name_of(obj), uid_of(obj)
        self.level: str = spec["priorityLevelConfiguration"]["name"]
        self.order = (spec["matchingPrecedence"], self.name)
        self.dispatched = 0
        self._distinguish = dig(spec, "distinguisherMethod", "type", default="")
        self._rules = spec.get("rules") or ()

    def matches(self, action: Attributes) -> bool:
        return any(_rule_matches(rule, action) for rule in self._rules)

    def distinguisher(self, action: Attributes) -> str:
        """The user's name, the namespace, or nothing: what flows within the schema are told apart by."""
        if self._distinguish == "ByUser":
            return action.user.name
        return action.namespace if self._distinguish == "ByNamespace" else ""


def _rule_matches(rule: dict[str, Any], action: Attributes) -> bool:
    if not any(_is_subject(subject, action.user) for subject in rule.get("subjects") or ()):
        return False
    if action.is_resource:
        return any(_resource_matches(part, action) for part in rule.get("resourceRules") or ())
    return any(_path_matches(part, action) for part in rule.get("nonResourceRules") or ())


def _is_subject(subject: dict[str, Any], user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return subject["user"]["name"] in ("*", user.name)
    if kind == "Group":
        return subject["group"]["name"] == "*" or subject["group"]["name"] in user.groups
    account = split_service_account(user.name)
    wanted = subject["serviceAccount"]
    return account is not None and wanted["namespace"] == account[0] and wanted["name"] in ("*", account[1])


def _resource_matches(rule: dict[str, Any], action: Attributes) -> bool:
    return (
        _has(rule["verbs"], action.verb) and _has(rule["apiGroups"], action.group) and _has(rule["resources"], action.combined_resource)
        and (_has(rule.get("namespaces") or (), action.namespace) if action.namespace else bool(rule.get("clusterScope"))))


def _path_matches(rule: dict[str, Any], action: Attributes) -> bool:
    if not _has(rule["verbs"], action.verb):
        return False
    return any(url in ("*", action.path) or (url.endswith("/*") and action.path.startswith(url[:-1])) for url in rule["nonResourceURLs"])


def _has(values: Any, value: str) -> bool:
    return "*" in values or value in values
