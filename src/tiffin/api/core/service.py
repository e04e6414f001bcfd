"""Service: a name and an address for a set of pods.

Addresses and node ports are allocated by the apiserver between `prepare…` and `validate`; it asks `address_errors`
(`service_validation.py`) first. Which fields a type has is in `service_fields.py`.
"""
from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tiffin.api.checks import cidr_warnings, ip_warnings
from tiffin.api.core import service_fields as fields
from tiffin.api.core.service_validation import TOPOLOGY_HINTS, TOPOLOGY_MODE, change_errors, load_balancer_status_errors, service_errors
from tiffin.api.kind import Column, Context, Kind, Subresource
from tiffin.api.printing import AGE, NAME
from tiffin.api.strategy import keep, updates_status
from tiffin.machinery import names
from tiffin.machinery.field import FieldError
from tiffin.machinery.object import Object, annotations_of, dig
from tiffin.machinery.table import NONE, UNKNOWN, age, joined, labels, name

AFFINITY_SECONDS = 10800


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})
    spec["type"] = spec.get("type") or "ClusterIP"
    _default_affinity(spec)
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.setdefault("port", 0)
    if fields.is_external(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if fields.needs_address(spec):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for point in dig(obj, "status", "loadBalancer", "ingress", default=[]):
            if point.get("ip"):
                point.setdefault("ipMode", "VIP")


def _default_affinity(spec: dict[str, Any]) -> None:
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP" and dig(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") is None:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}


def prepare_for_create(obj: Object, context: Context) -> None:
    obj["status"] = {"loadBalancer": {}}
    fields.sync_addresses(obj["spec"], None)
    fields.infer_families(obj["spec"])


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    keep(new, old, "status")
    after, before = new["spec"], old["spec"]
    fields.put_back(after, before)
    fields.sync_addresses(after, before)
    fields.drop_type_dependent(after, before)
    fields.downgrade(after, before)
    fields.infer_families(after)
    if before.get("type") == "LoadBalancer" and after.get("type") != "LoadBalancer":
        new["status"] = (new.get("status") or {}) | {"loadBalancer": {}}


def validate(obj: Object, context: Context) -> list[FieldError]:
    return service_errors(obj)


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return change_errors(new.get("spec") or {}, old.get("spec") or {}) + service_errors(new, old)


def validate_status(new: Object, old: Object, context: Context) -> list[FieldError]:
    after, before = (dig(service, "status", "loadBalancer", default={}) for service in (new, old))
    return load_balancer_status_errors(after, before, dig(new, "spec", "type", default=""), "status.loadBalancer")


def validate_name(name: str, prefix: bool) -> list[str]:
    return names.is_dns1123_label(names.masked_prefix(name) if prefix else name)


def warnings(new: Object, old: Object | None) -> list[str]:
    """Said on every write, but for the addresses of Services that have none of their own."""
    spec, found = new.get("spec") or {}, []
    if TOPOLOGY_HINTS in annotations_of(new):
        found.append(f"annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead")
    kind, headless, external = spec.get("type"), fields.is_headless(spec), spec.get("externalIPs") or []
    if not headless:
        found += _each(ip_warnings, spec.get("clusterIPs"), "spec.clusterIPs")
    elif kind == "ClusterIP":
        found += [f"spec.{field} is ignored for headless services" for field in ("loadBalancerIP", "externalIPs") if spec.get(field)]
        if spec.get("sessionAffinity") != "None":
            found.append("spec.SessionAffinity is ignored for headless services")
    found += _each(ip_warnings, external, "spec.externalIPs")
    if external and not headless and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.get("loadBalancerIP"):
        found += ip_warnings(spec["loadBalancerIP"], "spec.loadBalancerIP")
    found += _each(cidr_warnings, spec.get("loadBalancerSourceRanges"), "spec.loadBalancerSourceRanges")
    if external and kind == "ExternalName":
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _each(check: Callable[[str, str], list[str]], values: list[str] | None, path: str) -> list[str]:
    return [warning for index, value in enumerate(values or ()) for warning in check(value, f"{path}[{index}]")]


def balancer_addresses(balancer: dict[str, Any]) -> list[str]:
    """The addresses or host names of a load balancer status, each once, sorted."""
    return sorted({point.get("ip") or point["hostname"] for point in balancer.get("ingress") or () if point.get("ip") or point.get("hostname")})


def external_text(obj: Object) -> str:
    """The external addresses of a Service, as far as they are known."""
    spec = obj.get("spec") or {}
    given = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return joined(given)
        case "LoadBalancer":
            return joined([*balancer_addresses(dig(obj, "status", "loadBalancer", default={})), *given], none="<pending>")
        case "ExternalName":
            return spec.get("externalName", "")
    return UNKNOWN


def ports_text(obj: Object) -> str:
    """`80:30080/TCP,443/TCP`."""
    texts = []
    for port in dig(obj, "spec", "ports", default=[]):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port', 0)}{node_port}/{port.get('protocol', '')}")
    return joined(texts)


def row(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    address = (spec.get("clusterIPs") or [NONE])[0]
    return [
        name(obj), spec.get("type", ""), address, external_text(obj), ports_text(obj), age(obj, now), labels(spec.get("selector")),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    schema="io.k8s.api.core.v1.Service",
    singular="service",
    metadata_checks="um",
    returns_deleted=True,
    short_names=("svc",),
    categories=("all",),
    subresources=(
        Subresource("proxy", verbs=("create", "delete", "get", "patch", "update"), body=("", "v1", "ServiceProxyOptions")),
        Subresource("status", updates_object=True, prepare=updates_status(), validate=validate_status),
    ),
    create_on_update=True,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    validate_name=validate_name,
    warnings=warnings,
    columns=(NAME, Column("Type"), Column("Cluster-IP"), Column("External-IP"), Column("Port(s)"), AGE, Column("Selector", priority=1)),
    row=row,
    field_selectors={
        "spec.clusterIP": lambda obj: dig(obj, "spec", "clusterIP", default=""),
        "spec.type": lambda obj: dig(obj, "spec", "type", default=""),
    },
)
