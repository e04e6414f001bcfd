"""EndpointSlices of Services with a selector: where the pods are that a Service stands for.

Rules
* Every pod with an address that has not ended is an endpoint. `serving` says it is ready, `terminating` that it is being deleted, `ready`
  is both together, or always true where the Service publishes addresses that are not ready.
* Named target ports are resolved in each pod: pods with different numbers are in different slices.
* A pod on a node that is not known is left out until it is, unless unready addresses are published.
* Services whose traffic is to stay close get hints: each ready endpoint serves its own zone (and node).
* Slices are owned by the Service, and go with it. How they are filled is told in `slices.py`.

Source: Kubernetes' EndpointSlice controller, KEP-752, KEP-1672 (terminating endpoints), KEP-4444 and KEP-3015 (traffic distribution).
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from tiffin.controllers import pods as p
from tiffin.controllers import services as s
from tiffin.controllers import topologymode
from tiffin.controllers.config import Config
from tiffin.controllers.owners import controller_reference
from tiffin.controllers.podgc import node_index
from tiffin.controllers.resources import ENDPOINT_SLICES, EVENTS_RULE, NODES, PODS, SERVICES
from tiffin.controllers.slices import Content, Endpoint, Group, Packing, Port, Ports, canonical, identity, pack
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, key_of, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, Later, PolicyRule, View, Watch

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
RESERVED = (s.SERVICE_NAME, MANAGED_BY, s.HEADLESS)
ZONE = "topology.kubernetes.io/zone"
MAX_ENDPOINTS = 100
BATCH = timedelta(milliseconds=50)
"""Services of several slices wait that long for further changes: a rollout of a thousand pods is not a thousand writes of slices."""
CLOSE = ("PreferClose", "PreferSameZone", "PreferSameNode")


# --- who is concerned ------------------------------------------------------------------------------------------------------


def pod_keys(pod: Object, view: View) -> Iterator[Key | Later]:
    for service in s.services_of(pod, view):
        key = key_of(service)
        many = len(view.by_index(ENDPOINT_SLICES, "service", f"{key.namespace}/{key.name}")) > 1
        yield Later(key, BATCH) if many else key


def node_keys(node: Object, view: View) -> Iterator[Key | Later]:
    for pod in view.by_index(PODS, "node", name_of(node)):
        yield from pod_keys(pod, view)


def slice_keys(each: Object, view: View) -> Iterable[Key]:
    return s.service_key(each) if labels_of(each).get(MANAGED_BY) == MANAGER else ()


def slice_differs(old: Object, new: Object) -> bool:
    """Whether somebody changed what this controller decides."""
    return old.get("endpoints") != new.get("endpoints") or old.get("ports") != new.get("ports") or labels_of(old) != labels_of(new)


def zone_differs(old: Object, new: Object) -> bool:
    return labels_of(old).get(ZONE) != labels_of(new).get(ZONE)


# --- what there should be --------------------------------------------------------------------------------------------------


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    service = view.get(SERVICES, *key)
    if service is None or not s.selects(service):
        return Changes()
    existing = [e for e in view.by_index(ENDPOINT_SLICES, "service", f"{key.namespace}/{key.name}") if labels_of(e).get(MANAGED_BY) == MANAGER]
    pods = [pod for pod in s.pods_of(service, view) if s.may_have_endpoints(pod, terminating=True) and _is_placed(pod, service, view)]
    moments = {(namespace_of(pod), name_of(pod)): (p.condition(pod, "Ready") or {}).get("lastTransitionTime") for pod in pods}
    changes: list[Change] = []
    families = address_types(service)
    for family in families:
        owned = [e for e in existing if e.get("addressType") == family and s.is_owned(e, service)]
        found = groups(service, pods, family, view)
        written = performed(pack(owned, found, MAX_ENDPOINTS), service, family, slice_labels(service), moments)
        if topologymode.is_asked_for(service):
            ready = sum(endpoint["conditions"]["ready"] for group in found.values() for endpoint in group.endpoints.values())
            changes += topologymode.events(service, family, ready, view.list(NODES))
        changes += written
    foreign = [e for e in existing if e.get("addressType") not in families or not s.is_owned(e, service)]
    return Changes([*changes, *(deletion(each) for each in foreign)])


def address_types(service: Object) -> list[str]:
    """The families a Service has slices of."""
    families = dig(service, "spec", "ipFamilies")
    if families:
        return list(families)
    return ["IPv6" if ":" in dig(service, "spec", "clusterIP", default="") else "IPv4"]


def _is_placed(pod: Object, service: Object, view: View) -> bool:
    return bool(dig(service, "spec", "publishNotReadyAddresses")) or view.get(NODES, "", p.node_name(pod)) is not None


def groups(service: Object, pods: Iterable[Object], family: str, view: View) -> dict[Ports, Group]:
    """Endpoints by the ports they have."""
    found: dict[Ports, Group] = {}
    plain = _plain_ports(service)
    for pod in pods:
        addresses = s.addresses(pod, family)
        if not addresses:
            continue
        ports = plain if plain is not None else endpoint_ports(service, pod)
        group = found.setdefault(canonical(ports), Group(ports))
        endpoint = endpoint_of(pod, service, addresses, view)
        group.endpoints[identity(endpoint)] = endpoint
    return found


def _plain_ports(service: Object) -> list[Port] | None:
    """The ports where they are the same for every pod; None where a name has to be looked up."""
    named = any(isinstance(port.get("targetPort"), str) for port in dig(service, "spec", "ports", default=()))
    return None if named else endpoint_ports(service, {})


def endpoint_ports(service: Object, pod: Object) -> list[Port]:
    """The service's ports as this pod has them; ports it does not name are left out."""
    found = []
    for port in dig(service, "spec", "ports", default=()):
        number = s.target_port(pod, port)
        if number is not None:
            more = {"appProtocol": port["appProtocol"]} if port.get("appProtocol") is not None else {}
            found.append({"name": port.get("name") or "", "protocol": port.get("protocol") or "TCP", "port": number, **more})
    return found


def endpoint_of(pod: Object, service: Object, addresses: list[str], view: View) -> Endpoint:
    serving, terminating = p.is_ready(pod), is_deleting(pod)
    ready = bool(dig(service, "spec", "publishNotReadyAddresses")) or (serving and not terminating)
    endpoint: Endpoint = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)},
    }
    node_name = p.node_name(pod)
    if node_name:
        endpoint["nodeName"] = node_name
    if host := s.hostname(pod, service):
        endpoint["hostname"] = host
    if zone := labels_of(view.get(NODES, "", node_name) or {}).get(ZONE):
        endpoint["zone"] = zone
    if ready and (hints := hints_of(endpoint, dig(service, "spec", "trafficDistribution", default=""))):
        endpoint["hints"] = hints
    return endpoint


def hints_of(endpoint: Endpoint, distribution: str) -> Object:
    """For whom an endpoint is close."""
    hints: Object = {}
    if distribution in CLOSE and endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if distribution == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def slice_labels(service: Object) -> dict[str, str]:
    """The service's own labels and those that name the Service and the controller."""
    own = {label: value for label, value in labels_of(service).items() if label not in RESERVED}
    headless = {s.HEADLESS: ""} if s.is_headless(service) else {}
    return own | headless | {s.SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}


# --- how it comes about ----------------------------------------------------------------------------------------------------


def performed(packing: Packing, service: Object, family: str, labels: dict[str, str], moments: dict[tuple[str, str], str | None]) -> list[Change]:
    """The writes of a packing. Labels of slices whose endpoints stay are kept right, too."""
    moment = _trigger(packing, service, moments)
    wanted = [(old, _filled(old, content, labels, moment)) for old, content in packing.update]
    wanted += [(old, _labelled(old, labels)) for old in packing.keep if labels_of(old) != labels]
    writes: list[Change] = [patch for old, new in wanted for patch in changed(ENDPOINT_SLICES, old, new)]
    if not is_deleting(service):
        writes += [Create(ENDPOINT_SLICES, _new(service, family, content, labels, moment)) for content in packing.create]
    return [*writes, *(deletion(each) for each in packing.delete)]


def _trigger(packing: Packing, service: Object, moments: dict[tuple[str, str], str | None]) -> str | None:
    """When that happened which these writes tell of: the first of the pods that are new or different; for a new Service its own birth."""
    if packing.create and not (packing.update or packing.keep or packing.delete):
        return meta(service).get("creationTimestamp")
    known = {identity(e): e for old, _ in packing.update for e in old.get("endpoints") or ()}
    contents: Sequence[Content] = [*packing.create, *(content for _, content in packing.update)]
    fresh = [e for content in contents for e in content.endpoints if known.get(identity(e)) != e]
    times = [time for e in fresh if (time := moments.get((dig(e, "targetRef", "namespace", default=""), dig(e, "targetRef", "name", default=""))))]
    return min(times, default=None)


def _filled(old: Object, content: Content, labels: dict[str, str], moment: str | None) -> Object:
    annotations = {name: value for name, value in annotations_of(old).items() if name != s.TRIGGER_TIME}
    annotations |= {s.TRIGGER_TIME: moment} if moment else {}
    metadata = {**meta(old), "labels": labels, "annotations": annotations}
    if not annotations and "annotations" not in meta(old):
        del metadata["annotations"]
    return {**old, "metadata": metadata, "endpoints": content.endpoints or None, "ports": content.ports or None}


def _labelled(old: Object, labels: dict[str, str]) -> Object:
    return {**old, "metadata": {**meta(old), "labels": labels}}


def _new(owner: Object, family: str, content: Content, labels: dict[str, str], moment: str | None) -> Object:
    metadata: Object = {
        "generateName": f"{name_of(owner)}-", "namespace": namespace_of(owner), "labels": labels, "ownerReferences": [controller_reference(owner)],
    }  # fmt: skip
    if moment:
        metadata["annotations"] = {s.TRIGGER_TIME: moment}
    return {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family,
        "endpoints": content.endpoints, "ports": content.ports,
    }  # fmt: skip


def deletion(each: Object) -> Delete:
    return Delete(ENDPOINT_SLICES, *key_of(each), uid=uid_of(each))


def controller(config: Config) -> Controller:
    watches = (
        Watch(SERVICES, indexes={"selector": s.selector_index}, changed=s.service_differs),
        Watch(PODS, keys=pod_keys, indexes={"label": s.label_index, "node": node_index}, changed=s.endpoints_differ),
        Watch(NODES, keys=node_keys, changed=zone_differs),
        Watch(ENDPOINT_SLICES, keys=slice_keys, indexes={"service": s.slice_index}, changed=slice_differs),
    )
    rules = (
        PolicyRule(("",), ("nodes", "pods", "services"), ("get", "list", "watch")),
        PolicyRule(("",), ("services/finalizers",), ("update",)),
        PolicyRule(("discovery.k8s.io",), ("endpointslices",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("endpointslice-controller", watches, reconcile, rules)
