"""What counts as a name: labels, subdomains, keys, ports, environment variables, addresses.

Every function returns the list of complaints in Kubernetes' words, empty for a valid name; the usual, valid case costs one
match of a compiled expression. Lengths are counted in bytes of UTF-8. Source: RFC 1035, RFC 1123, the API conventions.
"""
from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_UNDERSCORE_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORE_SUBDOMAIN = rf"{_UNDERSCORE_LABEL}(\.{_UNDERSCORE_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"
_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_underscore_subdomain = re.compile(_UNDERSCORE_SUBDOMAIN).fullmatch
_wildcard = re.compile(_WILDCARD).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_label_value = re.compile(_LABEL_VALUE).fullmatch
_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_config_key = re.compile(_CONFIG_KEY).fullmatch
_header = re.compile(_HEADER).fullmatch
_percent = re.compile(_PERCENT).fullmatch
_path = re.compile(_PATH).fullmatch
_env_var = re.compile(r"[ -<>-~]*").fullmatch
_port_name_characters = re.compile(r"[-a-z0-9]+").fullmatch
_letter = re.compile(r"[a-z]").search
_leading_zero = re.compile(r"(^|[.:])0[0-9]+(\.|$)").search

DNS1123_LABEL_MAX = 63
DNS1123_SUBDOMAIN_MAX = 253
DNS1035_LABEL_MAX = 63
LABEL_NAME_MAX = 63

EMPTY = "must be non-empty"


def too_long(limit: int, unit: str = "characters") -> str:
    return f"must be no more than {limit} {unit}"


def regex_message(rule: str, pattern: str, *examples: str) -> str:
    """The complaint of a name that does not match: the rule, examples and the expression."""
    shown = " or ".join(f"'{e}', " for e in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')" if examples else f"{rule} (regex used for validation is '{pattern}')"


_LABEL_MESSAGE = regex_message(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    _LABEL, "my-name", "123-abc")
_SUBDOMAIN_MESSAGE = regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
    "character", _SUBDOMAIN, "example.com")
_UNDERSCORE_MESSAGE = regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an "
    "alphanumeric character", _UNDERSCORE_SUBDOMAIN, "example.com")
_WILDCARD_MESSAGE = regex_message(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric "
    "characters, '-' or '.' and end with an alphanumeric character", _WILDCARD, "*.example.com")
_LABEL_1035_MESSAGE = regex_message(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric "
    "character", _LABEL_1035, "my-name", "abc-123")
_KEY_MESSAGE = regex_message(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED, "MyName", "my.name", "123-abc")
_LABEL_VALUE_MESSAGE = regex_message(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character", _LABEL_VALUE, "MyValue", "my_value", "12345")
_C_IDENTIFIER_MESSAGE = regex_message(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
    _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")
_CONFIG_KEY_MESSAGE = regex_message(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'", _CONFIG_KEY, "key.name", "KEY_NAME", "key-name")
_HEADER_MESSAGE = regex_message("a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name")
_PERCENT_MESSAGE = regex_message("a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%")
_ENV_VAR_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"


def _bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))


def _checked(value: str, match: object, limit: int, message: str) -> list[str]:
    found = [] if _bytes(value) <= limit else [too_long(limit)]
    if not match:
        found.append(message)
    return found


def is_dns1123_label(value: str) -> list[str]:
    """A lowercase RFC 1123 label, at most 63 bytes."""
    match = _label(value)
    if match and len(value) <= DNS1123_LABEL_MAX:
        return []
    return _checked(value, match, DNS1123_LABEL_MAX, "must not contain dots" if _subdomain(value) else _LABEL_MESSAGE)


@lru_cache(maxsize=4096)
def _valid_subdomain(value: str) -> bool:
    return len(value) <= DNS1123_SUBDOMAIN_MAX and _subdomain(value) is not None


def is_dns1123_subdomain(value: str) -> list[str]:
    """A lowercase RFC 1123 subdomain, at most 253 bytes: the usual name of an object."""
    return [] if _valid_subdomain(value) else _checked(value, _subdomain(value), DNS1123_SUBDOMAIN_MAX, _SUBDOMAIN_MESSAGE)


def is_dns1123_subdomain_with_underscore(value: str) -> list[str]:
    """A subdomain whose labels may also hold or begin with an underscore, as in DNS search paths."""
    return _checked(value, _underscore_subdomain(value), DNS1123_SUBDOMAIN_MAX, _UNDERSCORE_MESSAGE)


def is_wildcard_dns1123_subdomain(value: str) -> list[str]:
    """`*.` and a subdomain."""
    return _checked(value, _wildcard(value), DNS1123_SUBDOMAIN_MAX, _WILDCARD_MESSAGE)


def is_dns1035_label(value: str) -> list[str]:
    """A label that begins with a letter, at most 63 bytes."""
    return _checked(value, _label_1035(value), DNS1035_LABEL_MAX, _LABEL_1035_MESSAGE)


@lru_cache(maxsize=4096)
def _valid_qualified_name(value: str) -> bool:
    prefix, slash, name = value.rpartition("/")
    return (not slash or _valid_subdomain(prefix)) and len(name) <= LABEL_NAME_MAX and _qualified(name) is not None


def is_qualified_name(value: str) -> list[str]:
    """A label key: `name` or `subdomain/name`, the name part at most 63 bytes."""
    if _valid_qualified_name(value):
        return []
    parts = value.split("/")
    if len(parts) > 2:
        return [f"a valid label key {_KEY_MESSAGE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found = []
    name = parts[-1]
    if len(parts) == 2:
        found = [f"prefix part {m}" for m in (is_dns1123_subdomain(parts[0]) if parts[0] else [EMPTY])]
    if not name:
        found.append(f"name part {EMPTY}")
    elif _bytes(name) > LABEL_NAME_MAX:
        found.append(f"name part {too_long(LABEL_NAME_MAX, 'bytes')}")
    if not _qualified(name):
        found.append(f"name part {_KEY_MESSAGE}")
    return found


def is_label_value(value: str) -> list[str]:
    """The value of a label: empty, or at most 63 bytes like the name part of a key."""
    match = _label_value(value)
    if match and len(value) <= LABEL_NAME_MAX:
        return []
    found = [too_long(LABEL_NAME_MAX, "bytes")] if _bytes(value) > LABEL_NAME_MAX else []
    return found if match else [*found, _LABEL_VALUE_MESSAGE]


def is_fully_qualified_name(value: str) -> list[str]:
    """A subdomain of at least two labels, as groups and controllers have."""
    if not value:
        return [EMPTY]
    return is_dns1123_subdomain(value) or (["should be a domain with at least two segments separated by dots"] if value.count(".") < 1 else [])


def is_domain_prefixed_path(value: str) -> list[str]:
    """`domain/path`, as the controller of an IngressClass or of a signer."""
    if not value:
        return [EMPTY]
    host, slash, path = value.partition("/")
    if not slash or not host or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    found = is_dns1123_subdomain(host)
    if not _path(path):
        found.append(regex_message("Invalid path", _PATH))
    return found


def is_c_identifier(value: str) -> list[str]:
    return [] if _c_identifier(value) else [_C_IDENTIFIER_MESSAGE]


def is_env_var_name(value: str) -> list[str]:
    """The name of an environment variable: any printable ASCII but `=` (relaxed since 1.30)."""
    if not value:
        return [f"environment variable name {EMPTY}"]
    return [] if _env_var(value) else [_ENV_VAR_MESSAGE]


def _directory_complaints(value: str) -> list[str]:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def is_config_map_key(value: str) -> list[str]:
    """A key of ConfigMap or Secret data: also the name of a file."""
    return _checked(value, _config_key(value), DNS1123_SUBDOMAIN_MAX, _CONFIG_KEY_MESSAGE) + _directory_complaints(value)


def is_http_header_name(value: str) -> list[str]:
    return [] if _header(value) else [_HEADER_MESSAGE]


def is_percent(value: str) -> list[str]:
    """An integer and a percent sign."""
    return [] if _percent(value) else [_PERCENT_MESSAGE]


def is_valid_port_num(port: int) -> list[str]:
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def is_valid_port_name(value: str) -> list[str]:
    """An IANA service name: at most 15 of a-z, 0-9 and `-`, with a letter, no two hyphens in a row, none at the ends."""
    found = [too_long(15)] if _bytes(value) > 15 else []
    if not _port_name_characters(value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _letter(value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return found


def parse_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, leading zeros tolerated as Kubernetes still does on stored objects; None when it is none (zones included)."""
    if "%" in value:
        return None
    try:
        return ipaddress.ip_address(_without_leading_zeros(value) if _leading_zero(value) else value)
    except ValueError:
        return None


def _without_leading_zeros(value: str) -> str:
    head, colon, tail = value.rpartition(":")
    return head + colon + ".".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in tail.split(".")) if "." in tail else value


def is_valid_ip(value: str) -> list[str]:
    """An IPv4 or IPv6 address; leading zeros and IPv4-mapped forms pass (the legacy rule of most fields)."""
    return [] if parse_ip(value) is not None else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def is_strict_ip(value: str) -> list[str]:
    """An address without leading zeros, not an IPv4-mapped IPv6 address: the rule for fields added since 1.33."""
    address = parse_ip(value)
    if address is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    found = ["must not have leading 0s"] if _leading_zero(value) else []
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        found.append("must not be an IPv4-mapped IPv6 address")
    return found


def is_path_segment_name(value: str) -> list[str]:
    """A name that can stand in a URL path, the least any object name must satisfy."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in value]


def is_path_segment_prefix(value: str) -> list[str]:
    """The rule for a generateName: as `is_path_segment_name`, but dots alone may begin a name."""
    return [f"may not contain '{c}'" for c in "/%" if c in value]


def masked_prefix(name: str) -> str:
    """A generateName as it is validated: what will follow counts as an alphanumeric character."""
    return name[:-1] + "a" if len(name) > 1 and name.endswith("-") else name
