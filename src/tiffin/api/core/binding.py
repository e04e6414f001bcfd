"""Binding: the order to run a pod on a node. Nothing is stored; the handler in `apiserver/` sets the pod's nodeName."""
from __future__ import annotations

from tiffin.api.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Binding",
    plural="bindings",
    schema="io.k8s.api.core.v1.Binding",
    singular="binding",
    verbs=("create",),
    stored=False,
)
