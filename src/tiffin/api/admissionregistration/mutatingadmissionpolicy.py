"""MutatingAdmissionPolicy."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    schema="io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    singular="mutatingadmissionpolicy",
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
)
