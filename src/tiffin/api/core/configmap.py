"""ConfigMap."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    schema="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short_names=("cm",),
)
