"""SelfSubjectRulesReview."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectRulesReview",
    plural="selfsubjectrulesreviews",
    schema="io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    singular="selfsubjectrulesreview",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
