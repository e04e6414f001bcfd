"""ServiceCIDRs: ready while they are there, and not gone before the addresses out of them are.

Rules
* A finalizer keeps a ServiceCIDR until no Service would lose its range: every address is in another range too, or there is none.
* Deletion waits ten seconds more, so that no server gives out an address of a range that goes.

Source: KEP-1880 and Kubernetes' ServiceCIDR controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from tiffin.controllers import pods as p
from tiffin.controllers.config import Config
from tiffin.controllers.resources import EVENTS_RULE, IP_ADDRESSES, NAMESPACES, SERVICE_CIDRS
from tiffin.controllers.writing import changed, status_changed
from tiffin.machinery.object import Key, Object, dig, is_deleting, key_of, labels_of, meta, name_of, replaced
from tiffin.machinery.timestamps import format_time, parse_time
from tiffin.runtime.controller import Change, Changes, Controller, Create, PolicyRule, View, Watch

DEFAULT = Key("", "kubernetes")
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
GRACE = timedelta(seconds=10)
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
READY = "Kubernetes Service CIDR is ready"
IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


def cidr_keys(obj: Object, view: View) -> Iterable[Key]:
    """This one, and those being deleted: another range may set them free."""
    return {key_of(obj), *_going(view), *([DEFAULT] if key_of(obj) == DEFAULT else [])}


def address_keys(obj: Object, view: View) -> Iterable[Key]:
    return _going(view) if view.get(IP_ADDRESSES, *key_of(obj)) is None else ()


def namespace_keys(namespace: Object, view: View) -> Iterable[Key]:
    """The first look: nothing else tells that the default range is missing."""
    return (DEFAULT,) if name_of(namespace) == "default" else ()


def _going(view: View) -> list[Key]:
    return [key_of(obj) for obj in view.list(SERVICE_CIDRS) if is_deleting(obj)]


def reconcile(config: Config, key: Key, view: View, now: datetime) -> Changes:
    obj = view.get(SERVICE_CIDRS, *key)
    if obj is None:
        return Changes((Create(SERVICE_CIDRS, default_cidr(config), ignore_exists=True),) if key == DEFAULT and config.service_cidr else ())
    finalizers = list(meta(obj).get("finalizers") or ())
    if not is_deleting(obj):
        held = replaced(obj, ("metadata", "finalizers"), [*finalizers, FINALIZER])
        writes: list[Change] = [] if FINALIZER in finalizers else [*changed(SERVICE_CIDRS, obj, held, guarded=False)]
        return Changes([*writes, *_told(obj, "True", "", READY, now)])
    if FINALIZER not in finalizers:
        return Changes()
    if not _may_go(obj, view):
        return Changes(_told(obj, "False", "Terminating", IN_USE, now))
    rest = parse_time(meta(obj)["deletionTimestamp"]) + GRACE - now
    if rest > timedelta(0):
        return Changes(requeue_after=rest)
    free = replaced(obj, ("metadata", "finalizers"), [name for name in finalizers if name != FINALIZER])
    return Changes(changed(SERVICE_CIDRS, obj, free))


def default_cidr(config: Config) -> Object:
    """The range the server was configured with, as an object."""
    metadata = {"name": DEFAULT.name, "finalizers": [FINALIZER]}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": metadata, "spec": {"cidrs": [config.service_cidr]}}


def _told(obj: Object, status: str, reason: str, message: str, now: datetime) -> list[Change]:
    before = p.condition(obj, "Ready")
    since = before["lastTransitionTime"] if before and before.get("status") == status else format_time(now)
    condition = {"type": "Ready", "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    if before == condition:
        return []
    return [*status_changed(SERVICE_CIDRS, obj, p.with_condition(obj, condition)["status"])]


def _networks(obj: Object) -> list[IPv4Network | IPv6Network]:
    return [ip_network(cidr) for cidr in dig(obj, "spec", "cidrs", default=())]


def _may_go(obj: Object, view: View) -> bool:
    """Whether every address in use would still be in a range."""
    own = _networks(obj)
    others = [network for other in view.list(SERVICE_CIDRS) if key_of(other) != key_of(obj) for network in _networks(other)]
    uncovered = [a for a in own if not any(a.version == b.version and a.subnet_of(b) for b in others)]  # type: ignore[arg-type]
    used = [ip_address(name_of(ip)) for ip in view.list(IP_ADDRESSES) if labels_of(ip).get(MANAGED_BY) == ALLOCATOR] if uncovered else []
    return not any(ip in network and not any(ip in other for other in others) for network in uncovered for ip in used)


def controller(config: Config) -> Controller:
    watches = (Watch(SERVICE_CIDRS, keys=cidr_keys), Watch(IP_ADDRESSES, keys=address_keys), Watch(NAMESPACES, keys=namespace_keys))
    rules = (
        PolicyRule(("networking.k8s.io",), ("servicecidrs",), ("create", "get", "list", "patch", "update", "watch")),
        PolicyRule(("networking.k8s.io",), ("servicecidrs/finalizers", "servicecidrs/status"), ("patch", "update")),
        PolicyRule(("networking.k8s.io",), ("ipaddresses",), ("get", "list", "watch")),
        PolicyRule(("",), ("namespaces",), ("get", "list", "watch")),
        EVENTS_RULE,
    )
    return Controller("service-cidrs-controller", watches, lambda key, view, now: reconcile(config, key, view, now), rules)
