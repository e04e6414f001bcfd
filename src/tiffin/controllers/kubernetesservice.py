"""The Services a cluster has of itself: `kubernetes`, the API server, and `kube-dns`, the DNS of every node.

Rules
* Both are made when missing, at the first and at the tenth address of the range of Services, and made again when deleted.
* `kubernetes` points to the server's own address, in Endpoints and an EndpointSlice that are kept right. Nothing may point to a loopback
  address, so a server that listens there only has neither.
* `kube-dns` has no endpoints: every node answers at its address itself.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from ipaddress import ip_address, ip_network

from tiffin.controllers.config import Config
from tiffin.controllers.endpointslicemirroring import SKIP
from tiffin.controllers.resources import ENDPOINT_SLICES, ENDPOINTS, EVENTS_RULE, NAMESPACES, SERVICES
from tiffin.controllers.services import SERVICE_NAME
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, Resource, dig, is_deleting, key_of, labels_of, meta, name_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, PolicyRule, View, Watch

API, DNS = Key("default", "kubernetes"), Key("kube-system", "kube-dns")
DNS_ADDRESS = 10
"""Which address of the range is the cluster's DNS."""


def own_keys(obj: Object, view: View) -> Iterable[Key]:
    return (key_of(obj),) if key_of(obj) in (API, DNS) else ()


def api_keys(obj: Object, view: View) -> Iterable[Key]:
    return (API,) if key_of(obj) == API else ()


def namespace_keys(namespace: Object, view: View) -> Iterable[Key]:
    """The first look: nothing else tells that these Services are missing."""
    return [key for key in (API, DNS) if key.namespace == name_of(namespace) and not is_deleting(namespace)]


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    if not config.service_cidr:
        return Changes()
    if key == DNS:
        return Changes(() if view.get(SERVICES, *DNS) else (Create(SERVICES, dns_service(config), ignore_exists=True),))
    return Changes([*_service(config, view), *_endpoints(config, view)])


def dns_service(config: Config) -> Object:
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    return _named(SERVICES, "Service", DNS, labels, spec={"type": "ClusterIP", "clusterIP": _nth(config, DNS_ADDRESS), "ports": ports})


def api_service(config: Config) -> Object:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": config.api_port}]
    spec = {"type": "ClusterIP", "clusterIP": _nth(config, 1), "sessionAffinity": "None", "ports": ports}
    return _named(SERVICES, "Service", API, labels, spec=spec)


def _nth(config: Config, number: int) -> str:
    return str(ip_network(config.service_cidr)[number])


def _named(resource: Resource, kind: str, key: Key, labels: dict[str, str], **content: object) -> Object:
    return {"apiVersion": resource.api_version, "kind": kind, "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels}, **content}


def _service(config: Config, view: View) -> Iterator[Change]:
    stored, wanted = view.get(SERVICES, *API), api_service(config)
    if stored is None:
        yield Create(SERVICES, wanted, ignore_exists=True)
    elif stored["spec"].get("ports") != wanted["spec"]["ports"] or stored["spec"].get("type") != "ClusterIP" or dig(stored, "spec", "selector"):
        spec = {name: value for name, value in stored["spec"].items() if name != "selector"}
        yield from changed(SERVICES, stored, {**stored, "spec": {**spec, "type": "ClusterIP", "ports": wanted["spec"]["ports"]}})


def _endpoints(config: Config, view: View) -> Iterator[Change]:
    reachable = config.api_address != "" and not ip_address(config.api_address).is_loopback
    ports = [{"name": "https", "port": config.api_port, "protocol": "TCP"}]
    subsets = [{"addresses": [{"ip": config.api_address}], "ports": ports}]
    yield from _kept(view, ENDPOINTS, _named(ENDPOINTS, "Endpoints", API, {SKIP: "true"}, subsets=subsets), reachable)
    family = "IPv6" if ":" in config.api_address else "IPv4"
    endpoints = [{"addresses": [config.api_address], "conditions": {"ready": True}}]
    content = {"addressType": family, "endpoints": endpoints, "ports": ports}
    yield from _kept(view, ENDPOINT_SLICES, _named(ENDPOINT_SLICES, "EndpointSlice", API, {SERVICE_NAME: API.name}, **content), reachable)


def _kept(view: View, resource: Resource, wanted: Object, reachable: bool) -> Iterator[Change]:
    stored = view.get(resource, *API)
    if stored is None:
        if reachable:
            yield Create(resource, wanted, ignore_exists=True)
    elif not reachable:
        yield Delete(resource, *API)
    else:
        labels = {**labels_of(stored), **labels_of(wanted)}
        yield from changed(resource, stored, {**stored, **wanted, "metadata": {**meta(stored), "labels": labels}})


def controller(config: Config) -> Controller:
    watches = (
        Watch(SERVICES, keys=own_keys),
        Watch(ENDPOINTS, keys=api_keys),
        Watch(ENDPOINT_SLICES, keys=api_keys),
        Watch(NAMESPACES, keys=namespace_keys),
    )
    rules = (
        PolicyRule(("",), ("namespaces",), ("get", "list", "watch")),
        PolicyRule(("",), ("endpoints", "services"), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("endpoints/restricted",), ("create",)),
        PolicyRule(("discovery.k8s.io",), ("endpointslices",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("kubernetes-service-controller", watches, lambda key, view, now: reconcile(config, key, view, now), rules, component="kube-apiserver")
