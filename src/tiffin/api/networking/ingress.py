"""Ingress."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    schema="io.k8s.api.networking.v1.Ingress",
    singular="ingress",
    short_names=("ing",),
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
