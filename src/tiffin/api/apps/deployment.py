"""Deployment."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    schema="io.k8s.api.apps.v1.Deployment",
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True),
    ),
)
