"""Names in dynamic resource allocation: drivers, pools, qualified names of attributes and capacities; and the shapes lists and maps share.

Source: API reference "resource.k8s.io/v1"; Kubernetes' validation of that group.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from tiffin.api.checks import named
from tiffin.machinery import names
from tiffin.machinery.field import FieldError, duplicate, invalid, required, too_long, too_many

LONGEST_POOL, LONGEST_DOMAIN, LONGEST_ID = 253, 63, 32
LONGEST_QUALIFIED = LONGEST_DOMAIN + 1 + LONGEST_ID
_SHORTEST_KEY = 16
_uid = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch

ItemErrors = Callable[[Any, str], list[FieldError]]


def each(items: Iterable[Any] | None, most: int | None, check: ItemErrors, path: str) -> list[FieldError]:
    """The violations of every item; of a list that is too long only that it is."""
    items = list(items or ())
    if most is not None and len(items) > most:
        return [too_many(path, len(items), most)]
    return [error for index, item in enumerate(items) for error in check(item, f"{path}[{index}]")]


def each_of_set(
    items: Iterable[Any] | None, most: int | None, check: ItemErrors, key: Callable[[Any], Hashable], path: str, shown: Callable[[Any], Any] | None = None,
) -> list[FieldError]:
    """As `each`, and no key may come twice; `shown` is what the message calls the key, which is the key itself unless given."""
    items = list(items or ())
    errors = each(items, most, check, path)
    if most is not None and len(items) > most:
        return errors
    seen = set()
    for index, item in enumerate(items):
        if key(item) in seen:
            errors.append(duplicate(f"{path}[{index}]", shown(item) if shown else key(item)))
        seen.add(key(item))
    return errors


def each_of_map(
    items: Mapping[str, Any] | None, most: int | None, longest: int, check_key: ItemErrors, check: ItemErrors, path: str,
) -> list[FieldError]:
    """The violations of keys and values, by key."""
    items = items or {}
    if most is not None and len(items) > most:
        return [too_many(path, len(items), most)]
    errors: list[FieldError] = []
    for key, item in sorted(items.items()):
        here = f"{path}[{_shortened(key, longest)}]"
        errors += check_key(key, here) + check(item, here)
    return errors


def _shortened(key: str, longest: int) -> str:
    longest = max(longest, _SHORTEST_KEY)
    if len(key) <= longest:
        return key
    kept = longest - len("...")
    return f"{key[: (kept + 1) // 2]}...{key[len(key) - kept // 2 :]}"


def itself(item: Any) -> Any:
    """The key of items that are their own."""
    return item


def label(value: str | None, path: str) -> list[FieldError]:
    return named(value, path, names.is_dns1123_label)


def label_name(value: str | None, path: str) -> list[FieldError]:
    return named(value, path, names.is_qualified_name)


def driver_errors(name: str | None, path: str) -> list[FieldError]:
    """The name of a driver: a domain name of any case, no longer than a label."""
    if not name:
        return [required(path)]
    errors = [] if len(name.encode()) <= LONGEST_DOMAIN else [too_long(path, LONGEST_DOMAIN)]
    return errors + [invalid(path, name, complaint) for complaint in names.is_dns1123_subdomain(name.lower())]


def pool_errors(name: str | None, path: str) -> list[FieldError]:
    """The name of a pool: domain names with slashes between."""
    if not name:
        return [required(path)]
    errors = [] if len(name.encode()) <= LONGEST_POOL else [too_long(path, LONGEST_POOL)]
    return errors + [error for part in name.split("/") for error in named(part, path, names.is_dns1123_subdomain)]


def qualified_errors(name: str, path: str) -> list[FieldError]:
    """An attribute's or capacity's name: an identifier, perhaps with the domain that defines it."""
    parts = name.split("/")
    if len(parts) == 1:
        return _identifier_errors(name, path)
    if len(parts) > 2:
        return [invalid(path, name, "must not contain more than one slash")]
    errors = driver_errors(parts[0], path) if parts[0] else [invalid(path, "", "the domain must not be empty")]
    return errors + (_identifier_errors(parts[1], path) if parts[1] else [invalid(path, "", "the name must not be empty")])


def fully_qualified_errors(name: str, path: str) -> list[FieldError]:
    """A name that needs its domain, because it is no single driver's."""
    errors = qualified_errors(name, path)
    if "/" not in name:
        errors.append(invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash"))
    return errors


def _identifier_errors(name: str, path: str) -> list[FieldError]:
    errors = [] if len(name.encode()) <= LONGEST_ID else [too_long(path, LONGEST_ID)]
    return errors + named(name, path, names.is_c_identifier)


def uid_errors(uid: str, path: str) -> list[FieldError]:
    """A UUID in its usual form, in lower case."""
    if _uid(uid):
        return []
    words = _uuid_fault(uid)
    if words:
        return [invalid(path, uid, f"error validating uid: {words}")]
    return [invalid(path, uid, "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters")]


_HEX = "[0-9a-fA-F]"
_dashed = re.compile("-".join(f"{_HEX}{{{n}}}" for n in (8, 4, 4, 4, 12))).fullmatch
_hexadecimal = re.compile(f"{_HEX}{{32}}").fullmatch
_LENGTHS = {32: "", 36: "", 38: "{}", 45: "urn:uuid:"}


def _uuid_fault(uid: str) -> str:
    """What keeps a text from being a UUID in any of its forms; empty when nothing does."""
    size = len(uid.encode())
    if size not in _LENGTHS:
        return f"invalid UUID length: {size}"
    if size == 32:
        return "" if _hexadecimal(uid) else "invalid UUID format"
    if size == 45:
        if not uid.lower().startswith("urn:uuid:"):
            return f'invalid urn prefix: "{uid[:9]}"'
        uid = uid[9:]
    if size == 38:
        if uid[0] != "{" or uid[-1] != "}":
            return "invalid bracketed UUID format"
        uid = uid[1:-1]
    return "" if _dashed(uid) else "invalid UUID format"
