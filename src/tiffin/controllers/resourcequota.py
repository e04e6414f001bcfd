"""What the objects of a namespace use of its quotas, in the quotas' status.

Admission counts what comes; this controller counts anew when something goes, when a quota changes, and every five minutes. It
never counts on the arrival of an object: a cache that lags would take back what admission just counted.

Source: Kubernetes' resource quota controller, as documented and observed.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from tiffin.api.core.quotausage import PLAIN, matches, usage
from tiffin.controllers import catalog
from tiffin.controllers import resources as r
from tiffin.controllers.config import Config
from tiffin.controllers.pods import is_finished
from tiffin.controllers.writing import changed
from tiffin.machinery.object import Key, Object, Resource, dig, is_deleting, key_of, name_of, namespace_of
from tiffin.machinery.quantity import add
from tiffin.runtime.controller import Changes, Controller, PolicyRule, View, Watch

RESYNC = timedelta(minutes=5)
ALWAYS = (r.PODS, *(Resource("", "v1", plural) for plural in sorted(PLAIN) if plural != "resourcequotas"))
"""Resources that quotas name without `count/`."""


def hard(quota: Object) -> dict[str, str]:
    return dig(quota, "spec", "hard", default={})


def is_new(old: Object, new: Object) -> bool:
    """Whether a quota's change is one to count for, and not the count itself."""
    return hard(old) != hard(new) or hard(new) != dig(new, "status", "hard", default={})


def frees(resource: Resource) -> Callable[[Object, View], Iterable[Key]]:
    """Keys of the quotas of the namespace when an object is gone, or a pod has ended."""

    def keys(obj: Object, view: View) -> Iterable[Key]:
        gone = view.get(resource, namespace_of(obj), name_of(obj)) is None
        if gone or (resource == r.PODS and is_finished(obj)) or resource in (r.SERVICES, r.PERSISTENT_VOLUME_CLAIMS):
            yield from (key_of(quota) for quota in view.list(r.RESOURCE_QUOTAS, namespace_of(obj)))

    return keys


def counted(view: View) -> dict[str, Resource]:
    """Resources by the names of `count/…` in any quota."""
    named = {name for quota in view.list(r.RESOURCE_QUOTAS) for name in hard(quota) if name.startswith("count/")}
    return {f"count/{h.resource.group_resource}": h.resource for h in catalog.builtin() if f"count/{h.resource.group_resource}" in named}


def discover(view: View) -> list[Watch]:
    """Watches of resources that are counted because some quota asks for it."""
    return [Watch(resource, keys=frees(resource)) for resource in counted(view).values() if resource not in (*ALWAYS, r.RESOURCE_QUOTAS)]


def reconcile(key: Key, view: View, now: datetime) -> Changes:
    quota = view.get(r.RESOURCE_QUOTAS, *key)
    if quota is None or is_deleting(quota):
        return Changes()
    used = dict.fromkeys(hard(quota), "0")
    for resource in _concerned(quota, view):
        for obj in view.list(resource, key.namespace):
            if matches(quota, resource, obj):
                for name, amount in usage(resource, obj).items():
                    if name in used:
                        used[name] = add(used[name], amount)
    status = {"hard": hard(quota), "used": used}
    return Changes(changed(r.RESOURCE_QUOTAS, quota, quota | {"status": status}, "status"), RESYNC)


def _concerned(quota: Object, view: View) -> Iterator[Resource]:
    """The resources that may count for what the quota limits."""
    names = hard(quota)
    by_count = counted(view)
    concerned = {by_count[name] for name in names if name in by_count}
    plain = {name for name in names if not name.startswith("count/")}
    for resource in (*ALWAYS, r.RESOURCE_QUOTAS):
        if resource in concerned or resource.plural in plain or (plain and resource in (r.PODS, r.SERVICES, r.PERSISTENT_VOLUME_CLAIMS)):
            concerned.add(resource)
    yield from concerned


def controller(config: Config) -> Controller:
    watches = (Watch(r.RESOURCE_QUOTAS, changed=is_new), *(Watch(resource, keys=frees(resource)) for resource in ALWAYS))
    rules = (
        PolicyRule(("*",), ("*",), ("list", "watch")),
        PolicyRule(("",), ("resourcequotas/status",), ("patch", "update")),
        r.EVENTS_RULE,
    )
    return Controller("resourcequota-controller", watches, reconcile, rules, discover=discover, discovers=r.RESOURCE_QUOTAS)
