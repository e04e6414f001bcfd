"""Names of the reverse trees: which address `4.3.2.1.in-addr.arpa` or a nibble name under `ip6.arpa` stands for. RFC 1035, RFC 3596."""
from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

_NIBBLES = frozenset("0123456789abcdef")


def address_of(labels: Sequence[str]) -> IPv4Address | IPv6Address | None:
    """None for a name that stands for no single address. `labels` in lower case, the address' last part first."""
    match labels:
        case [*parts, "in-addr", "arpa"] if len(parts) == 4 and all(map(_is_octet, parts)):
            return IPv4Address(".".join(reversed(parts)))
        case [*parts, "ip6", "arpa"] if len(parts) == 32 and all(part in _NIBBLES for part in parts):
            return IPv6Address(int("".join(reversed(parts)), 16))
    return None


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and (text == "0" or text[0] != "0") and int(text) < 256
