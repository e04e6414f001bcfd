"""ValidatingAdmissionPolicy: expressions that must hold for what is written."""
from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiffin.api.admissionregistration import rules
from tiffin.api.checks import named, one_of
from tiffin.api.conditions import condition_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import OWNED_METADATA, creates_with_status, updates_spec, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required
from tiffin.machinery.object import Object, dig, name_of
from tiffin.machinery.table import age, name

if TYPE_CHECKING:
    from tiffin.api.admissionregistration.expressions import Scope

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
MOST_ANNOTATIONS, LONGEST_ANNOTATION = 20, 5 * 1024
"""Audit annotations of a policy, and bytes of the expression of one."""
_ONE_OF = "validations or auditAnnotations must contain at least one item"


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {})
    spec.setdefault("failurePolicy", "Fail")
    rules.default_match(spec.get("matchConstraints"))


def validate(obj: Object, context: Context) -> list[FieldError]:
    from tiffin.api.admissionregistration.expressions import Scope

    spec = obj.get("spec") or {}
    errors = rules.failure_policy_errors(spec.get("failurePolicy"), "spec.failurePolicy")
    errors += rules.param_kind_errors(spec.get("paramKind"), "spec.paramKind")
    errors += rules.constraint_errors(spec.get("matchConstraints"), "spec.matchConstraints")
    scope = Scope(spec.get("paramKind") is not None)
    errors += rules.condition_errors(spec.get("matchConditions"), "spec.matchConditions", spec.get("paramKind") is not None)
    errors += rules.variable_errors(spec.get("variables"), "spec.variables", scope)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        return [*errors, required("spec.validations", _ONE_OF), required("spec.auditAnnotations", _ONE_OF)]
    for index, validation in enumerate(validations):
        errors += _validation_errors(validation, f"spec.validations[{index}]", scope)
    if len(annotations) > MOST_ANNOTATIONS:
        shown = [{"Key": each.get("key") or "", "ValueExpression": each.get("valueExpression") or ""} for each in annotations]
        errors.append(invalid("spec.auditAnnotations", shown, f"must not have more than {MOST_ANNOTATIONS} auditAnnotations"))
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        path, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        errors += _annotation_errors(annotation, name_of(obj), path, scope)
        errors += [duplicate(f"{path}.key", key)] if key in seen else []
        seen.add(key)
    return errors


def _validation_errors(validation: dict[str, Any], path: str, scope: Scope) -> list[FieldError]:
    from tiffin.api.admissionregistration.expressions import CONDITION, MESSAGE

    message, reason, explained = validation.get("message") or "", validation.get("reason"), validation.get("messageExpression") or ""
    errors = rules.expression_errors(
        validation.get("expression") or "", f"{path}.expression", "expression is not specified", lambda text: scope.compile(text, CONDITION))
    if explained and not explained.strip():
        errors.append(invalid(f"{path}.messageExpression", explained, "must be non-empty if specified"))
    elif explained:
        errors += rules.expression_errors(explained, f"{path}.messageExpression", "", lambda text: scope.compile(text, MESSAGE, False))
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    return errors + (one_of(reason, f"{path}.reason", REASONS) if reason is not None else [])


def _annotation_errors(annotation: dict[str, Any], policy: str, path: str, scope: Scope) -> list[FieldError]:
    from tiffin.api.admissionregistration.expressions import ANNOTATION

    key, text = annotation.get("key") or "", annotation.get("valueExpression") or ""
    unnamed = [invalid(f"{path}.key", key, "requires metadata.name be non-empty")]
    errors = named(f"{policy}/{key}", f"{path}.key", names.is_qualified_name) if policy else unnamed
    if len(text.strip().encode()) > LONGEST_ANNOTATION:
        return [*errors, required(f"{path}.valueExpression", f"must not exceed {LONGEST_ANNOTATION} bytes in length")]
    return errors + rules.expression_errors(
        text, f"{path}.valueExpression", "valueExpression is not specified", lambda text: scope.compile(text, ANNOTATION))


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, warning in enumerate(dig(new, "status", "typeChecking", "expressionWarnings", default=[])):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        errors += [] if warning.get("warning") else [required(f"{path}.warning")]
        errors += [] if (warning.get("fieldRef") or "").strip() else [required(f"{path}.fieldRef")]
    return errors + condition_errors(dig(new, "status", "conditions"), "status.conditions")


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [name(obj), len(dig(spec, "validations", default=[])), rules.param_kind_text(spec.get("paramKind")), age(obj, now)]


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    singular="validatingadmissionpolicy",
    metadata_checks="m",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    subresources=(
        Subresource("status", updates_object=True, prepare=updates_status(kept_metadata=OWNED_METADATA)),
    ),
    unconditional_update=False,
    default=default,
    prepare_for_create=creates_with_status(),
    prepare_for_update=updates_spec(),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Validations", "integer"), Column("ParamKind"), AGE),
    row=row,
)
