"""How an Ingress was written before networking.k8s.io/v1: `backend` for the default one, a service's name and port side by side.

A number in `servicePort` is a port number, text is a port's name. A path without a type is ImplementationSpecific, as it was in these
versions. The annotation `kubernetes.io/ingress.class` stays what it is: an annotation.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.legacy.definitions import Fields
from tiffin.api.legacy.retired import changed, every, renamed
from tiffin.machinery.object import Object, dig

CHANGES: dict[str, Fields] = {
    "IngressSpec": {"defaultBackend": None, "backend": "*@.IngressBackend"},
    "IngressBackend": {"service": None, "serviceName": "s", "servicePort": "0x"},
    "HTTPIngressPath": {"pathType": "*s=v1.PathType;"},
}
TEXTS = {
    "IngressSpec": {"backend": "Where requests go that no rule is about."},
    "IngressBackend": {
        "": "A service or another object that requests go to.", "serviceName": "The name of the service, in the namespace of the Ingress.",
        "servicePort": "The port of the service, by number or by name."},
}
_RULES, _PATHS = ("spec", "rules"), ("http", "paths")
_SERVICE, _OLD = ("service",), ("serviceName", "servicePort")


def to_v1(obj: Object) -> Object:
    obj = changed(obj, ("spec",), lambda spec: renamed(spec, backend="defaultBackend"))
    return _with_backends(obj, "defaultBackend", _new_backend)


def from_v1(obj: Object) -> Object:
    obj = changed(obj, ("spec",), lambda spec: renamed(spec, defaultBackend="backend"))
    return _with_backends(obj, "backend", _old_backend)


def default(obj: Object) -> None:
    for rule in dig(obj, "spec", "rules", default=()):
        for path in dig(rule, "http", "paths", default=()):
            path.setdefault("pathType", "ImplementationSpecific")


def _with_backends(obj: Object, name: str, change: Any) -> Object:
    path = every(lambda path: changed(path, ("backend",), change))
    obj = changed(obj, ("spec", name), change)
    return changed(obj, _RULES, every(lambda rule: changed(rule, _PATHS, path)))


def _new_backend(old: dict[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key not in _OLD}
    port = old.get("servicePort")
    service: dict[str, Any] = {"name": old["serviceName"]} if "serviceName" in old else {}
    if port is not None:
        service["port"] = {"name": port} if isinstance(port, str) else {"number": port}
    return {"service": service, **new} if service else new


def _old_backend(new: dict[str, Any]) -> dict[str, Any]:
    old = {key: value for key, value in new.items() if key not in _SERVICE}
    service = new.get("service")
    if service is None:
        return old
    port = service.get("port") or {}
    said = {"serviceName": service["name"]} if "name" in service else {}
    if port.get("name") or port.get("number"):
        said["servicePort"] = port.get("name") or port["number"]
    return {**said, **old}
