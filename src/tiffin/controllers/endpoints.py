"""Endpoints of Services with a selector: the deprecated, single object that EndpointSlices replace.

Rules
* Addresses that are ready, or published anyway, are told from those that are not; pods that are being deleted have none.
* Addresses with the same ports form a subset. Order means nothing and is kept by address, so that nothing changes without cause.
* At most 1,000 addresses; an annotation tells when some were left out, unready ones first.
* The object goes with the Service, also one that somebody else made under its name.

Source: Kubernetes' endpoints controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from tiffin.controllers import pods as p
from tiffin.controllers import services as s
from tiffin.controllers.config import Config
from tiffin.controllers.resources import ENDPOINTS, EVENTS_RULE, PODS, SERVICES
from tiffin.controllers.slices import Ports, canonical
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, annotations_of, dig, is_deleting, key_of, labels_of, meta, name_of, namespace_of, uid_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, Later, PolicyRule, View, Watch

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
CAPACITY = 1000
MANY, BATCH = 100, timedelta(milliseconds=500)
"""From so many addresses on changes are gathered for half a second: one object holds them all, and its readers are few."""


def pod_keys(pod: Object, view: View) -> Iterator[Key | Later]:
    for service in s.services_of(pod, view):
        key = key_of(service)
        stored = view.get(ENDPOINTS, *key)
        many = sum(len(subset.get("addresses") or ()) for subset in (stored or {}).get("subsets") or ()) > MANY
        yield Later(key, BATCH) if many else key


def endpoints_keys(endpoints: Object, view: View) -> Iterable[Key]:
    """Those of a Service, and those this controller made for one that is gone; users' own may come before their Service."""
    key = key_of(endpoints)
    return (key,) if view.get(SERVICES, *key) is not None or labels_of(endpoints).get(MANAGED_BY) == MANAGER else ()


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    service, stored = view.get(SERVICES, *key), view.get(ENDPOINTS, *key)
    if service is None:
        return Changes((Delete(ENDPOINTS, *key, uid=uid_of(stored)),) if stored else ())
    if not s.selects(service) or is_deleting(service):
        return Changes()
    pods = s.pods_of(service, view)
    wanted, is_cut = subsets(service, pods)
    labels = {label: value for label, value in labels_of(service).items() if label not in (MANAGED_BY, s.HEADLESS)}
    labels |= ({s.HEADLESS: ""} if s.is_headless(service) else {}) | {MANAGED_BY: MANAGER}
    return Changes(_written(service, stored, pods, wanted, labels, is_cut))


def _written(service: Object, stored: Object | None, pods: Sequence[Object], wanted: list[Object], labels: dict[str, str], is_cut: bool) -> list[Change]:
    old = stored or {}
    is_same = (old.get("subsets") or []) == wanted and labels_of(old) == labels and (annotations_of(old).get(OVER_CAPACITY) == "truncated") == is_cut
    if stored is not None and is_same:
        return []
    annotations = {name: value for name, value in annotations_of(old).items() if name not in (s.TRIGGER_TIME, OVER_CAPACITY)}
    if moment := _trigger(service, stored, pods):
        annotations[s.TRIGGER_TIME] = moment
    if is_cut:
        annotations[OVER_CAPACITY] = "truncated"
    metadata: Object = {**meta(old), "name": name_of(service), "namespace": namespace_of(service), "labels": labels}
    if annotations or "annotations" in metadata:
        metadata["annotations"] = annotations
    new = {"apiVersion": "v1", "kind": "Endpoints", **old, "metadata": metadata, "subsets": wanted}
    if stored is None:
        return [Create(ENDPOINTS, new, ignore_exists=True)]
    if not wanted:
        del new["subsets"]
    return list(changed(ENDPOINTS, stored, new))


def _trigger(service: Object, stored: Object | None, pods: Iterable[Object]) -> str | None:
    """When that happened which this write tells of, as far as pods say; for new Endpoints the birth of the Service."""
    if stored is None:
        return meta(service).get("creationTimestamp")
    known = {address["ip"]: place for subset in stored.get("subsets") or () for place in ("addresses", "notReadyAddresses") for address in subset.get(place) or ()}
    moved = [pod for pod in pods if known.get(dig(pod, "status", "podIP")) != ("addresses" if p.is_ready(pod) else "notReadyAddresses")]
    return min((time for pod in moved if (time := (p.condition(pod, "Ready") or {}).get("lastTransitionTime"))), default=None)


# --- subsets ---------------------------------------------------------------------------------------------------------------


def subsets(service: Object, pods: Iterable[Object]) -> tuple[list[Object], bool]:
    """The subsets, and whether addresses had to be left out."""
    publishes = bool(dig(service, "spec", "publishNotReadyAddresses"))
    by_ports: dict[Ports, tuple[list[Object], list[Object], list[Object]]] = {}
    for pod in pods:
        if not s.may_have_endpoints(pod, terminating=publishes) or not (publishes or p.node_name(pod)):
            continue
        address, ports = _address(pod, service), _ports(pod, service)
        if address is None or ports is None:
            continue
        ready, unready, _ = by_ports.setdefault(canonical(ports), ([], [], ports))
        (ready if publishes or p.is_ready(pod) else unready).append(address)
    kept = _capped(list(by_ports.values()))
    is_cut = sum(len(ready) + len(unready) for ready, unready, _ in by_ports.values()) > CAPACITY
    return [_subset(*entry) for _, entry in sorted(zip(by_ports, kept)) if entry[0] or entry[1]], is_cut


def _address(pod: Object, service: Object) -> Object | None:
    family = (dig(service, "spec", "ipFamilies", default=()) or ["IPv4"])[0]
    found = s.addresses(pod, family)
    if not found:
        return None
    reference = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
    host, node = s.hostname(pod, service), p.node_name(pod)
    return {"ip": found[0], **({"hostname": host} if host else {}), **({"nodeName": node} if node else {}), "targetRef": reference}


def _ports(pod: Object, service: Object) -> list[Object] | None:
    """The ports of this pod; None where it has none of those the Service names. A headless Service may do without."""
    declared = dig(service, "spec", "ports", default=())
    if not declared:
        return [] if s.is_headless(service) else None
    found = []
    for port in declared:
        number = s.target_port(pod, port)
        if number is not None:
            name = {"name": port["name"]} if port.get("name") else {}
            protocol = {"appProtocol": port["appProtocol"]} if port.get("appProtocol") is not None else {}
            found.append({**name, "port": number, "protocol": port.get("protocol") or "TCP", **protocol})
    return found or None


def _capped(entries: list[tuple[list[Object], list[Object], list[Any]]]) -> list[tuple[list[Object], list[Object], list[Any]]]:
    """The entries with at most `CAPACITY` addresses in all, ready ones before others."""
    room = CAPACITY
    kept: list[tuple[list[Object], list[Object], list[Any]]] = []
    for ready, _, ports in entries:
        kept.append((ready[:room], [], ports))
        room -= len(kept[-1][0])
    for index, (_, unready, ports) in enumerate(entries):
        kept[index] = (kept[index][0], unready[:room], ports)
        room -= len(kept[index][1])
    return kept


def _subset(ready: list[Object], unready: list[Object], ports: list[Object]) -> Object:
    parts = {"addresses": _ordered(ready), "notReadyAddresses": _ordered(unready), "ports": ports}
    return {name: value for name, value in parts.items() if value}


def _ordered(addresses: list[Object]) -> list[Object]:
    return sorted(addresses, key=lambda address: (address["ip"], address["targetRef"]["uid"]))


def controller(config: Config) -> Controller:
    watches = (
        Watch(SERVICES, indexes={"selector": s.selector_index}, changed=s.service_differs),
        Watch(PODS, keys=pod_keys, indexes={"label": s.label_index}, changed=s.endpoints_differ),
        Watch(ENDPOINTS, keys=endpoints_keys),
    )
    rules = (
        PolicyRule(("",), ("pods", "services"), ("get", "list", "watch")),
        PolicyRule(("",), ("endpoints",), ("create", "delete", "get", "list", "patch", "update", "watch")),
        PolicyRule(("",), ("endpoints/restricted",), ("create",)),
        EVENTS_RULE,
    )
    return Controller("endpoint-controller", watches, reconcile, rules)
