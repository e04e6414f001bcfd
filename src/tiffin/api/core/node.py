"""Node."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    schema="io.k8s.api.core.v1.Node",
    singular="node",
    namespaced=False,
    short_names=("no",),
    subresources=(
        Subresource("proxy", verbs=("create", "delete", "get", "patch", "update"), body=("", "v1", "NodeProxyOptions")),
        Subresource("status", updates_object=True),
    ),
)
