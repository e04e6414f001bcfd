"""MutatingAdmissionPolicyBinding: where a policy applies, with which parameters."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.admissionregistration import rules
from tiffin.api.checks import named
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import start_generation, updates_spec
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name


def default(obj: Object) -> None:
    rules.default_match(obj.setdefault("spec", {}).get("matchResources"))


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    policy = spec.get("policyName")
    errors = named(policy, "spec.policyName", names.is_dns1123_subdomain) if policy else [required("spec.policyName")]
    errors += rules.param_reference_errors(spec.get("paramRef"), "spec.paramRef")
    if spec.get("matchResources") is not None:
        errors += rules.match_errors(spec["matchResources"], "spec.matchResources")
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def row(obj: Object, now: datetime) -> list[Any]:
    policy, reference = dig(obj, "spec", "policyName", default=""), dig(obj, "spec", "paramRef")
    return [name(obj), policy, rules.param_reference_text(reference), age(obj, now)]


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
    default=default,
    prepare_for_create=start_generation,
    prepare_for_update=updates_spec(status=False),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("PolicyName"), Column("ParamRef"), AGE),
    row=row,
)
