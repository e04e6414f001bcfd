"""Which resources hold objects: the built-in ones, and those that established CustomResourceDefinitions add."""
from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tiffin.api.kind import builtin_kinds
from tiffin.controllers.pods import condition
from tiffin.controllers.resources import CUSTOM_RESOURCE_DEFINITIONS
from tiffin.machinery.object import Object, Resource, dig
from tiffin.runtime.controller import View

NEEDED_VERBS = {"delete", "list", "watch"}


class Holding(NamedTuple):
    """A resource whose objects can be listed, watched and deleted."""

    resource: Resource
    kind: str
    namespaced: bool


@cache
def builtin() -> tuple[Holding, ...]:
    kinds = (k for k in builtin_kinds() if k.stored and set(k.verbs) >= NEEDED_VERBS)
    return tuple(Holding(k.resource, k.kind, k.namespaced) for k in kinds)


def custom(view: View) -> Iterator[Holding]:
    """What custom resource definitions serve now."""
    for definition in view.list(CUSTOM_RESOURCE_DEFINITIONS):
        if (condition(definition, "Established") or {}).get("status") == "True" and (holding := _holding(definition)):
            yield holding


def holdings(view: View) -> Iterator[Holding]:
    yield from builtin()
    yield from custom(view)


def of_kind(group: str, kind: str, view: View) -> Holding | None:
    """The holding of an API group and kind, as owner references name them."""
    found = _builtin_by_kind().get((group, kind))
    return found or next((h for h in custom(view) if (h.resource.group, h.kind) == (group, kind)), None)


API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices")
_ONCE = {("extensions", kind): group for group, kinds in (
    ("apps", ("DaemonSet", "Deployment", "ReplicaSet")), ("networking.k8s.io", ("Ingress", "NetworkPolicy"))) for kind in kinds}
"""The groups of kinds that moved, by the group and kind they were."""


def of_reference(group: str, kind: str, view: View) -> Holding | None:
    """The same, also of a kind by the group it had once, while the server serves that group. `view` has to have the APIServices."""
    now = _ONCE.get((group, kind))
    if now is not None and view.get(API_SERVICES, "", f"v1beta1.{group}") is not None:
        group = now
    return of_kind(group, kind, view)


@cache
def _builtin_by_kind() -> dict[tuple[str, str], Holding]:
    return {(h.resource.group, h.kind): h for h in builtin()}


def _holding(definition: Object) -> Holding | None:
    served = [v for v in dig(definition, "spec", "versions", default=()) if v.get("served")]
    version = next((v["name"] for v in served if v.get("storage")), served[0]["name"] if served else None)
    if version is None:
        return None
    spec = definition["spec"]
    names = dig(definition, "status", "acceptedNames", default=spec["names"])
    return Holding(Resource(spec["group"], version, names["plural"]), names["kind"], spec.get("scope") == "Namespaced")
