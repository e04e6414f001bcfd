"""FlowSchema."""
from __future__ import annotations

from tiffin.api.kind import Kind, Subresource

KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    schema="io.k8s.api.flowcontrol.v1.FlowSchema",
    singular="flowschema",
    namespaced=False,
    subresources=(
        Subresource("status", updates_object=True),
    ),
)
