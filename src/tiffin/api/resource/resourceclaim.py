"""ResourceClaim."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    schema="io.k8s.api.resource.v1.ResourceClaim",
    singular="resourceclaim",
    returns_deleted=True,
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
