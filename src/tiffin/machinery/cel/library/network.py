"""IP addresses and ranges: ip, isIP, ip.isCanonical, cidr, isCIDR and their methods.

Zones and IPv4-mapped IPv6 addresses are refused. Source: Kubernetes' ip and cidr libraries; Go's net/netip.
"""
from __future__ import annotations

import ipaddress

from tiffin.machinery.cel.errors import EvaluationError
from tiffin.machinery.cel.functions import Library
from tiffin.machinery.cel.types import Type, opaque

IP, CIDR = opaque("net.IP"), opaque("net.CIDR")
NETWORK = Library([IP, CIDR])

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))
_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))


class IpValue:
    """An address."""

    __slots__ = ("address", "cel_type")

    def __init__(self, address: Address) -> None:
        self.cel_type: Type = IP
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IpValue) and self.address == other.address

    __hash__ = None  # type: ignore[assignment]


class CidrValue:
    """An address and how many of its bits name the network."""

    __slots__ = ("address", "bits", "cel_type")

    def __init__(self, address: Address, bits: int) -> None:
        self.cel_type: Type = CIDR
        self.address, self.bits = address, bits

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network((self.address.packed, self.bits), strict=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CidrValue) and (self.address, self.bits) == (other.address, other.bits)

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"


def _address(text: str) -> Address:
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): unable to parse IP') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _range(text: str) -> CidrValue:
    head, slash, bits = text.rpartition("/")
    what = f'network address parse error during conversion from string: network address "{text}"'
    if not slash or not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits[0] == "0") or len(bits) > 3:
        raise ValueError(f'{what}: netip.ParsePrefix("{text}"): bad bits after slash' if slash else f'{what}: netip.ParsePrefix("{text}"): no \'/\'')
    address = _address(head)
    if int(bits) > address.max_prefixlen:
        raise ValueError(f'{what}: netip.ParsePrefix("{text}"): prefix length out of range')
    return CidrValue(address, int(bits))


def _ip(text: str) -> IpValue:
    try:
        return IpValue(_address(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _cidr(text: str) -> CidrValue:
    try:
        return _range(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_ip(text: str) -> bool:
    try:
        return bool(_address(text))
    except ValueError:
        return False


def _is_cidr(text: str) -> bool:
    try:
        return bool(_range(text))
    except ValueError:
        return False


def _in(value: IpValue, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return any(value.address in network for network in networks if network.version == value.address.version)


def _is_global_unicast(value: IpValue) -> bool:
    address = value.address
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or _in(value, _LINK_LOCAL))


def _contains_ip(range_: CidrValue, value: IpValue) -> bool:
    return range_.address.version == value.address.version and value.address in range_.network


def _contains_cidr(range_: CidrValue, other: CidrValue) -> bool:
    return _contains_ip(range_, IpValue(other.address)) and range_.bits <= other.bits


_add = NETWORK.add
_add("ip", "string_to_ip", "(string) -> net.IP", _ip)
_add("ip", "cidr_ip", "net.CIDR.() -> net.IP", lambda value: IpValue(value.address))
_add("isIP", "is_ip", "(string) -> bool", _is_ip)
_add("ip.isCanonical", "ip_is_canonical", "(string) -> bool", lambda text: str(_ip(text).address) == text)
_add("string", "ip_to_string", "(net.IP) -> string", lambda value: str(value.address))
_add("family", "ip_family", "net.IP.() -> int", lambda value: value.address.version)
_add("isUnspecified", "ip_is_unspecified", "net.IP.() -> bool", lambda value: value.address.is_unspecified)
_add("isLoopback", "ip_is_loopback", "net.IP.() -> bool", lambda value: value.address.is_loopback)
_add("isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP.() -> bool", lambda value: _in(value, _LINK_LOCAL_MULTICAST))
_add("isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP.() -> bool", lambda value: _in(value, _LINK_LOCAL))
_add("isGlobalUnicast", "ip_is_global_unicast", "net.IP.() -> bool", _is_global_unicast)
_add("cidr", "string_to_cidr", "(string) -> net.CIDR", _cidr)
_add("isCIDR", "is_cidr", "(string) -> bool", _is_cidr)
_add("string", "cidr_to_string", "(net.CIDR) -> string", str)
_add("containsIP", "cidr_contains_ip_string", "net.CIDR.(string) -> bool", lambda range_, text: _contains_ip(range_, _ip(text)))
_add("containsIP", "cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool", _contains_ip)
_add("containsCIDR", "cidr_contains_cidr_string", "net.CIDR.(string) -> bool", lambda range_, text: _contains_cidr(range_, _cidr(text)))
_add("containsCIDR", "cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool", _contains_cidr)
_add("masked", "masked_cidr", "net.CIDR.() -> net.CIDR", lambda value: CidrValue(value.network.network_address, value.bits))
_add("prefixLength", "prefix_length_cidr", "net.CIDR.() -> int", lambda value: value.bits)
