"""Services, slices and nodes for the proxy's tests."""
from __future__ import annotations

from typing import Any

from tiffin.machinery.object import Object
from tiffin.proxy.config import ProxyConfig
from tiffin.proxy.state import NodeView

NODE = NodeView("node-1", "zone-a", ("10.244.1.0/24",))
CONFIG = ProxyConfig("node-1", service_cidrs=("10.96.0.0/16",), node_local_addresses=("10.96.0.10",))
HERE, THERE = "node-1", "node-2"


def port(number: int = 80, target: int = 8080, **more: Any) -> dict[str, Any]:
    return {"port": number, "protocol": "TCP", "targetPort": target, **more}


def service(name: str = "web", ip: str = "10.96.0.20", ports: list[dict[str, Any]] | None = None, ingress: list[dict[str, Any]] | None = None, **spec: Any) -> Object:
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1"},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": ports or [port()], **spec},
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def endpoint(address: str, node: str = THERE, ready: bool = True, zones: tuple[str, ...] = (), nodes: tuple[str, ...] = (), **conditions: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"addresses": [address], "conditions": {"ready": ready, **conditions}, "nodeName": node}
    hints = {key: [{"name": name} for name in names] for key, names in (("forZones", zones), ("forNodes", nodes)) if names}
    return made | ({"hints": hints} if hints else {})


def slice_of(name: str, *endpoints: dict[str, Any], ports: list[dict[str, Any]] | None = None, suffix: str = "abcde", family: str = "IPv4") -> Object:
    return {
        "metadata": {"namespace": "default", "name": f"{name}-{suffix}", "labels": {"kubernetes.io/service-name": name}, "resourceVersion": "1"},
        "addressType": family,
        "ports": ports or [{"name": "", "protocol": "TCP", "port": 8080}],
        "endpoints": list(endpoints),
    }
