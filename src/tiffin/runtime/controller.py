"""What a controller is: a declaration and a pure function from what is known to what should change.

`reconcile(key, view, now) -> Changes` sees an indexed, read-only snapshot and answers with a list of writes. The one runner
(`runtime/runner.py`) keeps the snapshot current, performs the writes in order, retries with back-off and holds a key until
the cache has seen that key's own writes. A controller does no IO, keeps no state between calls and never mutates an object.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tiffin.client.client import PatchType
from tiffin.machinery.object import Key, Object, Resource


class View(Protocol):
    """A consistent, read-only snapshot of the resources a controller watches."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        """All objects of the resource, or those of one namespace, in no particular order."""
        ...

    def by_index(self, resource: Resource, index: str, value: str) -> Sequence[Object]:
        """Objects whose index function gave `value`. Index "owner" (UID of the controller owner) is always there."""
        ...


@dataclass(frozen=True, slots=True)
class Watch:
    """A resource the controller sees. An event enqueues `keys(obj, view)`; for updates both old and new object are asked.

    Without `keys` the object's own key is enqueued. `keys=no_keys` only keeps the resource in the view.
    """

    resource: Resource
    keys: Callable[[Object, View], Iterable[Key]] | None = None
    indexes: dict[str, Callable[[Object], Iterable[str]]] = field(default_factory=dict)


def no_keys(obj: Object, view: View) -> Iterable[Key]:
    """For resources that are only looked up."""
    return ()


@dataclass(frozen=True, slots=True)
class Create:
    resource: Resource
    obj: Object
    ignore_exists: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    resource: Resource
    obj: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    resource: Resource
    namespace: str
    name: str
    patch: Any
    type: PatchType = PatchType.MERGE
    subresource: str = ""
    ignore_missing: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    resource: Resource
    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    grace_period: int | None = None
    ignore_missing: bool = True


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """An Event about `obj`: type Normal or Warning, a CamelCase reason, a sentence."""

    obj: Object
    type: str
    reason: str
    message: str
    action: str = ""


Change = Create | Update | Patch | Delete | RecordEvent


@dataclass(frozen=True, slots=True)
class Changes:
    """What one reconciliation wants: writes performed in order, and perhaps another look after a while."""

    changes: Sequence[Change] = ()
    requeue_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What the controller's identity `system:serviceaccount:kube-system:<name>` may do, as an RBAC rule."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


@dataclass(frozen=True)
class Controller:
    """A controller's declaration; `controllers/<name>.py` ends in a module-level `CONTROLLER`."""

    name: str
    """Name of its service account in kube-system, such as `deployment-controller`."""
    watches: tuple[Watch, ...]
    reconcile: Callable[[Key, View, datetime], Changes]
    rules: tuple[PolicyRule, ...]
    workers: int = 5
