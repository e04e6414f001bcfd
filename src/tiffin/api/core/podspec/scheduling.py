"""Validation of what the scheduler reads: affinity, tolerations, topology spread, gates."""
from __future__ import annotations

from typing import Any

from tiffin.machinery import field as f
from tiffin.machinery.field import FieldError
from tiffin.machinery.names import is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name
from tiffin.machinery.selectors import validate_label_selector

_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_WHEN = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _label_name(key: str, path: str) -> list[FieldError]:
    return [f.invalid(path, key, m) for m in is_qualified_name(key)]


# --- nodes ---------------------------------------------------------------------------------------------------------------


def validate_node_selector(selector: dict[str, Any], path: str, allow_invalid_values: bool = False) -> list[FieldError]:
    """Violations of a NodeSelector."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [f.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [e for i, term in enumerate(terms) for e in _validate_node_term(term, f"{path}.nodeSelectorTerms[{i}]", allow_invalid_values)]


def shown_node_terms(terms: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """NodeSelectorTerms as messages show them: all fields, under their Go names."""
    return None if terms is None else [
        {"MatchExpressions": _shown_requirements(term.get("matchExpressions")), "MatchFields": _shown_requirements(term.get("matchFields"))}
        for term in terms
    ]


def _shown_requirements(requirements: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    return None if requirements is None else [
        {"Key": r.get("key") or "", "Operator": r.get("operator") or "", "Values": r.get("values")} for r in requirements
    ]


def _validate_node_term(term: dict[str, Any], path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        errors += _validate_node_expression(expression, f"{path}.matchExpressions[{index}]", allow_invalid_values)
    for index, expression in enumerate(term.get("matchFields") or ()):
        errors += _validate_node_field(expression, f"{path}.matchFields[{index}]")
    return errors


def _validate_node_expression(expression: dict[str, Any], path: str, allow_invalid_values: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    match operator:
        case "In" | "NotIn":
            if not values:
                errors.append(f.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if values:
                errors.append(f.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
        case "Gt" | "Lt":
            if len(values) != 1:
                errors.append(f.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
        case _:
            errors.append(f.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    errors += _label_name(expression.get("key") or "", f"{path}.key")
    if not allow_invalid_values:
        errors += [f.invalid(f"{path}.values[{i}]", value, m) for i, value in enumerate(values) for m in is_label_value(value)]
    return errors


def _validate_node_field(expression: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values, key = expression.get("operator") or "", expression.get("values") or (), expression.get("key") or ""
    if operator not in ("In", "NotIn"):
        errors.append(f.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(f.required(f"{path}.values", detail))
    if key != "metadata.name":
        return [*errors, f.invalid(f"{path}.key", key, "not a valid field selector key")]
    return errors + [f.invalid(f"{path}.values[{i}]", value, m) for i, value in enumerate(values) for m in is_dns1123_subdomain(value)]


def _validate_weight(term: dict[str, Any], path: str) -> list[FieldError]:
    weight = term.get("weight") or 0
    return [] if 0 < weight <= 100 else [f.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _validate_node_affinity(affinity: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if affinity.get(_REQUIRED) is not None:
        errors += validate_node_selector(affinity[_REQUIRED], f"{path}.{_REQUIRED}")
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        errors += _validate_weight(term, at)
        errors += _validate_node_term(term.get("preference") or {}, f"{at}.preference", True)
    return errors


# --- pods ----------------------------------------------------------------------------------------------------------------


def validate_affinity(affinity: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Violations of an Affinity."""
    errors: list[FieldError] = []
    if not affinity:
        return errors
    if affinity.get("nodeAffinity") is not None:
        errors += _validate_node_affinity(affinity["nodeAffinity"], f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        if affinity.get(kind) is not None:
            errors += _validate_pod_affinity(affinity[kind], f"{path}.{kind}")
    return errors


def _validate_pod_affinity(affinity: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        errors += _validate_pod_term(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        at = f"{path}.{_PREFERRED}[{index}]"
        errors += _validate_weight(weighted, at)
        errors += _validate_pod_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return errors


def _validate_pod_term(term: dict[str, Any], path: str) -> list[FieldError]:
    errors = validate_label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    errors += validate_label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        errors += [f.invalid(f"{path}.namespace", name, m) for m in is_dns1123_label(name)]
    matching, mismatching = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    errors += _validate_label_keys(matching, term, f"{path}.matchLabelKeys")
    errors += _validate_label_keys(mismatching, term, f"{path}.mismatchLabelKeys")
    errors += _validate_selected_twice(matching, term, path)
    for index, key in enumerate(matching):
        if key in mismatching:
            errors.append(f.invalid(f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"))
    topology = term.get("topologyKey") or ""
    if not topology:
        errors.append(f.required(f"{path}.topologyKey", "can not be empty"))
    return errors + _label_name(topology, f"{path}.topologyKey")


def _validate_label_keys(keys: Any, owner: dict[str, Any], path: str) -> list[FieldError]:
    if not keys:
        return []
    if owner.get("labelSelector") is None:
        return [f.forbidden(path, "must not be specified when labelSelector is not set")]
    return [e for index, key in enumerate(keys) for e in _label_name(key, f"{path}[{index}]")]


def _validate_selected_twice(keys: Any, owner: dict[str, Any], path: str) -> list[FieldError]:
    """A pod's selector has a requirement for each of its matchLabelKeys by now; the client may not have written another one."""
    selector = owner.get("labelSelector")
    if not keys or selector is None:
        return []
    positions = {key: index for index, key in enumerate(keys)}
    seen = set(selector.get("matchLabels") or ())
    errors = []
    for expression in selector.get("matchExpressions") or ():
        key = expression.get("key") or ""
        if key in positions and key in seen:
            errors.append(f.invalid(f"{path}[{positions[key]}]", key, "exists in both matchLabelKeys and labelSelector"))
        seen.add(key)
    return errors


def validate_spread_constraints(constraints: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in topologySpreadConstraints."""
    errors: list[FieldError] = []
    pairs = [(c.get("topologyKey") or "", c.get("whenUnsatisfiable") or "") for c in constraints or ()]
    for index, constraint in enumerate(constraints or ()):
        at, (topology, when) = f"{path}[{index}]", pairs[index]
        if (constraint.get("maxSkew") or 0) <= 0:
            errors.append(f.invalid(f"{at}.maxSkew", constraint.get("maxSkew") or 0, "must be greater than zero"))
        if not topology:
            errors.append(f.required(f"{at}.topologyKey", "can not be empty"))
        if when not in _WHEN:
            errors.append(f.not_supported(f"{at}.whenUnsatisfiable", when, _WHEN))
        if pairs[index] in pairs[index + 1 :]:
            errors.append(f.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{topology}, {when}}}"))
        errors += _validate_min_domains(constraint.get("minDomains"), when, f"{at}.minDomains")
        for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(key) is not None and constraint[key] not in _INCLUSION:
                errors.append(f.not_supported(f"{at}.{key}", constraint[key], _INCLUSION))
        matching = constraint.get("matchLabelKeys") or ()
        errors += _validate_label_keys(matching, constraint, f"{at}.matchLabelKeys") + _validate_selected_twice(matching, constraint, at)
        errors += validate_label_selector(constraint.get("labelSelector"), f"{at}.labelSelector")
    return errors


def _validate_min_domains(domains: int | None, when: str, path: str) -> list[FieldError]:
    if domains is None:
        return []
    errors = [] if domains > 0 else [f.invalid(path, domains, "must be greater than zero")]
    if when != "DoNotSchedule":
        errors.append(f.invalid(path, domains, f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"))
    return errors


# --- taints and gates ----------------------------------------------------------------------------------------------------


def validate_tolerations(tolerations: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in tolerations."""
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations or ()):
        at = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            errors += _label_name(key, f"{at}.key")
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(f.invalid(f"{at}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            errors.append(f.invalid(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        errors += _validate_toleration_operator(operator, value, f"{at}.operator")
        if effect and effect not in _EFFECTS:
            errors.append(f.not_supported(f"{at}.effect", effect, _EFFECTS))
    return errors


def _validate_toleration_operator(operator: str, value: str, path: str) -> list[FieldError]:
    if operator in ("", "Equal"):
        complaints = is_label_value(value)
        return [f.invalid(path, value, ";".join(complaints))] if complaints else []
    if operator != "Exists":
        return [f.not_supported(path, operator, ("Equal", "Exists"))]
    return [f.invalid(path, value, "value must be empty when `operator` is 'Exists'")] if value else []


def validate_scheduling_gates(gates: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in schedulingGates: qualified names, each once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, gate in enumerate(gates or ()):
        name = gate.get("name") or ""
        errors += _label_name(name, f"{path}[{index}]")
        if name in seen:
            errors.append(f.duplicate(f"{path}[{index}]", name))
        seen.add(name)
    return errors


def validate_readiness_gates(gates: list[dict[str, Any]] | None, path: str) -> list[FieldError]:
    """Violations in readinessGates: their conditions are qualified names."""
    return [e for index, gate in enumerate(gates or ()) for e in _label_name(gate.get("conditionType") or "", f"{path}[{index}].conditionType")]
