"""Metadata of objects that do not exist yet: of the claim in a volume or in a ResourceClaimTemplate."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.machinery.field import FieldError, forbidden
from tiffin.machinery.validation import validate_annotations, validate_labels

_NOT_ALLOWED = {
    "name": "name", "generateName": "generateName", "namespace": "namespace", "selfLink": "selfLink", "uid": "uID",
    "resourceVersion": "resourceVersion", "generation": "generation", "creationTimestamp": "creationTimestamp",
    "deletionTimestamp": "deletionTimestamp", "deletionGracePeriodSeconds": "deletionGracePeriodSeconds",
    "ownerReferences": "ownerReferences", "finalizers": "finalizers", "managedFields": "managedFields",
}
"""What such metadata may not have, and what messages call it: the name of the Go field, its first letter lowered."""


def template_metadata_errors(metadata: Mapping[str, Any], path: str) -> list[FieldError]:
    """Labels and annotations, and nothing else."""
    errors = validate_annotations(metadata.get("annotations"), f"{path}.annotations") + validate_labels(metadata.get("labels"), f"{path}.labels")
    return errors + [forbidden(f"{path}.{called}", "cannot be set") for field, called in _NOT_ALLOWED.items() if metadata.get(field)]
