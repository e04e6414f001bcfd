"""ValidatingAdmissionPolicyBinding."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    schema="io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    singular="validatingadmissionpolicybinding",
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
)
