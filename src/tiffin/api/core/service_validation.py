"""What a Service must be, in the order and words of the API.

`address_errors` are found before addresses are allocated and stand alone; the rest is `service_errors` and `change_errors`.
"""
from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from tiffin.api.checks import cidr, family_of, ip, named, needed, one_of, port_number, port_number_or_name
from tiffin.api.core.service_fields import CLUSTER_FAMILIES, HEADLESS, Spec, is_external, is_headless, needs_address, needs_health_port
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiffin.machinery.object import Object, annotations_of, dig
from tiffin.machinery.validation import validate_labels

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
TRAFFIC_POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
TOPOLOGY_MODE, TOPOLOGY_HINTS = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
LONGEST_AFFINITY = 86400
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"


# --- addresses and families ----------------------------------------------------------------------------------------------


def address_errors(service: Object) -> list[FieldError]:
    """What makes it impossible to allocate addresses, as found (and reported) before anything else."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    return _related_errors(spec) or _multiple_errors(spec) or _cluster_errors(spec)


def _multiple_errors(spec: Spec) -> list[FieldError]:
    if spec.get("ipFamilyPolicy") != "SingleStack":
        return []
    words = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
    counted = (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families"))
    return [
        invalid("spec.ipFamilyPolicy", "SingleStack", words.format(name)) for field, name in counted if len(spec.get(field) or ()) == 2
    ]


def _cluster_errors(spec: Spec) -> list[FieldError]:
    """What this cluster has not."""
    addresses, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    errors = []
    for index, address in enumerate(addresses):
        if address == HEADLESS:
            break
        if index >= len(families) and family_of(address) not in CLUSTER_FAMILIES:
            errors.append(invalid(f"spec.clusterIPs[{index}]", addresses, f"{family_of(address)} is not configured on this cluster"))
    if errors or (spec.get("clusterIP") == HEADLESS and not spec.get("selector")):
        return errors
    if spec.get("ipFamilyPolicy") == "RequireDualStack" and len(CLUSTER_FAMILIES) < 2:
        errors.append(invalid("spec.ipFamilyPolicy", "RequireDualStack", "this cluster is not configured for dual-stack services"))
    return errors + [
        invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
        for index, family in enumerate(families) if family not in CLUSTER_FAMILIES
    ]


def _related_errors(spec: Spec) -> list[FieldError]:
    """How addresses, families and policy fit together."""
    addresses = spec.get("clusterIPs") or []
    errors = _sync_errors(spec.get("clusterIP") or "", addresses)
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in FAMILIES:
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, POLICIES))
    faults = _ip_errors(addresses)
    if len(addresses) > 2:
        errors.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if faults:
        return errors + faults
    if len(addresses) > 1 and len({family_of(address) for address in addresses}) < 2:
        errors.append(invalid("spec.clusterIPs", addresses, "may specify no more than one IP for each IP family"))
    return errors + _family_mismatches(addresses, families)


def _sync_errors(address: str, addresses: list[str]) -> list[FieldError]:
    if not address:
        return [invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified")] if addresses else []
    if not addresses:
        return [required("spec.clusterIPs")]
    return [] if addresses[0] == address else [invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")]


def _ip_errors(addresses: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == HEADLESS:
            if len(addresses) > 1:
                errors.append(invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
                break
        else:
            errors += named(address, f"spec.clusterIPs[{index}]", names.is_strict_ip)
    return errors


def _family_mismatches(addresses: list[str], families: list[str]) -> list[FieldError]:
    if addresses[:1] == [HEADLESS]:
        return []
    return [
        invalid(f"spec.clusterIPs[{index}]", address, f"expected an {family} value as indicated by `ipFamilies[{index}]`")
        for index, (address, family) in enumerate(zip(addresses, families)) if family in FAMILIES and family_of(address) != family
    ]


# --- the whole Service ---------------------------------------------------------------------------------------------------


def service_errors(service: Object, old: Object | None = None) -> list[FieldError]:
    """Violations of a whole Service; external addresses and source ranges that the `old` one has are not looked at again."""
    spec = service.get("spec") or {}
    ports = spec.get("ports") or []
    errors = _topology_errors(annotations_of(service))
    if not ports and not is_headless(spec) and spec.get("type") != "ExternalName":
        errors.append(required("spec.ports"))
    errors += _type_errors(spec)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port_errors(port, f"spec.ports[{index}]", len(ports) > 1, seen)
    errors += validate_labels(spec.get("selector"), "spec.selector")
    errors += _affinity_errors(spec)
    errors += _related_errors(spec) if spec.get("type") != "ExternalName" else []
    known = dig(old, "spec", "externalIPs", default=())
    for index, address in enumerate(spec.get("externalIPs") or ()):
        errors += ip(address, f"spec.externalIPs[{index}]", known) or special_ip_errors(address, f"spec.externalIPs[{index}]")
    errors += needed(spec.get("type"), "spec.type") or one_of(spec.get("type"), "spec.type", TYPES)
    errors += _port_clashes(spec, ports)
    errors += _load_balancer_errors(service, spec, old)
    return errors + _traffic_errors(spec)


def _topology_errors(annotations: Mapping[str, str]) -> list[FieldError]:
    mode, hints = annotations.get(TOPOLOGY_MODE), annotations.get(TOPOLOGY_HINTS)
    if mode is None or hints is None or mode == hints:
        return []
    return [invalid(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, f"must match annotations[{TOPOLOGY_HINTS}] when both are specified")]


def _type_errors(spec: Spec) -> list[FieldError]:
    kind = spec.get("type")
    if kind == "ExternalName":
        return _external_name_errors(spec)
    errors: list[FieldError] = []
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        errors.append(invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {kind} services"))
    return errors


def _external_name_errors(spec: Spec) -> list[FieldError]:
    fields = ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
    errors = [forbidden(f"spec.{field}", "may not be set for ExternalName services") for field in fields if spec.get(field)]
    target = (spec.get("externalName") or "").removesuffix(".")
    return errors + (named(target, "spec.externalName", names.is_dns1123_subdomain) if target else [required("spec.externalName")])


def _port_errors(port: dict[str, Any], path: str, needs_name: bool, seen: set[str]) -> list[FieldError]:
    name, errors = port.get("name") or "", []
    if name:
        errors += named(name, f"{path}.name", names.is_dns1123_label)
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    elif needs_name:
        errors.append(required(f"{path}.name"))
    errors += port_number(port.get("port"), f"{path}.port")
    protocol = port.get("protocol")
    errors += needed(protocol, f"{path}.protocol") or one_of(protocol, f"{path}.protocol", PROTOCOLS)
    errors += port_number_or_name(port.get("targetPort"), f"{path}.targetPort")
    if port.get("appProtocol") is not None:
        errors += named(port["appProtocol"], f"{path}.appProtocol", names.is_qualified_name)
    return errors


def _affinity_errors(spec: Spec) -> list[FieldError]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    errors = needed(affinity, "spec.sessionAffinity") or one_of(affinity, "spec.sessionAffinity", ("ClientIP", "None"))
    if affinity == "None" and config is not None:
        errors.append(forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None"))
    if affinity == "ClientIP":
        path, seconds = "spec.sessionAffinityConfig.clientIP", dig(config, "clientIP", "timeoutSeconds")
        if seconds is None:
            errors.append(required(f"{path}.timeoutSeconds" if dig(config, "clientIP") is not None else path))
        elif not 0 < seconds <= LONGEST_AFFINITY:
            words = f"must be greater than 0 and less than {LONGEST_AFFINITY}"
            errors.append(invalid(f"{path}.timeoutSeconds", seconds, words))
    return errors


_SPECIAL = (
    ("is_unspecified", "may not be unspecified (0.0.0.0 or ::)"),
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
)


def as_reached(address: str) -> IPv4Address | IPv6Address | None:
    """The address packets would be sent to, None for no address: an IPv4-mapped IPv6 address is IPv4."""
    parsed = names.parse_ip(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def special_ip_errors(address: str, path: str) -> list[FieldError]:
    """Addresses no traffic should be sent to on behalf of others, in whatever spelling: this host's own, the link's, those of many."""
    parsed = as_reached(address)
    if parsed is None:
        return [invalid(path, address, "must be a valid IP address")]
    errors = [invalid(path, address, words) for test, words in _SPECIAL if getattr(parsed, test)]
    link_multicast = int(parsed) >> 8 == 0xE00000 if parsed.version == 4 else int(parsed) >> 112 == 0xFF02
    if link_multicast:
        errors.append(invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))
    elif parsed.is_multicast:  # Kubernetes lets these pass; nothing that a Service stands for is there
        errors.append(invalid(path, address, "may not be in the multicast range (224.0.0.0/4, ff00::/8)"))
    return errors


def _port_clashes(spec: Spec, ports: list[dict[str, Any]]) -> list[FieldError]:
    errors = []
    if spec.get("type") == "ClusterIP":
        words = "may not be used when `type` is 'ClusterIP'"
        errors += [forbidden(f"spec.ports[{i}].nodePort", words) for i, port in enumerate(ports) if port.get("nodePort")]
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort"):
            errors += [duplicate(f"spec.ports[{index}].nodePort", port["nodePort"])] if pair in seen else []
            seen.add(pair)
    seen.clear()
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("port"))
        if pair in seen:
            shown = {"Name": "", "Protocol": pair[0], "AppProtocol": None, "Port": pair[1], "TargetPort": 0, "NodePort": 0}
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        seen.add(pair)
    return errors


def _load_balancer_errors(service: Object, spec: Spec, old: Object | None) -> list[FieldError]:
    balanced = spec.get("type") == "LoadBalancer"
    errors: list[FieldError] = []
    ranges, note = spec.get("loadBalancerSourceRanges"), annotations_of(service).get(SOURCE_RANGES)
    if ranges:
        path, known = "spec.LoadBalancerSourceRanges", [value.strip() for value in dig(old, "spec", "loadBalancerSourceRanges", default=())]
        errors += [] if balanced else [forbidden(path, _ONLY_LOAD_BALANCER)]
        errors += [error for index, value in enumerate(ranges) for error in cidr(value.strip(), f"{path}[{index}]", known)]
    elif note is not None:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        errors += [] if balanced else [forbidden(path, _ONLY_LOAD_BALANCER)]
        if note.strip() and (old is None or annotations_of(old).get(SOURCE_RANGES) != note):
            errors += [error for value in note.strip().split(",") for error in cidr(value.strip(), path)]
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    return errors + _class_errors(spec)


def _class_errors(spec: Spec) -> list[FieldError]:
    value, path = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if value is None:
        return []
    return named(value, path, names.is_qualified_name) if spec.get("type") == "LoadBalancer" else [forbidden(path, _ONLY_LOAD_BALANCER)]


def _traffic_errors(spec: Spec) -> list[FieldError]:
    external, internal = spec.get("externalTrafficPolicy") or "", spec.get("internalTrafficPolicy")
    errors: list[FieldError] = []
    if not is_external(spec):
        if external:
            errors.append(invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"))
    else:
        errors += needed(external, "spec.externalTrafficPolicy") or one_of(external, "spec.externalTrafficPolicy", TRAFFIC_POLICIES)
    if spec.get("healthCheckNodePort") and not needs_health_port(spec):
        words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], words))
    if internal is not None:
        errors += one_of(internal, "spec.internalTrafficPolicy", TRAFFIC_POLICIES)
    elif needs_address(spec):
        errors.append(required("spec.internalTrafficPolicy"))
    if spec.get("trafficDistribution") is not None:
        errors += one_of(spec["trafficDistribution"], "spec.trafficDistribution", DISTRIBUTIONS)
    return errors


# --- changes -------------------------------------------------------------------------------------------------------------


def change_errors(new: Spec, old: Spec) -> list[FieldError]:
    """What an update may not change: the first address and family, the class of a load balancer, the port of its health checks."""
    errors: list[FieldError] = []
    if "ExternalName" not in (new.get("type"), old.get("type")):
        if not (is_headless(new) and is_headless(old)):
            errors += _kept_addresses(new, old)
        if not is_headless(new) and not is_headless(old):
            errors += _kept_families(new, old)
    if new.get("type") == old.get("type") == "LoadBalancer" and new.get("loadBalancerClass") != old.get("loadBalancerClass"):
        errors.append(invalid("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set"))
    errors += _class_errors(new)
    if needs_health_port(new) and needs_health_port(old) and new.get("healthCheckNodePort") != old.get("healthCheckNodePort"):
        errors.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def _kept_addresses(new: Spec, old: Spec) -> list[FieldError]:
    after, before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    if before and not after:
        return [invalid("spec.clusterIPs[0]", after, "primary clusterIP can not be unset")]
    checked = len(before) if len(before) == len(after) else 1
    errors = [
        invalid(f"spec.clusterIPs[{i}]", after, "may not change once set")
        for i, (a, b) in enumerate(zip(after[:checked], before[:checked])) if a != b
    ]
    return errors + (_released(new, "clusterIP") if len(after) < len(before) else [])


def _kept_families(new: Spec, old: Spec) -> list[FieldError]:
    """As addresses, but always told of the first one; where their number changes, the addresses are shown."""
    after, before = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    path, words = "spec.ipFamilies[0]", "may not change once set"
    if len(after) == len(before):
        return [invalid(path, after, words) for a, b in zip(after, before) if a != b]
    addresses = new.get("clusterIPs") or []
    is_less = len(after) < len(before)
    errors = [invalid(path, after, "primary ipFamily can not be unset")] if is_less and not addresses else []
    if after and before and after[0] != before[0]:
        errors.append(invalid(path, addresses, words))
    return errors + (_released(new, "ipFamily") if is_less and after else [])


def _released(new: Spec, word: str) -> list[FieldError]:
    if new.get("ipFamilyPolicy") == "SingleStack":
        return []
    return [invalid("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), f"must be set to 'SingleStack' when releasing the secondary {word}")]


def load_balancer_status_errors(balancer: dict[str, Any], old: dict[str, Any], service_type: str, path: str) -> list[FieldError]:
    """The addresses a load balancer reports; those that the `old` status has are not looked at again."""
    ingress = balancer.get("ingress") or []
    if service_type != "LoadBalancer" and ingress:
        return [forbidden(f"{path}.ingress", "may only be used when `spec.type` is 'LoadBalancer'")]
    errors: list[FieldError] = []
    known = [point.get("ip") for point in old.get("ingress") or ()]
    for index, point in enumerate(ingress):
        here = f"{path}.ingress[{index}]"
        if point.get("ip"):
            errors += ip(point["ip"], f"{here}.ip", known)
        errors += _ip_mode_errors(point, f"{here}.ipMode") + hostname_errors(point.get("hostname"), f"{here}.hostname")
    return errors


def _ip_mode_errors(point: dict[str, Any], path: str) -> list[FieldError]:
    mode = point.get("ipMode")
    if mode is None:
        return [required(path, "must be specified when `ip` is set")] if point.get("ip") else []
    if not point.get("ip"):
        return [forbidden(path, "may not be specified when `ip` is not set")]
    return one_of(mode, path, ("Proxy", "VIP"))


def hostname_errors(hostname: str | None, path: str) -> list[FieldError]:
    """The host name of a load balancer: a DNS name, not an address."""
    if not hostname:
        return []
    errors = named(hostname, path, names.is_dns1123_subdomain)
    if names.parse_ip(hostname) is not None:
        errors.append(invalid(path, hostname, "must be a DNS name, not an IP address"))
    return errors
