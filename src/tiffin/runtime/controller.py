"""What a controller is: a declaration and a pure function from what is known to what should change.

`reconcile(key, view, now) -> Changes` sees an indexed, read-only snapshot and answers with a list of writes. The one runner
(`runtime/runner.py`) keeps the snapshot current, performs the writes in order, retries with back-off and holds a key until
the cache has seen that key's own writes. A controller does no IO, keeps no state between calls and never mutates an object.

What only the server can say comes back through functions of the answer, as pure as `reconcile` itself: `then` sees the object
as it was stored (its generated name, say), `Changes.failed` sees the error that ended the changes early.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from tiffin.client.client import PatchType
from tiffin.machinery.errors import ApiError
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

    def observed(self, resource: Resource, namespace: str, name: str, observation: str) -> datetime | None:
        """When, by our own clock, the value of this `Watch.observes` was last seen to change; None without such an object."""
        ...


class Later(NamedTuple):
    """A key to look at only after a while; `Watch.keys` may answer these beside plain keys."""

    key: Key
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Watch:
    """A resource the controller sees. An event enqueues `keys(obj, view)`; for updates both old and new object are asked.

    Without `keys` the object's own key is enqueued. `keys=no_keys` only keeps the resource in the view. `changed`, where given, is
    asked for updates first, and those it denies enqueue nothing. The moment at which each of `observes` changes is kept for
    `View.observed`: what others write is compared with our own clock, never their clock with ours.
    """

    resource: Resource
    keys: Callable[[Object, View], Iterable[Key | Later]] | None = None
    indexes: dict[str, Callable[[Object], Iterable[str]]] = field(default_factory=dict)
    observes: dict[str, Callable[[Object], Any]] = field(default_factory=dict)
    changed: Callable[[Object, Object], bool] | None = None


def no_keys(obj: Object, view: View) -> Iterable[Key | Later]:
    """For resources that are only looked up."""
    return ()


@dataclass(frozen=True, slots=True)
class Create:
    """`then` gives the changes that follow, from the object as stored."""

    resource: Resource
    obj: Object
    ignore_exists: bool = False
    subresource: str = ""
    """A POST to this subresource of the object named in `obj`, such as a pod's `eviction`."""
    then: Callable[[Object], Sequence[Change]] | None = None


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
    then: Callable[[Object], Sequence[Change]] | None = None


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
    then: Callable[[Object], Sequence[Change]] | None = None


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """An Event about `obj`: type Normal or Warning, a CamelCase reason, a sentence."""

    obj: Object
    type: str
    reason: str
    message: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """Not a write but a question to the server itself: the rest of the changes is dropped, and the key looked at again after
    a back-off, where the object is there after all. Without `uid` any object of that name counts; without `name` any object of the
    namespace. For decisions that must not rest on a cache that may lag.
    """

    resource: Resource
    namespace: str
    name: str = ""
    uid: str = ""


class Swept(NamedTuple):
    """What a `Sweep` left behind: the objects that remain, and the resources that could not be swept with the reason."""

    remaining: Mapping[Resource, Sequence[Object]]
    errors: Mapping[Resource, str]


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete everything of these resources in a namespace, as the server itself lists it; `then` sees what remains afterwards."""

    resources: Sequence[Resource]
    namespace: str
    then: Callable[[Swept], Sequence[Change]]


@dataclass(frozen=True, slots=True)
class Together:
    """Changes performed side by side; all are tried, and the first error counts as the error of the whole."""

    changes: Sequence[Change]


Change = Create | Update | Patch | Delete | RecordEvent | Absent | Sweep | Together


@dataclass(frozen=True, slots=True)
class Changes:
    """What one reconciliation wants: writes performed in order, and perhaps another look after a while.

    The first error ends them; then `failed` may name changes that say so (an event, a condition), and the key is retried with
    back-off.
    """

    changes: Sequence[Change] = ()
    requeue_after: timedelta | None = None
    failed: Callable[[Change, ApiError], Sequence[Change]] | None = None


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """What the controller's identity `system:serviceaccount:kube-system:<name>` may do, as an RBAC rule."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    """Only objects of these names; all when empty."""


@dataclass(frozen=True)
class Controller:
    """A controller's declaration; `controllers/<name>.py` ends in a module-level `CONTROLLER`."""

    name: str
    """Name of its service account in kube-system, such as `deployment-controller`."""
    watches: tuple[Watch, ...]
    reconcile: Callable[[Key, View, datetime], Changes]
    rules: tuple[PolicyRule, ...]
    workers: int = 5
    component: str = ""
    """Source of its Events where that is not `name`."""
    discover: Callable[[View], Iterable[Watch]] | None = None
    """Further watches that depend on what is known, such as custom resources; asked again after every event of `discovers`."""
    discovers: Resource | None = None
