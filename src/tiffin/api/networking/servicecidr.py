"""ServiceCIDR."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    schema="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
