"""FlowSchema: which requests go to which priority level."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import named, needed, not_supported
from tiffin.api.flowcontrol.mandatory import schema_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import creates_with_status, keeps_all_but_status, updates_spec
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import NONE, age, name

HIGHEST_PRECEDENCE, DEFAULT_PRECEDENCE = 10000, 1000
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec.setdefault("priorityLevelConfiguration", {}).setdefault("name", "")
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or DEFAULT_PRECEDENCE


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    precedence, method = spec.get("matchingPrecedence") or 0, spec.get("distinguisherMethod")
    errors: list[FieldError] = []
    if precedence <= 0:
        errors.append(invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > HIGHEST_PRECEDENCE:
        errors.append(invalid("spec.matchingPrecedence", precedence, f"must not be greater than {HIGHEST_PRECEDENCE}"))
    if precedence == 1 and name_of(obj) != "exempt":
        errors.append(invalid("spec.matchingPrecedence", precedence, "only the schema named 'exempt' may have matchingPrecedence 1"))
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        errors.append(not_supported("spec.distinguisherMethod.type", {"Type": method.get("type", "")}, ("ByNamespace", "ByUser")))  # type: ignore[arg-type]
    level = dig(spec, "priorityLevelConfiguration", "name", default="")
    path = "spec.priorityLevelConfiguration.name"
    errors += named(level, path, names.is_dns1123_subdomain) if level else [required(path, "must reference a priority level")]
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    return errors + schema_errors(obj)


def status_errors(status: dict[str, Any], path: str) -> list[FieldError]:
    """Conditions have types, each once."""
    kinds = [condition.get("type") or "" for condition in status.get("conditions") or ()]
    errors: list[FieldError] = []
    for index, kind in enumerate(kinds):
        here = f"{path}.conditions[{index}].type"
        if kind in kinds[:index]:
            errors.append(duplicate(here, kind))
        errors += [] if kind else [required(here, "must not be empty")]
    return errors


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    return status_errors(new.get("status") or {}, "status")


def _rule_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    errors = needed(rule.get("subjects"), f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        errors += _subject_errors(subject, f"{path}.subjects[{index}]")
    resources, others = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not others:
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for index, part in enumerate(resources):
        errors += _resource_errors(part, f"{path}.resourceRules[{index}]")
    for index, part in enumerate(others):
        errors += _path_errors(part, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject_errors(subject: dict[str, Any], path: str) -> list[FieldError]:
    kind = subject.get("kind") or ""
    if kind not in _SUBJECTS:
        return [not_supported(f"{path}.kind", kind, tuple(sorted(_SUBJECTS)))]
    errors = _named_errors(kind, subject.get(_SUBJECTS[kind]), f"{path}.{_SUBJECTS[kind]}")
    return errors + [
        forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")
        for other, field in _SUBJECTS.items() if other != kind and subject.get(field) is not None
    ]


def _named_errors(kind: str, given: dict[str, Any] | None, path: str) -> list[FieldError]:
    """The user, group or service account of a subject."""
    if given is None:
        return [required(path, f"{_SUBJECTS[kind]} is required when subject kind is '{kind}'")]
    if kind != "ServiceAccount":
        return needed(given.get("name"), f"{path}.name")
    errors = needed(given.get("name"), f"{path}.name")
    if given.get("name") not in (None, "", "*"):
        errors += named(given["name"], f"{path}.name", names.is_dns1123_subdomain)
    space = given.get("namespace")
    return errors + (named(space, f"{path}.namespace", names.is_dns1123_label) if space else [
        required(f"{path}.namespace", "must specify namespace for service account")])


def _wildcard(values: list[str], path: str, words: str) -> list[FieldError]:
    if len(values) > 1 and "*" in values:
        return [invalid(path, values, f"if '*' is present, must not specify other {words}")]
    return []


def _verb_errors(verbs: list[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        return _wildcard(verbs, path, "verbs")
    return [] if set(verbs) <= set(VERBS) else [not_supported(path, verbs, VERBS)]  # type: ignore[arg-type]


def _resource_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or [], f"{path}.verbs")
    for field, missing, words in (
        ("apiGroups", "resource rules must supply at least one api group", "api groups"),
        ("resources", "resource rules must supply at least one resource", "resources"),
    ):
        values = rule.get(field) or []
        errors += _wildcard(values, f"{path}.{field}", words) if values else [required(f"{path}.{field}", missing)]
    spaces = rule.get("namespaces") or []
    if not spaces and not rule.get("clusterScope"):
        words = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(f"{path}.namespaces", words))
    elif "*" in spaces:
        errors += _wildcard(spaces, f"{path}.namespaces", "namespaces")
    else:
        words = "each member of this list must be '*' or a DNS-1123 label; "
        errors += [
            invalid(f"{path}.namespaces[{i}]", space, words + complaint)
            for i, space in enumerate(spaces) for complaint in names.is_dns1123_label(space)
        ]
    return errors


def _path_errors(rule: dict[str, Any], path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or [], f"{path}.verbs")
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        return [*errors, required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        return errors + _wildcard(urls, f"{path}.nonResourceURLs", "non-resource URLs")
    faults = ((f"{path}.nonResourceURLs[{i}]", url, _url_fault(url)) for i, url in enumerate(urls))
    return errors + [invalid(where, url, fault) for where, url, fault in faults if fault]


def _url_fault(url: str) -> str:
    """What is wrong with a path, the first thing only; empty when nothing is."""
    stars = url.count("*")
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    return "wildcard can only do suffix matching" if stars > 1 or (stars and not url.endswith("/*")) else ""


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def dangling_text(obj: Object) -> str:
    """Whether its priority level is missing, `?` before anyone looked."""
    return next((c.get("status", "") for c in dig(obj, "status", "conditions", default=[]) if c.get("type") == "Dangling"), "?")


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    level, method = dig(spec, "priorityLevelConfiguration", "name", default=""), dig(spec, "distinguisherMethod", "type", default=NONE)
    return [name(obj), level, spec.get("matchingPrecedence", 0), method, age(obj, now), dangling_text(obj)]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    schema="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    metadata_checks="m",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True, prepare=keeps_all_but_status, validate=validate_status, resets=(("spec",), ("metadata",))),
    ),
    default=default,
    prepare_for_create=creates_with_status(),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    columns=(
        NAME, Column("PriorityLevel"), Column("MatchingPrecedence"), Column("DistinguisherMethod"), AGE, Column("MissingPL"),
    ),
    row=row,
)
