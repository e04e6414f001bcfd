"""APIService."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="apiregistration.k8s.io",
    version="v1",
    kind="APIService",
    plural="apiservices",
    schema="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    singular="apiservice",
    namespaced=False,
    categories=("api-extensions",),
    subresources=(
        Subresource("status", updates_object=True),
    ),
    unconditional_update=False,
)
