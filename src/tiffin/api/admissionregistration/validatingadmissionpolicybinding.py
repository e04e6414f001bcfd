"""ValidatingAdmissionPolicyBinding: where a policy applies, with which parameters and to what effect."""
from __future__ import annotations

from tiffin.api.admissionregistration import bindings
from tiffin.api.checks import one_of
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError, duplicate, invalid, required
from tiffin.machinery.object import Object

ACTIONS = ("Audit", "Deny", "Warn")
_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no "
    "purpose)"
)


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    errors = bindings.binding_errors(spec, "spec")
    actions: list[str] = spec.get("validationActions") or []
    if not actions:
        errors.append(required("spec.validationActions", "at least one validation action is required"))
    for index, action in enumerate(actions):
        path = f"spec.validationActions[{index}]"
        errors += one_of(action, path, ACTIONS)
        errors += [duplicate(path, action)] if action in actions[:index] else []
    if {"Deny", "Warn"} <= set(actions):
        errors.append(invalid("spec.validationActions", actions, _TWICE))
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    metadata_checks="m",
    any_finalizers=True,
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
    default=bindings.default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("PolicyName"), Column("ParamRef"), AGE),
    row=bindings.row,
)
