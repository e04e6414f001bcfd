"""What bindings of validating and of mutating policies share: the policy, its parameters, and where it applies."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.admissionregistration import rules
from tiffin.api.checks import named
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, required
from tiffin.machinery.object import Object, dig
from tiffin.machinery.table import age, name


def default(obj: Object) -> None:
    rules.default_match(obj.setdefault("spec", {}).get("matchResources"))


def binding_errors(spec: dict[str, Any], path: str) -> list[FieldError]:
    policy = spec.get("policyName")
    errors = named(policy, f"{path}.policyName", names.is_dns1123_subdomain) if policy else [required(f"{path}.policyName")]
    errors += rules.param_reference_errors(spec.get("paramRef"), f"{path}.paramRef")
    if spec.get("matchResources") is not None:
        errors += rules.match_errors(spec["matchResources"], f"{path}.matchResources")
    return errors


def row(obj: Object, now: datetime) -> list[Any]:
    policy, reference = dig(obj, "spec", "policyName", default=""), dig(obj, "spec", "paramRef")
    return [name(obj), policy, rules.param_reference_text(reference), age(obj, now)]
