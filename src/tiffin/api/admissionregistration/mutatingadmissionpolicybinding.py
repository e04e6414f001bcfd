"""MutatingAdmissionPolicyBinding: where a policy applies, with which parameters."""
from __future__ import annotations

from tiffin.api.admissionregistration import bindings
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object


def validate(obj: Object, context: Context) -> list[FieldError]:
    return bindings.binding_errors(obj.get("spec") or {}, "spec")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    singular="mutatingadmissionpolicybinding",
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
