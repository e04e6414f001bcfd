"""SelfSubjectAccessReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    schema="io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    singular="selfsubjectaccessreview",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
