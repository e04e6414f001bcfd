"""ClusterRole: what its holders may do everywhere; an aggregated one takes its rules from the roles it selects (done by a controller)."""
from __future__ import annotations

from tiffin.api.kind import Context, Kind
from tiffin.api.printing import NAME_AND_CREATED, name_and_created
from tiffin.api.rbac.rules import rule_errors
from tiffin.machinery.field import FieldError, invalid, required
from tiffin.machinery.object import Object
from tiffin.machinery.selectors import validate_label_selector
from tiffin.machinery.validation import path_segment_name


def default(obj: Object) -> None:
    obj.setdefault("rules", None)


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors = rule_errors(obj.get("rules"), namespaced=False)
    rule = obj.get("aggregationRule")
    if rule is None:
        return errors
    path = "aggregationRule.clusterRoleSelectors"
    selectors = rule.get("clusterRoleSelectors") or []
    if not selectors:
        errors.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
    for index, selector in enumerate(selectors):
        found = validate_label_selector(selector, f"{path}[{index}]")
        errors += [*found, invalid(f"{path}[{index}]", None, "invalid label selector.")] if found else []
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    """Kubernetes looks at the rules of an update twice."""
    return validate(new, context) * 2


KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    schema="io.k8s.api.rbac.v1.ClusterRole",
    singular="clusterrole",
    metadata_checks="mmu",
    namespaced=False,
    create_on_update=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    validate_name=path_segment_name,
    columns=NAME_AND_CREATED,
    row=name_and_created,
)
