"""Which fields a Service of a type has, and what happens to them when the type changes.

A field that the server filled in and a client left out is put back on update; a field that belongs to the old type only is
dropped when the client did not touch it. Cluster addresses and node ports themselves are chosen by the apiserver.
"""
from __future__ import annotations

from typing import Any

from tiffin.api.checks import family_of

Spec = dict[str, Any]

HEADLESS = "None"
CLUSTER_FAMILIES = ("IPv4",)
"""The IP families the cluster has Service addresses of, the default one first."""


def is_headless(spec: Spec) -> bool:
    return (spec.get("clusterIPs") or [""])[0] == HEADLESS


def needs_address(spec: Spec) -> bool:
    """Whether a Service has cluster addresses, or says that it wants none."""
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_ports(spec: Spec) -> bool:
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def needs_health_port(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_external(spec: Spec) -> bool:
    """Whether the Service can be reached from outside, and so has an external traffic policy."""
    return spec.get("type") in ("NodePort", "LoadBalancer") or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def put_back(new: Spec, old: Spec) -> None:
    """Values the server chose that the client left out of an update."""
    if needs_address(new) and needs_address(old):
        if not new.get("clusterIP") and old.get("clusterIP"):
            new["clusterIP"] = old["clusterIP"]
        if not new.get("clusterIPs") and new.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
            new["clusterIPs"] = list(old["clusterIPs"])
    if needs_node_ports(new) and needs_node_ports(old):
        chosen = {port.get("name", ""): port.get("nodePort", 0) for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            if not port.get("nodePort") and chosen.get(port.get("name", "")):
                port["nodePort"] = chosen[port.get("name", "")]
    if needs_health_port(new) and needs_health_port(old) and not new.get("healthCheckNodePort") and old.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old["healthCheckNodePort"]


def sync_addresses(new: Spec, old: Spec | None) -> None:
    """`clusterIP` and the first of `clusterIPs` are one value; a client may manage either."""
    address, addresses = new.get("clusterIP") or "", new.get("clusterIPs") or []
    if old is None:
        if address and not addresses:
            new["clusterIPs"] = [address]
        return
    before, all_before = old.get("clusterIP") or "", old.get("clusterIPs") or []
    if address == before:
        if all_before and not addresses:
            new["clusterIPs"] = list(all_before)
    elif addresses == all_before:
        if address:
            new["clusterIPs"] = [address]
        else:
            new.pop("clusterIPs", None)


def drop_type_dependent(new: Spec, old: Spec) -> None:
    """Fields of the old type that the new one has not, where the client left them as they were."""
    if needs_address(old) and new.get("type") == "ExternalName":  # an unknown type is told to be unknown, and nothing else
        _drop_unchanged(new, old, "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
        if "clusterIPs" not in new:
            new.pop("clusterIP", None)
    if needs_node_ports(old) and not needs_node_ports(new) and _node_ports(new) == _node_ports(old):
        for port in new.get("ports") or ():
            port.pop("nodePort", None)
    if needs_health_port(old) and not needs_health_port(new):
        _drop_unchanged(new, old, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        _drop_unchanged(new, old, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if is_external(old) and not is_external(new):
        _drop_unchanged(new, old, "externalTrafficPolicy")


def _node_ports(spec: Spec) -> set[int]:
    return {port.get("nodePort", 0) for port in spec.get("ports") or ()}


def _drop_unchanged(new: Spec, old: Spec, *fields: str) -> None:
    for field in fields:
        if new.get(field) == old.get(field):
            new.pop(field, None)


def infer_families(spec: Spec) -> None:
    """Policy and families where a client left them out: one family, but both for headless Services without a selector."""
    if not needs_address(spec):
        return
    any_family = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = "RequireDualStack" if any_family else "SingleStack"
    families = list(spec.get("ipFamilies") or ())
    for address in (spec.get("clusterIPs") or ())[len(families):]:
        family = family_of(address)
        if address == HEADLESS or family not in CLUSTER_FAMILIES or family in families:
            break
        families.append(family)
    if not families and not _foreign(spec):
        families = [CLUSTER_FAMILIES[0]]
    if any_family and len(families) == 1 and spec["ipFamilyPolicy"] != "SingleStack":
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")
    if families:
        spec["ipFamilies"] = families


def _foreign(spec: Spec) -> bool:
    """Whether the first address asked for is of a family the cluster has not."""
    first = (spec.get("clusterIPs") or [HEADLESS])[0]
    return first != HEADLESS and bool(family_of(first)) and family_of(first) not in CLUSTER_FAMILIES


def downgrade(new: Spec, old: Spec) -> None:
    """Leaving dual stack gives up the second family and address, unless the client named others."""
    if new.get("ipFamilyPolicy") != "SingleStack" or old.get("ipFamilyPolicy") in (None, "SingleStack"):
        return
    for field in ("clusterIPs", "ipFamilies"):
        if len(new.get(field) or ()) == 2 and new.get(field) == old.get(field):
            new[field] = new[field][:1]
