"""Names and amounts of resources in lists such as limits, capacities and quotas.

Native names have no domain (`cpu`, `requests.memory`) or the domain `kubernetes.io`; every other qualified name is an
extended resource, counted in whole units. Source: API concepts, "Resource units"; recorded messages.
"""
from __future__ import annotations

from tiffin.api.checks import NOT_NEGATIVE, named
from tiffin.machinery import names, quantity
from tiffin.machinery.field import FieldError, invalid

STANDARD_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_COMPUTE = frozenset((
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage",
))
_OBJECTS = frozenset((
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports",
    "services.loadbalancers",
))
STANDARD_QUOTA = _COMPUTE | _OBJECTS | {"requests.storage"}
STANDARD = STANDARD_QUOTA | {"storage"}
_INTEGERS = _OBJECTS
HUGE_PAGES, ATTACHABLE, REQUESTS_HUGE_PAGES = "hugepages-", "attachable-volumes-", "requests.hugepages-"


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """An extended resource: a domain of its own, and no `requests.` in front."""
    return not is_native(name) and not name.startswith("requests.") and not names.is_qualified_name(f"requests.{name}")


def is_integer(name: str) -> bool:
    """Whether amounts of this resource are whole numbers."""
    return name in _INTEGERS or is_extended(name)


def name_errors(name: str, path: str) -> list[FieldError]:
    """A resource name of any kind."""
    errors = named(name, path, names.is_qualified_name)
    if errors:
        return errors
    if "/" not in name and name not in STANDARD and not name.startswith((HUGE_PAGES, REQUESTS_HUGE_PAGES)):
        return [invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def container_name_errors(name: str, path: str) -> list[FieldError]:
    """A resource name in a container's requests and limits."""
    errors = name_errors(name, path)
    if "/" not in name:
        if name not in STANDARD_CONTAINER and not name.startswith(HUGE_PAGES):
            errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))
    return errors


def quota_name_errors(name: str, path: str) -> list[FieldError]:
    """A resource name in a quota."""
    errors = name_errors(name, path)
    if "/" not in name and name not in STANDARD_QUOTA and not name.startswith((HUGE_PAGES, REQUESTS_HUGE_PAGES)):
        errors.append(invalid(path, name, "must be a standard resource for quota"))
    return errors


def quantity_errors(name: str, value: str, path: str) -> list[FieldError]:
    """An amount of a resource: not negative, and whole where the resource comes in units."""
    if quantity.sign(value) < 0:
        errors = [invalid(path, value, NOT_NEGATIVE)]
    else:
        errors = []
    if is_integer(name) and quantity.to_milli(value) % 1000:
        errors.append(invalid(path, value, "must be an integer"))
    return errors
