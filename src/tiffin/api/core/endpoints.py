"""Endpoints: the addresses behind a Service, in the deprecated form that EndpointSlices replace."""
from __future__ import annotations

from datetime import datetime
from typing import Any

from tiffin.api.checks import ip, ip_warnings, named, needed, one_of, port_number
from tiffin.api.core.service_validation import PROTOCOLS, special_ip_errors
from tiffin.api.kind import Column, Context, Kind
from tiffin.api.printing import AGE, NAME
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, required
from tiffin.machinery.object import Object
from tiffin.machinery.table import NONE, age, cut, name

SHOWN = 3


def default(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"


def validate(obj: Object, context: Context) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path, ports = f"subsets[{index}]", subset.get("ports") or []
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(field) or ()):
                errors += _address_errors(address, f"{path}.{field}[{at}]")
        for at, port in enumerate(ports):
            errors += _port_errors(port, f"{path}.ports[{at}]", len(ports) > 1)
    return errors


def _address_errors(address: dict[str, Any], path: str) -> list[FieldError]:
    errors = ip(address.get("ip"), f"{path}.ip")
    if address.get("hostname"):
        errors += named(address["hostname"], f"{path}.hostname", names.is_dns1123_label)
    if address.get("nodeName") is not None:
        errors += named(address["nodeName"], f"{path}.nodeName", names.is_dns1123_subdomain)
    return errors + ([] if errors else special_ip_errors(address["ip"], f"{path}.ip"))


def _port_errors(port: dict[str, Any], path: str, needs_name: bool) -> list[FieldError]:
    port_name = port.get("name")
    errors = needed(port_name, f"{path}.name") if needs_name else []
    if port_name:
        errors += named(port_name, f"{path}.name", names.is_dns1123_label)
    errors += port_number(port.get("port"), f"{path}.port")
    protocol = port.get("protocol")
    errors += needed(protocol, f"{path}.protocol") or one_of(protocol, f"{path}.protocol", PROTOCOLS)
    if port.get("appProtocol") is not None:
        errors += named(port["appProtocol"], f"{path}.appProtocol", names.is_qualified_name)
    return errors


def validate_update(new: Object, old: Object, context: Context) -> list[FieldError]:
    return validate(new, context)


def warnings(new: Object, old: Object | None) -> list[str]:
    """Addresses that are not in their canonical form."""
    if old is not None and new.get("subsets") == old.get("subsets"):
        return []
    return [
        warning
        for index, subset in enumerate(new.get("subsets") or ())
        for field in ("addresses", "notReadyAddresses")
        for at, address in enumerate(subset.get(field) or ())
        for warning in ip_warnings(address.get("ip", ""), f"subsets[{index}].{field}[{at}].ip")
    ]


def endpoints_text(obj: Object) -> str:
    if not obj.get("subsets"):
        return NONE
    texts: list[str] = []
    for subset in obj["subsets"]:
        addresses = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or []
        texts += [host_port(address, port.get("port", 0)) for port in ports for address in addresses] if ports else addresses
    return cut(texts, SHOWN)


def host_port(address: str, port: int) -> str:
    """`10.0.0.1:80` or `[::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def row(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), endpoints_text(obj), age(obj, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    schema="io.k8s.api.core.v1.Endpoints",
    singular="endpoints",
    metadata_checks="um",
    short_names=("ep",),
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    create_on_update=True,
    default=default,
    validate=validate,
    validate_update=validate_update,
    warnings=warnings,
    columns=(NAME, Column("Endpoints"), AGE),
    row=row,
)
