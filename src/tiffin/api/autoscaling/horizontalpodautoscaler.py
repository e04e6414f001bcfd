"""HorizontalPodAutoscaler."""
from __future__ import annotations

from tiffin.api.autoscaling import v1
from tiffin.api.kind import Kind, Subresource, Version

KIND = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    schema="io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    versions=(Version("autoscaling", "v1", v1.SCHEMA, v1.from_v2, v1.to_v2),),
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
