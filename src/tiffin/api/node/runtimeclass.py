"""RuntimeClass."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    schema="io.k8s.api.node.v1.RuntimeClass",
    singular="runtimeclass",
    namespaced=False,
    unconditional_update=False,
)
