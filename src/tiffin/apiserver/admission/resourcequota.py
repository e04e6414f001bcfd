"""ResourceQuota: what exceeds a quota of its namespace is refused, and what is let in is charged at once.

The charge is written to the quota's status before the object is stored, so that concurrent requests cannot exceed a quota
together; requests of one namespace are charged one after another, and a quota that changed meanwhile is read again. A charge
whose object then fails is given back by the quota controller, which counts anew. The plugin runs last: what any other
refuses is never charged. Source: Kubernetes documentation "Resource Quotas"; recorded messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from weakref import WeakValueDictionary

from tiffin.api.core.quotausage import Usage, counts_updates, matches, missing_amounts, usage
from tiffin.apiserver.admission.attributes import AdmissionAttributes, forbidden
from tiffin.apiserver.admission.chain import ANY, Plugin
from tiffin.apiserver.ports import Reader
from tiffin.machinery import errors
from tiffin.machinery.object import Object, Resource, dig, name_of, namespace_of, replaced, uid_of
from tiffin.machinery.quantity import add, compare, sign, sub

QUOTAS = Resource("", "v1", "resourcequotas")
_ATTEMPTS = 8

Charge = Callable[[Object, Object], Awaitable[bool]]
"""`await charge(new, old)` stores the quota `new` if `old` is still the stored one; False if it is not."""


class ResourceQuota(Plugin):
    resources = ANY

    def __init__(self, reader: Reader, charge: Charge) -> None:
        self._reader, self._charge = reader, charge
        self._revision = -1
        self._namespaces: frozenset[str] = frozenset()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def validate(self, a: AdmissionAttributes, obj: Object | None, old: Object | None) -> Awaitable[None] | None:
        if not a.namespace or obj is None or not _is_counted(a) or a.namespace not in self._limited():
            return None
        return self._charged(a, obj, old)

    def _limited(self) -> frozenset[str]:
        """The namespaces that have a quota."""
        revision = self._reader.revision(QUOTAS)
        if revision != self._revision:
            self._namespaces, self._revision = frozenset(namespace_of(q) for q in self._reader.list(QUOTAS)), revision
        return self._namespaces

    async def _charged(self, a: AdmissionAttributes, obj: Object, old: Object | None) -> None:
        lock = self._locks.setdefault(a.namespace, asyncio.Lock())
        async with lock:
            done: set[str] = set()
            for _ in range(_ATTEMPTS):
                quotas = [q for q in self._reader.list(QUOTAS, a.namespace) if name_of(q) not in done]
                pairs = _charges(a, obj, old, quotas)
                if a.dry_run:
                    return
                failed = False
                for new, stored in pairs:
                    if await self._charge(new, stored):
                        done.add(name_of(new))
                    else:
                        failed = True
                if not failed:
                    return
        raise errors.conflict("resourcequotas", name_of(pairs[0][0]), errors.MODIFIED)


def _is_counted(a: AdmissionAttributes) -> bool:
    if a.operation == "CREATE":
        return not a.subresource
    return counts_updates(a.resource) and a.subresource == ("resize" if a.group_resource == "pods" else "")


def _charges(a: AdmissionAttributes, obj: Object, old: Object | None, quotas: list[Object]) -> list[tuple[Object, Object]]:
    """The quotas with the object charged, each beside the stored one. Raises the 403 of the first that is exceeded."""
    concerned = [quota for quota in quotas if _concerns(a, obj, quota)]
    delta = _delta(a, obj, old)
    pairs: list[tuple[Object, Object]] = []
    for quota in concerned if delta else ():
        hard, used = dig(quota, "status", "hard", default={}), dig(quota, "status", "used", default={})
        requested = {name: amount for name, amount in delta.items() if name in hard}
        after = {**used, **{name: add(used.get(name, "0"), amount) for name, amount in requested.items()}}
        exceeded = sorted(name for name in requested if compare(after[name], hard[name]) > 0)
        if exceeded:
            message = f"requested: {_shown(requested, exceeded)}, used: {_shown(used, exceeded)}, limited: {_shown(hard, exceeded)}"
            raise forbidden(a, obj, f"exceeded quota: {name_of(quota)}, {message}")
        if requested:
            pairs.append((replaced(quota, ["status", "used"], after), quota))
    return pairs


def _concerns(a: AdmissionAttributes, obj: Object, quota: Object) -> bool:
    """Whether the quota limits anything the object uses. Raises a 403 for what has to be named or is not yet counted."""
    if not matches(quota, a.resource, obj):
        return False
    limited = [name for name in dig(quota, "status", "hard", default={}) if _is_of(a.resource, name)]
    if a.group_resource == "pods":
        missing = missing_amounts(limited, obj)
        if missing:
            listed = "; ".join(f"{name} for: {','.join(containers)}" for name, containers in missing.items())
            raise forbidden(a, obj, f"failed quota: {name_of(quota)}: must specify {listed}")
    used = dig(quota, "status", "used", default={})
    if any(name not in used for name in limited):
        raise forbidden(a, obj, f"status unknown for quota: {name_of(quota)}, resources: {','.join(sorted(limited))}")
    return bool(limited)


def _is_of(resource: Resource, name: str) -> bool:
    """Whether a quota's resource name is one that objects of `resource` use."""
    if name == f"count/{resource.group_resource}":
        return True
    if resource.group:
        return False
    if resource.plural == "pods":
        return name in ("pods", "cpu", "memory", "ephemeral-storage") or (
            name.startswith(("requests.", "limits.", "hugepages-")) and name != "requests.storage"
        )
    if resource.plural == "services":
        return name == "services" or name.startswith("services.")
    if resource.plural == "persistentvolumeclaims":
        return name in ("persistentvolumeclaims", "requests.storage") or ".storageclass.storage.k8s.io/" in name
    return name == resource.plural


def _delta(a: AdmissionAttributes, obj: Object, old: Object | None) -> Usage:
    """What the write adds; what it gives back is left to the quota controller."""
    delta = usage(a.resource, obj)
    negative = sorted(name for name, amount in delta.items() if sign(amount) < 0)
    if negative:
        raise forbidden(a, obj, f"quota usage is negative for resource(s): {','.join(negative)}")
    if old is not None and uid_of(old) == uid_of(obj):
        before = usage(a.resource, old)
        delta = {name: sub(amount, before[name]) if name in before else amount for name, amount in delta.items()}
    return {name: amount for name, amount in delta.items() if sign(amount) > 0}


def _shown(amounts: Mapping[str, str], names: list[str]) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in names if name in amounts)
