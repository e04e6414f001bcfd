"""EndpointSlice: up to 1,000 endpoints of one address type. Labels count as content for its generation, annotations do not."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import immutable, ip_warnings, named, needed, one_of
from tiffin.api.core.endpoints import SHOWN
from tiffin.api.core.service_validation import PROTOCOLS, as_reached, special_ip_errors
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME, UNSET
from tiffin.api.strategy import content_of, next_generation, start_generation
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required, too_many
from tiffin.machinery.object import Object, labels_of
from tiffin.machinery.table import age, cut, name

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS, MAX_PORTS, MAX_ADDRESSES, MAX_HINTS = 1000, 20000, 100, 8


def default(obj: Object) -> None:
    obj["endpoints"], obj["ports"] = obj.get("endpoints") or None, obj.get("ports") or None
    for endpoint in obj["endpoints"] or ():
        endpoint.setdefault("conditions", {})
    for port in obj["ports"] or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _drop_topology(obj: Object, old: Object | None, context: Context) -> None:
    """The topology of endpoints is a field of a retired version: v1 keeps it where it is, and takes no new one."""
    if context.api_version == "discovery.k8s.io/v1beta1":
        return
    known = [endpoint.get("deprecatedTopology") for endpoint in (old or {}).get("endpoints") or ()]
    for endpoint in obj.get("endpoints") or ():
        if endpoint.get("deprecatedTopology") not in known:
            endpoint.pop("deprecatedTopology", None)


def prepare_for_create(obj: Object, context: Context) -> None:
    start_generation(obj, context)
    _drop_topology(obj, None, context)


def prepare_for_update(new: Object, old: Object, context: Context) -> None:
    _drop_topology(new, old, context)
    if content_of(new) != content_of(old) or labels_of(new) != labels_of(old):
        next_generation(new, old)


def validate(obj: Object, context: Context) -> list[FieldError]:
    kind = obj.get("addressType")
    errors = needed(kind, "addressType") or one_of(kind, "addressType", ADDRESS_TYPES)
    endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
    if len(endpoints) > MAX_ENDPOINTS:
        errors.append(too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
    else:
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint_errors(endpoint, kind or "", f"endpoints[{index}]")
    if len(ports) > MAX_PORTS:
        return [*errors, too_many("ports", len(ports), MAX_PORTS)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port_errors(port, f"ports[{index}]", seen)
    return errors


def _endpoint_errors(endpoint: dict[str, Any], kind: str, path: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for index, address in enumerate(addresses):
        errors += _address_errors(address, kind, f"{path}.addresses", index)
    if endpoint.get("nodeName") is not None:
        errors += named(endpoint["nodeName"], f"{path}.nodeName", names.is_dns1123_subdomain)
    if endpoint.get("hostname") is not None:
        errors += named(endpoint["hostname"], f"{path}.hostname", names.is_dns1123_label)
    return errors + _hint_errors(endpoint.get("hints") or {}, f"{path}.hints")


def _address_errors(address: str, kind: str, path: str, index: int) -> list[FieldError]:
    if kind == "FQDN":
        return named(address, f"{path}[{index}]", names.is_dns1123_subdomain)
    if kind not in ("IPv4", "IPv6"):
        return []
    parsed, complaints = as_reached(address), names.is_strict_ip(address)
    if parsed is None or complaints:
        return [invalid(f"{path}[{index}]", address, complaint) for complaint in complaints]
    errors = [] if f"IPv{parsed.version}" == kind else [invalid(path, address, f"must be an {kind} address")]
    return errors + special_ip_errors(address, f"{path}[{index}]")


def _hint_errors(hints: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, check in (("forZones", names.is_label_value), ("forNodes", names.is_dns1123_subdomain)):
        given = [hint.get("name", "") for hint in hints.get(field) or ()]
        if len(given) > MAX_HINTS:
            return [*errors, too_many(f"{path}.{field}", len(given), MAX_HINTS)]
        for index, value in enumerate(given):
            if value in given[:index]:
                errors.append(duplicate(f"{path}.{field}[{index}].name", value))
            errors += named(value, f"{path}.{field}[{index}].name", check)
    return errors


def _port_errors(port: dict[str, Any], path: str, seen: set[str]) -> list[FieldError]:
    port_name = port.get("name") or ""
    errors = named(port_name, f"{path}.name", names.is_dns1123_label) if port_name else []
    if port_name in seen:
        errors.append(duplicate(f"{path}.name", port_name))
    seen.add(port_name)
    errors += one_of(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    if port.get("appProtocol") is not None:
        errors += named(port["appProtocol"], f"{path}.appProtocol", names.is_qualified_name)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context) + immutable(new.get("addressType"), old.get("addressType"), "addressType")


def warnings(new: Object, old: Object | None) -> list[str]:
    if new.get("addressType") == "FQDN":
        return ["spec.addressType: FQDN endpoints are deprecated"]
    return [
        warning
        for index, endpoint in enumerate(new.get("endpoints") or ())
        for at, address in enumerate(endpoint.get("addresses") or ())
        for warning in ip_warnings(address, f"endpoints[{index}].addresses[{at}]")
    ]


def row(obj: Object, now: datetime) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") is not None else port.get("name") or "*" for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [name(obj), obj.get("addressType", ""), cut(ports, SHOWN) or UNSET, cut(addresses, SHOWN) or UNSET, age(obj, now)]


KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    schema="io.k8s.api.discovery.v1.EndpointSlice",
    singular="endpointslice",
    metadata_checks="m",
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
    row=row,
)
