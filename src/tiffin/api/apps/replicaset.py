"""ReplicaSet."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    schema="io.k8s.api.apps.v1.ReplicaSet",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True),
    ),
)
