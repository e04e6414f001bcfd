"""EndpointSlice."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    schema="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
)
