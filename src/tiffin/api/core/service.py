"""Service."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    schema="io.k8s.api.core.v1.Service",
    singular="service",
    returns_deleted=True,
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource("proxy", verbs=("create", "delete", "get", "patch", "update"), body=("", "v1", "ServiceProxyOptions")),
        Subresource("status", updates_object=True),
    ),
    create_on_update=True,
)
