"""What one changed pod costs the endpoint controllers: CPU of finding the Services, planning, and computing the writes.

`python -m bench.endpoints [services] [pods per service]`; no server, no IO: caches are filled in this process.
"""
from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from tiffin.controllers import endpoints, endpointslice
from tiffin.controllers.config import Config
from tiffin.controllers.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from tiffin.machinery.object import Object, key_of
from tiffin.runtime.controller import Controller, Create, Later
from tiffin.runtime.snapshot import Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROUNDS = 200


def pod(service: int, number: int, ready: bool = True) -> Object:
    ip = f"10.{service // 250}.{service % 250}.{number % 250}"
    labels = {"app": f"s{service}", "pod-template-hash": f"h{service}", "tier": "web"}
    status = {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    metadata = {"namespace": "default", "name": f"p{service}-{number}", "uid": f"u{service}-{number}", "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": f"n{number % 10}", "containers": []}, "status": status}


def service(number: int) -> Object:
    spec = {"selector": {"app": f"s{number}", "tier": "web"}, "clusterIP": "10.96.0.1", "ipFamilies": ["IPv4"], "ports": [{"name": "h", "port": 80, "targetPort": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": f"s{number}", "uid": f"us{number}", "labels": {}}, "spec": spec}


def measure(module: Any, services: int, each: int) -> float:
    """Seconds of CPU per changed pod."""
    control: Controller = module.controller(Config())
    objects = {SERVICES: [service(n) for n in range(services)], PODS: [pod(n, m) for n in range(services) for m in range(each)],
               NODES: [{"metadata": {"name": f"n{m}", "labels": {"topology.kubernetes.io/zone": "z"}}} for m in range(10)]}
    view = Snapshot(control, objects, NOW)
    made: dict[Any, list[Object]] = {ENDPOINT_SLICES: [], ENDPOINTS: []}
    for svc in objects[SERVICES]:
        for change in control.reconcile(key_of(svc), view, NOW).changes:
            assert isinstance(change, Create)
            metadata = {**change.obj["metadata"], "name": f"{svc['metadata']['name']}-{len(made[change.resource])}"} if module is endpointslice else change.obj["metadata"]
            made[change.resource].append({**change.obj, "metadata": metadata})
    view = Snapshot(control, objects | made | {PODS: [pod(n, m, ready=m > 0) for n in range(services) for m in range(each)]}, NOW)
    (watch,) = [w for w in control.watches if w.resource == PODS]
    assert watch.keys is not None
    begun = time.process_time()
    for number in range(ROUNDS):
        for key in watch.keys(pod(number % services, 0, ready=False), view):
            assert control.reconcile(key.key if isinstance(key, Later) else key, view, NOW).changes
    return (time.process_time() - begun) / ROUNDS


def main() -> None:
    services, each = int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 10
    for module in (endpointslice, endpoints):
        print(f"{module.__name__.rpartition('.')[2]}: {measure(module, services, each) * 1000:.2f} ms of CPU for a changed pod ({services} services of {each} pods)")


if __name__ == "__main__":
    main()
