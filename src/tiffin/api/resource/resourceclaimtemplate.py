"""ResourceClaimTemplate: the claim that each pod of a workload gets for itself. The spec never changes."""
from __future__ import annotations

from tiffin.api.checks import IMMUTABLE
from tiffin.api.kind import Context, Kind
from tiffin.api.resource.requests import claim_spec_errors, default_claim_spec
from tiffin.machinery.field import FieldError, forbidden, invalid
from tiffin.machinery.object import Object
from tiffin.machinery.validation import validate_annotations, validate_labels


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("metadata", {})
    default_claim_spec(spec.setdefault("spec", {}))


_META_FIELDS = {
    "name": "Name", "generateName": "GenerateName", "namespace": "Namespace", "selfLink": "SelfLink", "uid": "UID",
    "resourceVersion": "ResourceVersion", "generation": "Generation", "creationTimestamp": "CreationTimestamp",
    "deletionTimestamp": "DeletionTimestamp", "deletionGracePeriodSeconds": "DeletionGracePeriodSeconds",
    "ownerReferences": "OwnerReferences", "finalizers": "Finalizers", "managedFields": "ManagedFields",
}
"""What the metadata of a claim-to-be may not have, and what messages call it."""


def template_metadata_errors(metadata: Object, path: str) -> list[FieldError]:
    """Metadata of an object that does not exist yet: labels and annotations, and nothing else."""
    errors = validate_annotations(metadata.get("annotations"), f"{path}.annotations") + validate_labels(metadata.get("labels"), f"{path}.labels")
    return errors + [forbidden(f"{path}.{called}", "cannot be set") for field, called in _META_FIELDS.items() if metadata.get(field)]


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
