"""LocalSubjectAccessReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    plural="localsubjectaccessreviews",
    schema="io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    singular="localsubjectaccessreview",
    verbs=("create",),
    stored=False,
)
