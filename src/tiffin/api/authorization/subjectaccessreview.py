"""SubjectAccessReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    schema="io.k8s.api.authorization.v1.SubjectAccessReview",
    singular="subjectaccessreview",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
