"""PodTopologyLabels: a pod bears the zone and region of the node it is bound to, so that it can be told where it runs.

Labels of these keys that the pod or its Binding brought are replaced. Source: KEP-4742.
"""

from __future__ import annotations

from tiffin.apiserver.admission.attributes import AdmissionAttributes
from tiffin.apiserver.admission.chain import Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery.object import Object, Resource, dig, labels_of

NODES = Resource("", "v1", "nodes")
COPIED = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


class PodTopologyLabels(Plugin):
    """Has a say in bindings, and in pods that are created with a node."""

    resources = ("pods",)
    operations = ("CREATE",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def admit(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> None:
        if obj is None or a.subresource not in ("", "binding"):
            return
        name = dig(obj, "spec", "nodeName") if not a.subresource else self._bound_to(obj)
        node = self._reader.get(NODES, "", name) if name else None
        known = {key: labels_of(node)[key] for key in COPIED if key in labels_of(node)} if node is not None else {}
        if known:
            metadata = obj.setdefault("metadata", {})
            metadata["labels"] = {**(metadata.get("labels") or {}), **known}

    @staticmethod
    def _bound_to(binding: Object) -> str | None:
        return dig(binding, "target", "name") if dig(binding, "target", "kind") in ("", "Node", None) else None
