"""ResourceClaimTemplate."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    schema="io.k8s.api.resource.v1.ResourceClaimTemplate",
    singular="resourceclaimtemplate",
    returns_deleted=True,
)
