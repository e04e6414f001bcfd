"""ReplicationController."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    schema="io.k8s.api.core.v1.ReplicationController",
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    subresources=(
        Subresource("scale", body=("autoscaling", "v1", "Scale")),
        Subresource("status", updates_object=True),
    ),
    default_propagation="Orphan",
)
