"""RBAC rules as pure functions: what a rule allows, whether rules cover others, and how missing ones are named.

A rule is the JSON of a `PolicyRule`: verbs, apiGroups, resources, resourceNames, nonResourceURLs.
Source: Kubernetes documentation "Using RBAC Authorization"; wording of refusals as the API server gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from tiffin.apiserver.authz.attributes import Attributes

Rule = Mapping[str, Any]

FULL_AUTHORITY: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)


_TITLES = {
    "apiGroups": "APIGroups",
    "resources": "Resources",
    "nonResourceURLs": "NonResourceURLs",
    "resourceNames": "ResourceNames",
    "verbs": "Verbs",
}


class Compiled:
    """A rule made ready for many questions."""

    __slots__ = ("groups", "names", "resources", "rule", "urls", "verbs")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.verbs = frozenset(rule.get("verbs") or ())
        self.groups = frozenset(rule.get("apiGroups") or ())
        self.resources = frozenset(rule.get("resources") or ())
        self.names = frozenset(rule.get("resourceNames") or ())
        self.urls = tuple(rule.get("nonResourceURLs") or ())

    def concerns(self, a: Attributes) -> bool:
        """Whether the rule allows the action on at least some object."""
        if a.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not a.is_resource:
            return any(_url_matches(url, a.path) for url in self.urls)
        if a.group not in self.groups and "*" not in self.groups:
            return False
        resources = self.resources
        return "*" in resources or a.combined_resource in resources or (bool(a.subresource) and f"*/{a.subresource}" in resources)

    def allows(self, a: Attributes) -> bool:
        return self.concerns(a) and (not self.names or not a.is_resource or a.name in self.names)


def _url_matches(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def breakdown(rule: Rule) -> list[Rule]:
    """Rules of one verb on one thing each, that together are `rule`."""
    verbs = rule.get("verbs") or ()
    names: Iterable[Any] = rule.get("resourceNames") or (None,)
    parts: list[Rule] = []
    for group, resource, verb, name in product(rule.get("apiGroups") or (), rule.get("resources") or (), verbs, names):
        part: dict[str, Any] = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        parts.append(part | ({"resourceNames": [name]} if name is not None else {}))
    parts.extend({"nonResourceURLs": [url], "verbs": [verb]} for url, verb in product(rule.get("nonResourceURLs") or (), verbs))
    return parts


def missing(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that no single rule of `owned` covers."""
    owners = [Compiled(rule) for rule in owned]
    return [part for rule in wanted for part in breakdown(rule) if not any(_covers(owner, part) for owner in owners)]


def _covers(owner: Compiled, part: Rule) -> bool:
    """Whether `owner` grants all that `part`, a rule of one of everything, grants."""
    if part["verbs"][0] not in owner.verbs and "*" not in owner.verbs:
        return False
    if "nonResourceURLs" in part:
        url = part["nonResourceURLs"][0]
        return any(own == url or (own.endswith("*") and url.startswith(own.rstrip("*"))) for own in owner.urls)
    group, resource, name = part["apiGroups"][0], part["resources"][0], part.get("resourceNames")
    if group not in owner.groups and "*" not in owner.groups:
        return False
    subresource = resource.partition("/")[2]
    if not ({"*", resource} & owner.resources or (subresource and f"*/{subresource}" in owner.resources)):
        return False
    return not owner.names or (name is not None and name[0] in owner.names)


def compact(parts: Iterable[Rule]) -> list[Rule]:
    """Parts on the same resource (and name) joined into one rule with all their verbs."""
    rules: list[Rule] = []
    joined: dict[tuple[str, ...], dict[str, Any]] = {}
    for part in parts:
        if "nonResourceURLs" in part:
            rules.append(part)
            continue
        key = (part["apiGroups"][0], part["resources"][0], *part.get("resourceNames", ()))
        known = joined.setdefault(key, {**part, "verbs": []})
        known["verbs"].extend(verb for verb in part["verbs"] if verb not in known["verbs"])
    return [*rules, *joined.values()]


def describe(rule: Rule) -> str:
    """A rule as refusals name it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`."""
    fields = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")
    return "{" + ", ".join(f"{_TITLES[name]}:{quoted(rule[name])}" for name in fields if rule.get(name)) + "}"


def quoted(values: Sequence[str]) -> str:
    """Texts as Go prints a list of them: `["a" "b"]`."""
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
