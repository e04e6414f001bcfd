"""IngressClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    schema="io.k8s.api.networking.v1.IngressClass",
    singular="ingressclass",
    namespaced=False,
)
