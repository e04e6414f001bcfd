"""MutatingAdmissionPolicy: expressions that change what is written."""
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiffin.api.admissionregistration import rules
from tiffin.api.checks import one_of
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError, invalid, not_supported, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name

if TYPE_CHECKING:
    from tiffin.api.admissionregistration.expressions import Scope

PATCHES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    rules.default_match(spec.get("matchConstraints"))


def validate(obj: Object, context: Context) -> list[FieldError]:
    from tiffin.api.admissionregistration.expressions import Scope

    spec = obj.get("spec") or {}
    errors = rules.failure_policy_errors(spec.get("failurePolicy"), "spec.failurePolicy")
    errors += rules.param_kind_errors(spec.get("paramKind"), "spec.paramKind")
    errors += rules.constraint_errors(spec.get("matchConstraints"), "spec.matchConstraints")
    for rule in dig(spec, "matchConstraints", "resourceRules", default=[]):
        if "DELETE" in (rule.get("operations") or ()):
            errors.append(not_supported("spec.matchConstraints.resourceRules.operations", "DELETE", _OPERATIONS))
    scope = Scope(spec.get("paramKind") is not None)
    errors += rules.condition_errors(spec.get("matchConditions"), "spec.matchConditions", spec.get("paramKind") is not None)
    errors += rules.variable_errors(spec.get("variables"), "spec.variables", scope)
    mutations, policy = spec.get("mutations") or [], spec.get("reinvocationPolicy")
    if not mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        errors += _mutation_errors(mutation, f"spec.mutations[{index}]", scope)
    return errors + (one_of(policy, "spec.reinvocationPolicy", ("IfNeeded", "Never")) if policy else [required("spec.reinvocationPolicy")])


def _mutation_errors(mutation: dict[str, Any], path: str, scope: Scope) -> list[FieldError]:
    kind = mutation.get("patchType") or ""
    if kind not in PATCHES:
        return [not_supported(f"{path}.patchType", kind, tuple(PATCHES))] if kind else [required(f"{path}.patchType")]
    field, other = PATCHES[kind], next(field for patch, field in PATCHES.items() if patch != kind)
    errors: list[FieldError] = []
    if mutation.get(field) is None:
        errors.append(required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
    else:
        text = mutation[field].get("expression") or ""
        errors += rules.expression_errors(text, f"{path}.{field}.expression", "", lambda text: scope.mutation(kind, text))
    if mutation.get(other) is not None:
        errors.append(invalid(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {kind}"))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), len(dig(spec, "mutations", default=[])), rules.param_kind_text(spec.get("paramKind")), age(obj, now)]


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    metadata_checks="m",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Mutations", "integer"), Column("ParamKind"), AGE),
    row=row,
)
