"""What webhooks and admission policies share: the rules that say which requests they see, conditions, selectors, defaults.

Expressions have to compile, and to evaluate to what is wanted of them. The expression engine is loaded with the first of them: most
clusters never see one.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.api.checks import named, not_supported, one_of
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required, too_many
from tiffin.machinery.selectors import validate_label_selector

if TYPE_CHECKING:
    from tiffin.api.admissionregistration.expressions import Scope

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURE_POLICIES, MATCH_POLICIES = ("Fail", "Ignore"), ("Equivalent", "Exact")
MAX_CONDITIONS = 64
_identifier = re.compile("[_a-zA-Z][_a-zA-Z0-9]*").fullmatch
_RESERVED = frozenset((
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
))


def default_rules(rules: Iterable[dict[str, Any]] | None) -> None:
    for rule in rules or ():
        rule["scope"] = rule.get("scope") or "*"


def default_match(match: dict[str, Any] | None) -> None:
    """The resources a policy or binding matches: everything that its rules name, in equivalent versions too."""
    if match is None:
        return
    match["matchPolicy"] = match.get("matchPolicy") or "Equivalent"
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for field in ("resourceRules", "excludeResourceRules"):
        default_rules(match.get(field))


def match_errors(match: dict[str, Any], path: str) -> list[FieldError]:
    errors = one_of(match.get("matchPolicy"), f"{path}.matchPolicy", MATCH_POLICIES) if match.get("matchPolicy") is not None else []
    for field in ("namespaceSelector", "objectSelector"):
        errors += validate_label_selector(match.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(field) or ()):
            errors += _name_errors(rule, f"{path}.{field}[{index}].resourceNames") + rule_errors(rule, f"{path}.{field}[{index}]")
    return errors


def _name_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    given: list[str] = rule.get("resourceNames") or []
    errors: list[FieldError] = []
    for index, value in enumerate(given):
        errors += named(value, f"{path}[{index}]", names.is_path_segment_name)
        errors += [duplicate(f"{path}[{index}]", value)] if value in given[:index] else []
    return errors


def rule_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    """A rule with operations: which requests for which resources."""
    operations = rule.get("operations") or []
    errors = _alone(operations, f"{path}.operations", "operations")
    errors += [not_supported(f"{path}.operations[{i}]", value, OPERATIONS) for i, value in enumerate(operations) if value not in OPERATIONS]
    for field, words in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        errors += _alone(rule.get(field) or [], f"{path}.{field}", words)
    errors += [required(f"{path}.apiVersions[{i}]") for i, version in enumerate(rule.get("apiVersions") or ()) if not version]
    errors += _resource_errors(rule.get("resources") or [], f"{path}.resources")
    return errors + (one_of(rule["scope"], f"{path}.scope", SCOPES) if rule.get("scope") is not None else [])


def _alone(values: list[str], path: str, words: str) -> list[FieldError]:
    if not values:
        return [required(path)]
    if "*" in values and len(values) > 1:
        return [invalid(path, values, f"if '*' is present, must not specify other {words}")]
    return []


def _resource_errors(resources: list[str], path: str) -> list[FieldError]:
    if not resources:
        return [required(path)]
    errors: list[FieldError] = []
    all_of: set[str] = set()
    everywhere: set[str] = set()
    for index, value in enumerate(resources):
        resource, slash, sub = value.partition("/")
        if not value:
            errors.append(required(f"{path}[{index}]"))
        if not slash:
            continue
        if resource in all_of:
            errors.append(invalid(f"{path}[{index}]", value, f"if '{resource}/*' is present, must not specify {value}"))
        if sub in everywhere:
            errors.append(invalid(f"{path}[{index}]", value, f"if '*/{sub}' is present, must not specify {value}"))
        if sub == "*":
            all_of.add(resource)
        if resource == "*":
            everywhere.add(sub)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    plain = [value for value in resources if value and "/" not in value]
    if "*" in plain and plain[-1] != "*":  # only the last of them counts
        errors.append(invalid(path, resources, "if '*' is present, must not specify other resources without subresources"))
    return errors


def expression_errors(text: str, path: str, detail: str, compile: Callable[[str], Any]) -> list[FieldError]:
    """An expression that is missing or does not compile."""
    if not text.strip():
        return [required(path, detail)]
    from tiffin.api.admissionregistration.expressions import CompilationError, violation

    try:
        compile(text)
    except CompilationError as error:
        return [violation(error, text, path)]
    return []


def condition_errors(conditions: list[dict[str, Any]] | None, path: str, params: bool = False) -> list[FieldError]:
    """Match conditions; `params` tells whether they may speak of parameters."""
    if not conditions:
        return []
    from tiffin.api.admissionregistration.expressions import CONDITION, Scope

    scope = Scope(params)
    errors = [too_many(path, len(conditions), MAX_CONDITIONS)] if len(conditions) > MAX_CONDITIONS else []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        here, called = f"{path}[{index}]", condition.get("name") or ""
        text = condition.get("expression") or ""
        errors += expression_errors(text, f"{here}.expression", "", lambda text: scope.compile(text, CONDITION))
        errors += named(called, f"{here}.name", names.is_qualified_name) if called else [required(f"{here}.name")]
        if called in seen:
            errors.append(duplicate(f"{here}.name", called))
        seen.add(called) if called else None
    return errors


def variable_errors(variables: list[dict[str, Any]] | None, path: str, scope: Scope) -> list[FieldError]:
    """What is wrong with the variables, which `scope` gets to know."""
    errors: list[FieldError] = []
    for index, variable in enumerate(variables or ()):
        here, called = f"{path}[{index}]", variable.get("name") or ""
        if not called.strip():
            errors.append(required(f"{here}.name", "name is not specified"))
        elif not _identifier(called) or called in _RESERVED:
            errors.append(invalid(f"{here}.name", called, "must be a valid CEL identifier"))
        text = variable.get("expression") or ""
        errors += expression_errors(text, f"{here}.expression", "expression is not specified", partial(scope.variable, called))
    return errors


def failure_policy_errors(policy: str | None, path: str) -> list[FieldError]:
    return [required(path)] if policy is None else one_of(policy, path, FAILURE_POLICIES)


def joined(value: str, path: str, complaints: list[str], before: str = "") -> list[FieldError]:
    """All that is wrong with a name, in one violation."""
    return [invalid(path, value, before + ",".join(complaints))] if complaints else []


def param_kind_errors(kind: dict[str, Any] | None, path: str) -> list[FieldError]:
    if kind is None:
        return []
    errors: list[FieldError] = []
    version, called = kind.get("apiVersion") or "", kind.get("kind") or ""
    if not version:
        errors.append(required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, last = version.rpartition("/")
        errors += joined(group, f"{path}.apiVersion", names.is_dns1123_subdomain(group)) if group else []
        if last:
            errors += joined(last, f"{path}.apiVersion", names.is_dns1035_label(last))
        else:
            errors.append(invalid(f"{path}.apiVersion", version, "version must be specified"))
    if not called:
        return [*errors, required(f"{path}.kind")]
    return errors + joined(called, f"{path}.kind", names.is_dns1035_label(called.lower()), "may have mixed case, but should otherwise match: ")


def constraint_errors(match: dict[str, Any] | None, path: str) -> list[FieldError]:
    """What a policy must say: at least one rule of resources."""
    if match is None:
        return [required(path)]
    errors = match_errors(match, path)
    return errors if match.get("resourceRules") else [*errors, required(f"{path}.resourceRules")]


def param_reference_errors(reference: dict[str, Any] | None, path: str) -> list[FieldError]:
    if reference is None:
        return []
    called, selector, action = reference.get("name"), reference.get("selector"), reference.get("parameterNotFoundAction")
    errors: list[FieldError] = []
    if called:
        errors += named(called, f"{path}.name", names.is_path_segment_name)
        if selector is not None:
            words = "Forbidden: name and selector are mutually exclusive"
            errors += [FieldError("FieldValueForbidden", f"{path}.{field}", words) for field in ("name", "selector")]
    elif selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    errors += validate_label_selector(selector, f"{path}.selector")
    if action is None:
        return [*errors, required(f"{path}.parameterNotFoundAction")]
    return errors if action in ("Deny", "Allow") else [*errors, not_supported(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))]


def param_kind_text(kind: dict[str, Any] | None) -> str:
    """The `ParamKind` cell: `v1/ConfigMap`."""
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


def param_reference_text(reference: dict[str, Any] | None) -> str:
    """The `ParamRef` cell: `namespace/name`, `*` for any namespace."""
    return f"{reference.get('namespace') or '*'}/{reference.get('name') or ''}" if reference else "<unset>"
