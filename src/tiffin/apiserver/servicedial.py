"""Where the server reaches a Service: the address of one of its ready endpoints.

The server runs on the host, where no rule leads from a cluster IP to a pod, but a route leads to every pod. So a Service is looked up
in its EndpointSlices and a pod is dialled directly, as kube-apiserver does with `--enable-aggregator-routing`.

Rules
* Addresses come from objects that others write: only literal ones that `checked_address` lets pass are dialled, and what was checked is
  what is dialled.
* The pods of simulated nodes are not there. Their addresses are made up and may be somebody else's, so they are never dialled.
* A Service that only names a host (ExternalName) is not followed: whoever may write Services would choose whom the server talks to.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tiffin.apiserver.nodes import NODES, checked_address, is_simulated
from tiffin.apiserver.ports import Reader
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.field import shown
from tiffin.machinery.object import Object, Resource, dig, labels_of

SERVICES = Resource("", "v1", "services")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
SERVICE_NAME = "kubernetes.io/service-name"


class Endpoint(NamedTuple):
    """A literal address and port that may be dialled."""

    address: str
    port: int


class ServiceDialer:
    """Looks Services up; `reader` has services, endpoint slices and nodes. All errors are ApiError: 404, 503, or 400 for a bad address."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def service(self, namespace: str, name: str) -> Object:
        """The Service; raises 404."""
        found = self._reader.get(SERVICES, namespace, name)
        if found is None:
            raise errors.not_found("services", name)
        return found

    def resolve(self, namespace: str, name: str, port: int) -> Endpoint:
        """An endpoint behind the port with this number, as references to Services in other objects mean it."""
        service = self._reader.get(SERVICES, namespace, name)
        if service is None:
            raise ApiError(404, "NotFound", f"service {shown(name)} not found")
        if dig(service, "spec", "type") == "ExternalName":
            raise ApiError(500, "", 'unsupported service type "ExternalName"')
        for known in dig(service, "spec", "ports", default=[]):
            if known.get("port") == port:
                return self.endpoint(namespace, name, known.get("name") or "")
        raise errors.service_unavailable(f"no service port {port} found for service {shown(name)}")

    def endpoint(self, namespace: str, name: str, port_name: str, asked: str = "") -> Endpoint:
        """A ready endpoint behind the named port ("" for a port without a name); `asked` is what an error calls the Service."""
        choices = list(self._ready(namespace, name, port_name))
        if not choices:
            raise errors.service_unavailable(f"no endpoints available for service {shown(asked or name)}")
        address, port = random.choice(choices)
        return Endpoint(checked_address(address), port)

    def _ready(self, namespace: str, name: str, port_name: str) -> Iterator[tuple[str, int]]:
        for piece in self._reader.list(SLICES, namespace):
            if labels_of(piece).get(SERVICE_NAME) != name or piece.get("addressType") == "FQDN":
                continue
            ports = [p["port"] for p in piece.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
            for endpoint in piece.get("endpoints") or () if ports else ():
                if dig(endpoint, "conditions", "ready", default=True) and not self._is_simulated(endpoint.get("nodeName")):
                    yield from ((address, port) for address in endpoint.get("addresses") or () for port in ports)

    def _is_simulated(self, node: str | None) -> bool:
        found = self._reader.get(NODES, "", node) if node else None
        return found is not None and is_simulated(found)
