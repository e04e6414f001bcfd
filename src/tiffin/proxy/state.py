"""What one node's proxy knows: services, their EndpointSlices, and the node itself.

Services and slices that are not ours are left out: headless ones, ExternalName, and what another proxy claims by the label
`service.kubernetes.io/service-proxy-name`. A change of one slice makes one service dirty; a change of the node's labels or pod
ranges all of them.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiffin.machinery.object import Key, Object, key_of, labels_of, name_of, namespace_of

SERVICE_NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"
_OTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True)
class NodeView:
    """What of the node decides where packets go."""

    name: str
    zone: str = ""
    pod_ranges: tuple[str, ...] = ()


class State:
    """The services of the cluster as this node's proxy sees them."""

    def __init__(self, node_name: str) -> None:
        self.node = NodeView(node_name)
        self.services: dict[Key, Object] = {}
        self._slices: dict[Key, dict[str, Object]] = {}
        self._dirty: dict[Key, None] = {}
        self._node_is_new = True

    def slices(self, service: Key) -> Sequence[Object]:
        """The service's slices, by name, so that two nodes see them in one order."""
        return [slice for _, slice in sorted(self._slices.get(service, {}).items())]

    @property
    def is_dirty(self) -> bool:
        """Whether anything is to be planned again."""
        return bool(self._dirty) or self._node_is_new

    def take_dirty(self) -> Iterable[Key]:
        """The services to look at again, each once."""
        dirty, self._dirty, self._node_is_new = self._dirty, {}, False
        return dirty

    def service_changed(self, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        if new is not None and is_proxied(new):
            self.services[key] = new
        elif self.services.pop(key, None) is None:
            return
        self._dirty[key] = None

    def slice_changed(self, old: Object | None, new: Object | None) -> None:
        for slice in (old, new):
            if slice is not None and (service := _service_of(slice)):
                self._slices.get(service, {}).pop(name_of(slice), None)
                self._dirty[service] = None
        if new is not None and (service := _service_of(new)):
            self._slices.setdefault(service, {})[name_of(new)] = new
        if old is not None and (gone := _service_of(old)) and not self._slices.get(gone):
            self._slices.pop(gone, None)

    def node_changed(self, node: Object | None) -> bool:
        """Whether what matters of the node is different now."""
        seen = node_view(self.node.name, node or {})
        if seen == self.node:
            return False
        self.node, self._node_is_new = seen, True
        self._dirty.update(dict.fromkeys(self.services))
        return True


def is_proxied(service: Object) -> bool:
    """Whether this service has an address of its own that is ours to answer."""
    spec = service.get("spec") or {}
    return spec.get("type") != "ExternalName" and (spec.get("clusterIP") or "None") != "None" and _OTHER_PROXY not in labels_of(service)


def node_view(name: str, node: Object) -> NodeView:
    spec = node.get("spec") or {}
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return NodeView(name, labels_of(node).get(ZONE, ""), tuple(ranges))


def _service_of(slice: Object) -> Key | None:
    labels = labels_of(slice)
    name = labels.get(SERVICE_NAME)
    return Key(namespace_of(slice), name) if name and _HEADLESS not in labels and _OTHER_PROXY not in labels else None
