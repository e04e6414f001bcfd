"""TokenReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    schema="io.k8s.api.authentication.v1.TokenReview",
    singular="tokenreview",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
