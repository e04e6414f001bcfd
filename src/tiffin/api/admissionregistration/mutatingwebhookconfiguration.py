"""MutatingWebhookConfiguration."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    schema="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    singular="mutatingwebhookconfiguration",
    namespaced=False,
    categories=("api-extensions",),
    unconditional_update=False,
)
