"""Checks that many kinds share: numbers, addresses, percentages, names inside specs. Each answers with field errors.

Names of objects and metadata are checked in `machinery/`; what is here belongs to specs and statuses.
"""
from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tiffin.machinery import names
from tiffin.machinery.field import FieldError, invalid, not_supported, quoted, required

NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
CIDR_MESSAGE = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def not_negative(value: int | None, path: str) -> list[FieldError]:
    """None counts as 0."""
    return [invalid(path, value, NOT_NEGATIVE)] if value is not None and value < 0 else []


def immutable(new: Any, old: Any, path: str, shown: Any = ...) -> list[FieldError]:
    """An update may not change this value; a missing one equals an empty one. `shown` replaces the value in the message."""
    return [invalid(path, new if shown is ... else shown, IMMUTABLE)] if (new or None) != (old or None) else []


def named(value: str | None, path: str, check: Callable[[str], list[str]]) -> list[FieldError]:
    """Each complaint of a name check (`machinery.names`) as an error of the field."""
    return [invalid(path, value or "", complaint) for complaint in check(value or "")]


def needed(value: Any, path: str, detail: str = "") -> list[FieldError]:
    return [] if value else [required(path, detail)]


def one_of(value: str | None, path: str, supported: Iterable[str]) -> list[FieldError]:
    """`supported` in the order to print."""
    choices = tuple(supported)
    return [] if value in choices else [not_supported(path, value or "", choices)]


def port_number(value: int | None, path: str) -> list[FieldError]:
    return [invalid(path, value or 0, complaint) for complaint in names.is_valid_port_num(value or 0)]


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def port_number_or_name(value: int | str | None, path: str) -> list[FieldError]:
    complaints = names.is_valid_port_name(value) if isinstance(value, str) else names.is_valid_port_num(value or 0)
    return [invalid(path, value or 0 if not isinstance(value, str) else value, complaint) for complaint in complaints]


_LONGEST_NUMBER = 18
"""Digits that are read of a number: enough to tell that it is too large."""
_percent = re.compile("([0-9]+)%").fullmatch


def percent_of(value: Any) -> int | None:
    """The number of a percentage text, None for anything else."""
    match = _percent(value) if isinstance(value, str) else None
    return int(match[1].lstrip("0")[:_LONGEST_NUMBER] or 0) if match else None


def int_or_percent(value: Any, path: str) -> list[FieldError]:
    """A count that is not negative, or a percentage."""
    if is_integer(value):
        return not_negative(value, path)
    return [invalid(path, value, complaint) for complaint in names.is_percent(str(value))]


def int_or_percent_value(value: Any) -> int:
    """The number of a count or percentage; 0 for text that is no percentage and for None."""
    return value if is_integer(value) else percent_of(value) or 0


def at_most_hundred_percent(value: Any, path: str) -> list[FieldError]:
    percent = percent_of(value)
    return [invalid(path, value, "must not be greater than 100%")] if percent is not None and percent > 100 else []


def ip(value: str | None, path: str, known: Collection[str] = ()) -> list[FieldError]:
    """An address without leading zeros and not an IPv4-mapped one. What was stored before (`known`) is not looked at again."""
    return [] if value in known else named(value, path, names.is_strict_ip)


def parse_cidr(value: str) -> tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, bool] | None:
    """The address and prefix of a CIDR and whether it is written as new ones must be; None where it is no CIDR."""
    address, slash, length = value.partition("/")
    parsed = names.parse_ip(address) if slash else None
    if parsed is None or not length.isdecimal() or not length.isascii() or len(length) > _LONGEST_NUMBER or int(length) > parsed.max_prefixlen:
        return None
    return ipaddress.ip_interface(f"{parsed}/{int(length)}"), names.is_strict_ip(address) == [] and length == str(int(length))


def cidr(value: str | None, path: str, known: Collection[str] = ()) -> list[FieldError]:
    """A network: no leading zeros, no IPv4-mapped address, no host bits. What was stored before (`known`) is not looked at again."""
    if value in known:
        return []
    parsed = parse_cidr(value or "")
    if parsed is None:
        return [invalid(path, value or "", CIDR_MESSAGE)]
    interface, is_strict = parsed
    found = []
    if not is_strict:
        mapped = interface.version == 6 and interface.ip.ipv4_mapped is not None
        words = "must not have an IPv4-mapped IPv6 address" if mapped else "must not have leading 0s in IP or prefix length"
        found.append(invalid(path, value, words))
    if interface.ip != interface.network.network_address:
        found.append(invalid(path, value, "must not have bits set beyond the prefix length"))
    return found


def canonical_cidr(value: str | None, path: str) -> list[FieldError]:
    """A network in its one canonical form, as fields that are newer ask for."""
    found = cidr(value, path)
    if found or value is None:
        return found
    canonical = str(ipaddress.ip_network(value))
    return [] if value == canonical else [invalid(path, value, f"must be in canonical form ({quoted(canonical)})")]


def ip_warnings(address: str, path: str) -> list[str]:
    """What is dubious in an address that is accepted all the same: a form other clients read differently, or one of several spellings."""
    parsed = names.parse_ip(address)
    if parsed is None:
        return []
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        shown = quoted(str(parsed))
        return [] if str(parsed) == address else [f"{path}: IPv6 address {quoted(address)} should be in RFC 5952 canonical format ({shown})"]
    plain = str(parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else parsed)
    if plain == address:
        return []
    return [f"{path}: non-standard IP address {quoted(address)} will be considered invalid in a future Kubernetes release: use {quoted(plain)}"]


def cidr_warnings(value: str, path: str) -> list[str]:
    """What is dubious in a network that is accepted all the same."""
    parsed = parse_cidr(value)
    if parsed is None:
        return []
    interface, is_strict = parsed
    network, found = str(interface.network), []
    if interface.ip != interface.network.network_address:
        single = f"{interface.ip}/{interface.max_prefixlen}"
        found.append(f"{path}: CIDR value {quoted(value)} is ambiguous in this context (should be {quoted(network)} or {quoted(single)}?)")
    if not is_strict:
        found.append(f"{path}: non-standard CIDR value {quoted(value)} will be considered invalid in a future Kubernetes release: use {quoted(network)}")
    if not found and interface.version == 6 and network != value:
        found.append(f"{path}: IPv6 CIDR value {quoted(value)} should be in RFC 5952 canonical format ({quoted(network)})")
    return found


def family_of(address: str) -> str:
    """`IPv4` or `IPv6` for an address or CIDR, an empty text for anything else."""
    parsed = names.parse_ip(address.partition("/")[0])
    return f"IPv{parsed.version}" if parsed else ""


def label_keys_and_values(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Labels anywhere in a spec, such as the selector of a Service: errors name the map, not the key."""
    found: list[FieldError] = []
    for key, value in sorted((labels or {}).items()):
        found += named(key, path, names.is_qualified_name)
        found += named(value, path, names.is_label_value)
    return found
