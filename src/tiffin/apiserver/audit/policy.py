"""The audit policy: how much of which request is noted. Pure, but for reading the file.

The first rule that matches a request decides; what no rule matches is not noted. Source: audit.k8s.io/v1 Policy.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tiffin.apiserver.authz.attributes import Attributes
from tiffin.machinery.yamlcodec import parse_yaml

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
_RULE_FIELDS = {
    "level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields",
}  # fmt: skip
_POLICY_FIELDS = {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}


class PolicyError(ValueError):
    """A policy file that cannot be used; the message names the file and what is wrong."""


class Choice(NamedTuple):
    """What is noted of one request: `level` counts from 0, None, to 3, RequestResponse."""

    level: int
    omitted: frozenset[str]
    omit_managed_fields: bool


NOTHING = Choice(0, frozenset(), False)


class Policy:
    """Rules in their order."""

    def __init__(self, document: dict[str, Any]) -> None:
        _check(document)
        everywhere, hide = document.get("omitStages") or (), bool(document.get("omitManagedFields"))
        self._rules: list[tuple[dict[str, Any], Choice]] = []
        for rule in document["rules"]:
            own = rule.get("omitManagedFields")
            omitted = frozenset((*everywhere, *(rule.get("omitStages") or ())))
            self._rules.append((rule, Choice(LEVELS.index(rule["level"]), omitted, hide if own is None else bool(own))))

    @classmethod
    def load(cls, path: Path) -> Policy:
        """The policy of a file. Raises PolicyError."""
        try:
            document, problems = parse_yaml(path.read_bytes())
            if problems:
                raise PolicyError(str(problems[0]))
            return cls(document)
        except (OSError, ValueError) as error:
            raise PolicyError(f"audit policy file {path}: {error}") from error

    def choose(self, action: Attributes) -> Choice:
        return next((choice for rule, choice in self._rules if _matches(rule, action)), NOTHING)


def _check(document: Any) -> None:
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != ("audit.k8s.io/v1", "Policy"):
        raise PolicyError("is no Policy of audit.k8s.io/v1")
    _check_fields(document, _POLICY_FIELDS, "the policy")
    rules = document.get("rules")
    if not isinstance(rules, list) or not rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    _check_stages(document.get("omitStages") or (), "omitStages")
    for number, rule in enumerate(rules):
        where = f"rules[{number}]"
        _check_fields(rule, _RULE_FIELDS, where)
        if rule.get("level") not in LEVELS:
            raise PolicyError(f'{where}.level: Unsupported value: "{rule.get("level", "")}": supported values: {_quoted(LEVELS)}')
        _check_stages(rule.get("omitStages") or (), f"{where}.omitStages")
        if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
            raise PolicyError(f"{where}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs")
        for url in rule.get("nonResourceURLs") or ():
            if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
                raise PolicyError(f'{where}.nonResourceURLs: Invalid value: "{url}": must begin with / and may have one *, at its end')


def _check_fields(value: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} is not a mapping")
    if unknown := sorted(value.keys() - set(known)):
        raise PolicyError(f'{where}: unknown field "{unknown[0]}"')


def _check_stages(stages: Iterable[str], where: str) -> None:
    for stage in stages:
        if stage not in STAGES:
            raise PolicyError(f'{where}: Invalid value: "{stage}": allowed stages are {",".join(STAGES)}')


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _matches(rule: dict[str, Any], action: Attributes) -> bool:
    if rule.get("users") and action.user.name not in rule["users"]:
        return False
    if rule.get("userGroups") and not set(rule["userGroups"]) & set(action.user.groups):
        return False
    if rule.get("verbs") and action.verb not in rule["verbs"]:
        return False
    if rule.get("namespaces") or rule.get("resources"):
        return action.is_resource and _matches_resource(rule, action)
    if rule.get("nonResourceURLs"):
        return not action.is_resource and any(_matches_path(url, action.path) for url in rule["nonResourceURLs"])
    return True


def _matches_resource(rule: dict[str, Any], action: Attributes) -> bool:
    if rule.get("namespaces") and action.namespace not in rule["namespaces"]:
        return False
    wanted = {"*", action.combined_resource, f"{action.resource}/*" if action.subresource else "", f"*/{action.subresource}" if action.subresource else ""}
    return not rule.get("resources") or any(
        (entry.get("group") or "") == action.group
        and (not entry.get("resources") or (
            any(name in wanted for name in entry["resources"] if name)
            and (not entry.get("resourceNames") or action.name in entry["resourceNames"])))
        for entry in rule["resources"])


def _matches_path(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))
