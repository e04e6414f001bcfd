"""SelfSubjectReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
    schema="io.k8s.api.authentication.v1.SelfSubjectReview",
    singular="selfsubjectreview",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
