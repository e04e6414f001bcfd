"""EndpointSlices of Services without a selector: copies of the Endpoints that somebody wrote for them.

Rules
* Endpoints are mirrored while there is a Service of their name without a selector, and they neither say
  `endpointslice.kubernetes.io/skip-mirror: "true"` nor are used for leader election.
* Of a subset the first 1,000 addresses are mirrored; addresses of each family are in slices of their own.
* Slices are owned by the Endpoints and go with them; where mirroring ends earlier, they are deleted.

Source: KEP-752 and Kubernetes' EndpointSlice mirroring controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tiffin.controllers import services as s
from tiffin.controllers.config import Config
from tiffin.controllers.endpointslice import MANAGED_BY, deletion
from tiffin.controllers.owners import controller_reference
from tiffin.controllers.resources import ENDPOINT_SLICES, ENDPOINTS, EVENTS_RULE, SERVICES
from tiffin.controllers.slices import Endpoint, Group, Ports, canonical, identity, pack
from tiffin.controllers.writing import changed
from tiffin.machinery.names import parse_ip
from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, labels_of, meta, name_of, namespace_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, PolicyRule, RecordEvent, View, Watch

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ADDRESSES = 1000
FAMILIES = ("IPv4", "IPv6")


def slice_keys(each: Object, view: View) -> Iterable[Key]:
    return s.service_key(each) if labels_of(each).get(MANAGED_BY) == MANAGER else ()


def mirrors(endpoints: Object | None, service: Object | None) -> bool:
    """Whether these Endpoints are to be mirrored."""
    if endpoints is None or service is None or is_deleting(endpoints) or dig(service, "spec", "selector"):
        return False
    return labels_of(endpoints).get(SKIP) != "true" and LEADER not in annotations_of(endpoints)


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    endpoints = view.get(ENDPOINTS, *key)
    existing = [e for e in view.by_index(ENDPOINT_SLICES, "service", f"{key.namespace}/{key.name}") if labels_of(e).get(MANAGED_BY) == MANAGER]
    if endpoints is None or not mirrors(endpoints, view.get(SERVICES, *key)):
        return Changes([deletion(each) for each in existing])
    changes: list[Change] = [deletion(each) for each in existing if not s.is_owned(each, endpoints)]
    for family in FAMILIES:
        owned = [e for e in existing if e.get("addressType") == family and s.is_owned(e, endpoints)]
        packing = pack(owned, groups(endpoints, family), MAX_ADDRESSES, placeholder=False)
        for old in [old for old, _ in packing.update] + packing.keep:
            content = next((content for each, content in packing.update if each is old), None)
            filled = {"endpoints": content.endpoints, "ports": content.ports or None} if content else {}
            metadata = {**meta(old), "labels": mirrored_labels(endpoints), "annotations": mirrored_annotations(endpoints)}
            if not metadata["annotations"] and "annotations" not in meta(old):
                del metadata["annotations"]
            changes += changed(ENDPOINT_SLICES, old, {**old, **filled, "metadata": metadata})
        changes += [Create(ENDPOINT_SLICES, _new(endpoints, family, content.ports, content.endpoints)) for content in packing.create]
        changes += [deletion(each) for each in packing.delete]
    return Changes([*changes, *skipped(endpoints)] if changes else ())


def groups(endpoints: Object, family: str) -> dict[Ports, Group]:
    found: dict[Ports, Group] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": port.get("name") or "", **{k: port[k] for k in ("protocol", "port", "appProtocol") if port.get(k) is not None}} for port in subset.get("ports") or ()]
        group = Group(ports)
        given = [(address, ready) for field, ready in (("addresses", True), ("notReadyAddresses", False)) for address in subset.get(field) or ()]
        for address, ready in given[:MAX_ADDRESSES]:
            parsed = parse_ip(address.get("ip") or "")
            if parsed is not None and f"IPv{parsed.version}" == family:
                endpoint = _endpoint(address, ready)
                group.endpoints[identity(endpoint)] = endpoint
        if group.endpoints:
            found.setdefault(canonical(ports), Group(ports)).endpoints.update(group.endpoints)
    return found


def _endpoint(address: Object, ready: bool) -> Endpoint:
    more = {field: address[field] for field in ("targetRef", "nodeName", "hostname") if address.get(field)}
    return {"addresses": [address["ip"]], "conditions": {"ready": ready}, **more}


def skipped(endpoints: Object) -> list[RecordEvent]:
    """What of these Endpoints is not mirrored."""
    too_many = invalid = 0
    for subset in endpoints.get("subsets") or ():
        given = [*(subset.get("addresses") or ()), *(subset.get("notReadyAddresses") or ())]
        too_many += max(0, len(given) - MAX_ADDRESSES)
        invalid += sum(parse_ip(address.get("ip") or "") is None for address in given[:MAX_ADDRESSES])
    events = []
    if invalid:
        events.append(RecordEvent(endpoints, "Warning", "InvalidIPAddress", f"Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices"))
    if too_many:
        text = f"A max of {MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. {too_many} addresses were skipped"
        events.append(RecordEvent(endpoints, "Warning", "TooManyAddressesToMirror", text))
    return events


def mirrored_labels(endpoints: Object) -> dict[str, str]:
    return {**labels_of(endpoints), s.SERVICE_NAME: name_of(endpoints), MANAGED_BY: MANAGER}


def mirrored_annotations(endpoints: Object) -> dict[str, str]:
    return {name: value for name, value in annotations_of(endpoints).items() if name not in (LAST_APPLIED, s.TRIGGER_TIME)}


def _new(endpoints: Object, family: str, ports: list[Object], content: list[Endpoint]) -> Object:
    metadata: Object = {
        "generateName": f"{name_of(endpoints)}-", "namespace": namespace_of(endpoints), "labels": mirrored_labels(endpoints),
        "ownerReferences": [controller_reference({"apiVersion": "v1", "kind": "Endpoints", **endpoints})],
    }  # fmt: skip
    if annotations := mirrored_annotations(endpoints):
        metadata["annotations"] = annotations
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": family, "endpoints": content, "ports": ports}


def controller(config: Config) -> Controller:
    watches = (
        Watch(ENDPOINTS),
        Watch(SERVICES, changed=s.service_differs),
        Watch(ENDPOINT_SLICES, keys=slice_keys, indexes={"service": s.slice_index}),
    )
    rules = (
        PolicyRule(("",), ("endpoints", "services"), ("get", "list", "watch")),
        PolicyRule(("",), ("endpoints/finalizers", "services/finalizers"), ("update",)),
        PolicyRule(("discovery.k8s.io",), ("endpointslices",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        EVENTS_RULE,
    )
    return Controller("endpointslicemirroring-controller", watches, reconcile, rules)
