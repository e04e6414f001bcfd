"""ResourceClaimTemplate: the claim that each pod of a workload gets for itself. The spec never changes."""
from __future__ import annotations

from tiffin.api.checks import IMMUTABLE
from tiffin.api.kind import Context, Kind
from tiffin.api.resource.requests import claim_spec_errors, default_claim_spec
from tiffin.api.template_metadata import template_metadata_errors
from tiffin.machinery.field import FieldError, invalid
from tiffin.machinery.object import Object


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("metadata", {})
    default_claim_spec(spec.setdefault("spec", {}))


def validate(obj: Object, context: Context) -> list[FieldError]:
    spec = obj.get("spec") or {}
    return template_metadata_errors(spec.get("metadata") or {}, "spec.metadata") + claim_spec_errors(spec.get("spec") or {}, "spec.spec")


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return [] if new.get("spec") == old.get("spec") else [invalid("spec", new.get("spec"), IMMUTABLE)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    schema="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    returns_deleted=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
)
