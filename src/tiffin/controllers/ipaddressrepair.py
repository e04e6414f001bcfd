"""IPAddress objects and Services made to agree again where somebody changed one by hand.

The server writes both together, so what differs was either changed by others or is not all seen yet: nothing is judged before some
seconds have passed. A key with a namespace is a Service, one without is an IPAddress.

Source: Kubernetes' repair loop of cluster addresses, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from tiffin.controllers.servicecidrs import ALLOCATOR, MANAGED_BY
from tiffin.machinery.names import parse_ip
from tiffin.machinery.object import Key, Object, dig, key_of, labels_of, name_of, namespace_of, uid_of
from tiffin.runtime.controller import Change, Changes, Controller, Create, Delete, Later, PolicyRule, RecordEvent, View, Watch, no_keys

FAMILY = "ipaddress.kubernetes.io/ip-family"
SETTLING, LEAK_GRACE = timedelta(seconds=5), timedelta(seconds=60)


def cluster_ips(service: Object | None) -> list[str]:
    return [ip for ip in dig(service, "spec", "clusterIPs", default=()) if ip and ip != "None"]


def service_keys(service: Object, view: View) -> Iterator[Later]:
    """Services whose addresses are not, or not yet, theirs; and what a Service that is gone may have left."""
    is_gone = view.get(SERVICES, *key_of(service)) is None
    for ip in cluster_ips(service):
        obj = view.get(IP_ADDRESSES, "", ip)
        if is_gone and obj is not None:
            yield Later(key_of(obj), SETTLING)
        elif not is_gone and not _agrees(obj, service):
            yield Later(key_of(service), SETTLING)


def address_keys(obj: Object, view: View) -> Iterator[Later]:
    parent = _parent(obj)
    service = view.get(SERVICES, *parent)
    if view.get(IP_ADDRESSES, *key_of(obj)) is None:
        if service is not None:
            yield Later(parent, SETTLING)
    elif labels_of(obj).get(MANAGED_BY) == ALLOCATOR and name_of(obj) not in cluster_ips(service):
        yield Later(key_of(obj), SETTLING)


def _parent(obj: Object) -> Key:
    return Key(dig(obj, "spec", "parentRef", "namespace", default=""), dig(obj, "spec", "parentRef", "name", default=""))


def _names_a_service(obj: Object) -> bool:
    return not dig(obj, "spec", "parentRef", "group", default="") and dig(obj, "spec", "parentRef", "resource") == "services"


def _agrees(obj: Object | None, service: Object) -> bool:
    return obj is not None and _names_a_service(obj) and _parent(obj) == key_of(service) and _is_labelled(obj)


def _family(ip: str) -> str:
    return f"IPv{ip_address(ip).version}"


def _is_labelled(obj: Object) -> bool:
    return labels_of(obj).get(MANAGED_BY) == ALLOCATOR and labels_of(obj).get(FAMILY) == _family(name_of(obj))


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    if not key.namespace:
        obj = view.get(IP_ADDRESSES, *key)
        return _address_changes(obj, view, now) if obj is not None and labels_of(obj).get(MANAGED_BY) == ALLOCATOR else Changes()
    service = view.get(SERVICES, *key)
    return Changes([change for ip in cluster_ips(service) for change in _service_changes(service, ip, view)] if service else ())


def _service_changes(service: Object, ip: str, view: View) -> Iterator[Change]:
    where, family = f"{namespace_of(service)}/{name_of(service)}", _family(ip) if parse_ip(ip) else ""
    if not family:
        yield _warning(service, "ClusterIPNotValid", f"Cluster IP {ip} is not a valid IP; please recreate Service", "ClusterIPValidation")
        return
    ranges = [ip_network(cidr) for obj in view.list(SERVICE_CIDRS) for cidr in dig(obj, "spec", "cidrs", default=())]
    if not any(ip_address(ip) in network for network in ranges):
        yield _warning(service, "ClusterIPOutOfRange", f"Cluster IP [{family}]: {ip} is not within any configured Service CIDR; please recreate service")
        return
    obj = view.get(IP_ADDRESSES, "", ip)
    if obj is None:
        yield _warning(service, "ClusterIPNotAllocated", f"Cluster IP [{family}]: {ip} is not allocated; repairing")
        yield Create(IP_ADDRESSES, address_object(ip, service), ignore_exists=True)
    elif not _agrees(obj, service):
        yield from _repaired(service, ip, obj, where, family, view)


def _repaired(service: Object, ip: str, obj: Object, where: str, family: str, view: View) -> Iterator[Change]:
    if _parent(obj) != key_of(service) and _names_a_service(obj) and ip in cluster_ips(view.get(SERVICES, *_parent(obj))):
        yield _warning(service, "ClusterIPAlreadyAllocated", f"Cluster IP [{family}]:{ip} was assigned to multiple services; please recreate service")
        return
    if not _names_a_service(obj) or _parent(obj) != key_of(service):
        yield _warning(service, "ClusterIPNotAllocated", f"the ClusterIP [{family}]: {ip} for Service {where} has a wrong reference; repairing")
    yield Delete(IP_ADDRESSES, "", ip, uid=uid_of(obj))
    yield Create(IP_ADDRESSES, address_object(ip, service))


def _address_changes(obj: Object, view: View, now: datetime) -> Changes:
    name, parent = name_of(obj), _parent(obj)
    where = f"{parent.namespace}/{parent.name}"
    service = view.get(SERVICES, *parent)
    gone = Delete(IP_ADDRESSES, "", name, uid=uid_of(obj))
    if not _names_a_service(obj):
        text = f"IPAddress {name} appears to have been modified, not referencing a Service {_shown(obj)}: cleaning up"
        return Changes([_warning(obj, "IPAddressNotAllocated", text, "IPAddressAllocation"), gone])
    if service is None:
        rest = p.created(obj) + LEAK_GRACE - now
        if rest >= timedelta(0):
            return Changes(requeue_after=rest + timedelta(seconds=1))
        text = f"IPAddress: {name} for Service {where} appears to have leaked: cleaning up"
        return Changes([_warning(obj, "IPAddressNotAllocated", text, "IPAddressAllocation"), gone])
    if name in cluster_ips(service):
        return Changes()
    text = f"IPAddress: {name} for Service {where} has a wrong reference; cleaning up"
    return Changes([_warning(obj, "IPAddressWrongReference", text, "IPAddressAllocation"), gone])


def _shown(obj: Object) -> str:
    parent = dig(obj, "spec", "parentRef", default={})
    return "&ParentReference{" + "".join(f"{field.capitalize()}:{parent.get(field) or ''}," for field in ("group", "resource", "namespace", "name")) + "}"


def _warning(obj: Object, reason: str, text: str, action: str = "ClusterIPAllocation") -> RecordEvent:
    return RecordEvent(obj, "Warning", reason, text, action)


def address_object(ip: str, service: Object) -> Object:
    labels = {FAMILY: _family(ip), MANAGED_BY: ALLOCATOR}
    parent = {"resource": "services", "namespace": namespace_of(service), "name": name_of(service)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress", "metadata": {"name": ip, "labels": labels}, "spec": {"parentRef": parent}}


def controller(config: Config) -> Controller:
    watches = (Watch(SERVICES, keys=service_keys), Watch(IP_ADDRESSES, keys=address_keys), Watch(SERVICE_CIDRS, keys=no_keys))
    rules = (
        PolicyRule(("",), ("services",), ("get", "list", "watch")),
        PolicyRule(("networking.k8s.io",), ("ipaddresses",), ("create", "delete", "get", "list", "watch")),
        PolicyRule(("networking.k8s.io",), ("servicecidrs",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("ipaddress-repair-controller", watches, reconcile, rules, component="ipallocator-repair-controller")
