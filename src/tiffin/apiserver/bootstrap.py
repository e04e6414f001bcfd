"""What a cluster begins with: system namespaces, priority classes, the roles of RBAC, priority and fairness, APIServices. Written where missing."""
from __future__ import annotations

from collections.abc import Iterable, Set
from datetime import datetime
from typing import Any

import orjson

from tiffin.api.kind import Context
from tiffin.apiserver.aggregation.priorities import AUTO_MANAGED, built_in
from tiffin.apiserver.authz.bootstrap import bootstrap_objects, reconcile
from tiffin.apiserver.flowcontrol.bootstrap import bootstrap_objects as flow_objects
from tiffin.apiserver.ordering import ordered
from tiffin.apiserver.ports import Reader
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.writes import new_uid
from tiffin.machinery.object import Key, Object, Resource, dig, key_of, labels_of
from tiffin.machinery.timestamps import format_time
from tiffin.store.store import Store, Write

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITY_CLASSES = (
    ("system-cluster-critical", 2000000000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
    ("system-node-critical", 2000001000, "Used for system critical pods that must not be moved from their current node."))


def initial_objects() -> list[Object]:
    """Namespaces and priority classes."""
    namespaces: list[Object] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES]
    classes: list[Object] = [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, "description": text}
        for name, value, text in PRIORITY_CLASSES]
    return namespaces + classes


async def bootstrap(store: Store, reader: Reader, registry: Registry, extra: Iterable[Object], now: datetime) -> None:
    """Writes what is missing, in one batch. `extra` are the roles of controllers and the like."""
    served = {(s.api_version, s.kind.kind): s for s in registry.all_stored()}
    writes = []
    roles = []
    api_services = built_in((s.resource.group, s.resource.version) for s in registry if not s.custom)
    for obj in [*initial_objects(), *flow_objects(), *api_services, *bootstrap_objects(), *extra]:
        if obj["apiVersion"].startswith("rbac."):
            roles.append(obj)
            continue
        target = served[obj["apiVersion"], obj["kind"]]
        if store.newest(target.storage, key_of(obj)) is None:
            writes.append(new_write(target, obj, now))
    writes += _stale_api_services(store, served["apiregistration.k8s.io/v1", "APIService"], {key_of(obj) for obj in api_services})
    for resource, obj, stored in reconcile(reader, _latest(roles)):
        writes.append(_role(served_for(registry, resource), obj, stored, now))
    if writes:
        await store.commit(*writes)


def _stale_api_services(store: Store, served: Served, known: Set[Key]) -> list[Write]:
    """Takes away what stands for versions that a server has served here before, and this one does not."""
    entries = [entry for entry in store.entries(served.storage) if entry.key not in known]
    stale = [entry for entry in entries if labels_of(entry.object).get(AUTO_MANAGED) == "onstart" and not dig(entry.object, "spec", "service")]
    return [Write(served.storage, entry.key, None, entry.revision) for entry in stale]


def _latest(objects: Iterable[Object]) -> list[Object]:
    """One of each name, the last given."""
    return list({(o["kind"], key_of(o)): o for o in objects}.values())


def served_for(registry: Registry, resource: Resource) -> Served:
    served = registry.lookup(*resource)
    assert served is not None, resource
    return served


def new_write(served: Served, obj: Object, now: datetime) -> Write:
    """What creates an object of the server's own, past admission; conditions it brings begin now."""
    new: dict[str, Any] = orjson.loads(orjson.dumps(obj))
    kind = served.kind
    kind.default(new)
    kind.prepare_for_create(new, Context(now))
    if "status" in obj:
        new["status"] = {"conditions": [{**c, "lastTransitionTime": format_time(now)} for c in obj["status"]["conditions"]]}
    new["metadata"] |= {"uid": new_uid(), "creationTimestamp": format_time(now)}
    return Write(served.storage, key_of(new), ordered(new, kind.kind, kind.api_version), 0)


def _role(served: Served, obj: Object, stored: Object | None, now: datetime) -> Write:
    if stored is None:
        return new_write(served, obj, now)
    new: dict[str, Any] = orjson.loads(orjson.dumps(obj))
    new["metadata"] = dict(stored["metadata"])
    return Write(served.storage, key_of(new), ordered(new, served.kind.kind, served.kind.api_version), int(stored["metadata"]["resourceVersion"]))
