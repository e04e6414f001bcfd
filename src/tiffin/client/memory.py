"""A make-believe API server in a dictionary: the `Client` that tests of controllers, scheduler and node agent use.

It keeps what those rely on: resourceVersions of one counter, uids, generateName, generation, conflicts, finalizers and graceful
deletion, the status subresource, binding and eviction of pods, watches that never skip or reorder. It does not default,
validate, convert or authorize. Objects handed out are the stored ones, shared and read-only, as with the in-process client.
"""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tiffin.client.client import ObjectList, PatchType, WatchEvent
from tiffin.machinery import errors
from tiffin.machinery.object import Key, Object, Resource, dig, is_deleting, key_of, labels_of, meta, replaced, uid_of
from tiffin.machinery.selectors import parse_field_selector, parse_label_selector
from tiffin.machinery.timestamps import format_time

Fault = Callable[[str, Resource, Key], Exception | None]


class Record(NamedTuple):
    """One change: `old` is None for an addition, `new` None for a removal, `last` the object as the event shows it."""

    revision: int
    resource: Resource
    old: Object | None
    new: Object | None
    last: Object


class MemoryClient:
    """An API server for tests. `fault(verb, resource, key)` may answer an exception to be raised instead of serving."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now
        self.fault: Fault = lambda verb, resource, key: None
        self.requests: list[tuple[str, Resource, Key]] = []
        """Every write asked for, as (verb, resource, key), in order."""
        self._objects: dict[Resource, dict[Key, Object]] = {}
        self._history: list[Record] = []
        self._changed = asyncio.Event()
        self._serial = 0

    def put(self, resource: Resource, *objects: Object) -> None:
        """Store objects as they are, adding only what every stored object has."""
        for obj in objects:
            old = self._objects.get(resource, {}).get(key_of(obj))
            self._commit(resource, old, self._completed(resource, obj) if old is None else obj)

    def objects(self, resource: Resource) -> Sequence[Object]:
        """Everything stored of a resource, by namespace and name."""
        return [obj for _, obj in sorted(self._objects.get(resource, {}).items())]

    async def get(self, resource: Resource, namespace: str, name: str, *, subresource: str = "") -> Object:
        self._trouble("get", resource, Key(namespace, name))
        return self._stored(resource, Key(namespace, name))

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", limit: int = 0, continue_token: str = "", resource_version: str = ""
    ) -> ObjectList:
        self._trouble("list", resource, Key(namespace, ""))
        items = [obj for obj in self.objects(resource) if _selected(obj, namespace, labels, fields)]
        return ObjectList(items, str(len(self._history)))

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        if subresource:
            return self._act(resource, Key(namespace, name), obj, subresource)
        obj = replaced(obj, ("metadata", "namespace"), namespace or None)
        if not meta(obj).get("name"):
            self._serial += 1
            obj = replaced(obj, ("metadata", "name"), f"{meta(obj).get('generateName') or ''}{self._serial:05d}")
        self._trouble("create", resource, key_of(obj))
        if key_of(obj) in self._objects.get(resource, {}):
            raise errors.already_exists(resource.group_resource, key_of(obj).name)
        return self._commit(resource, None, self._completed(resource, obj))

    async def update(self, resource: Resource, namespace: str, obj: Object, *, subresource: str = "") -> Object:
        key = Key(namespace, key_of(obj).name)
        self._trouble("update", resource, key)
        old = self._stored(resource, key)
        _check_version(resource, old, meta(obj).get("resourceVersion"))
        return self._change(resource, old, obj, subresource)

    async def patch(
        self, resource: Resource, namespace: str, name: str, patch: Any, *, type: PatchType = PatchType.MERGE, subresource: str = "", field_manager: str = "", force: bool = False
    ) -> Object:
        if type not in (PatchType.MERGE, PatchType.STRATEGIC):
            raise errors.unsupported_media_type(f"the make-believe server takes merge patches only, not {type}")
        self._trouble("patch", resource, Key(namespace, name))
        old = self._stored(resource, Key(namespace, name))
        _check_version(resource, old, dig(patch, "metadata", "resourceVersion"))
        if (uid := dig(patch, "metadata", "uid")) and uid != uid_of(old):
            raise errors.conflict(resource.group_resource, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(old)}")
        return self._change(resource, old, merged(old, patch), subresource)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", resource_version: str = "", propagation: str = "", grace_period: int | None = None
    ) -> Object:
        key = Key(namespace, name)
        self._trouble("delete", resource, key)
        old = self._stored(resource, key)
        if uid and uid != uid_of(old):
            raise errors.conflict(resource.group_resource, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(old)}")
        _check_version(resource, old, resource_version)
        return self._delete(resource, old, propagation, grace_period)

    async def watch(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", resource_version: str = "", bookmarks: bool = True
    ) -> AsyncIterator[WatchEvent]:
        position = int(resource_version or 0)
        while True:
            self._trouble("watch", resource, Key(namespace, ""))
            while position < len(self._history):
                record = self._history[position]
                position += 1
                if record.resource == resource and (event := _event(record, namespace, labels, fields)):
                    yield event
            await self._changed.wait()

    def _trouble(self, verb: str, resource: Resource, key: Key) -> None:
        if verb not in ("get", "list", "watch"):
            self.requests.append((verb, resource, key))
        if error := self.fault(verb, resource, key):
            raise error

    def _stored(self, resource: Resource, key: Key) -> Object:
        obj = self._objects.get(resource, {}).get(key)
        if obj is None:
            raise errors.not_found(resource.group_resource, key.name)
        return obj

    def _completed(self, resource: Resource, obj: Object) -> Object:
        self._serial += 1
        given = {"uid": f"uid-{self._serial}", "creationTimestamp": format_time(self.now()), "generation": 1}
        return {"apiVersion": resource.api_version} | obj | {"metadata": given | meta(obj)}

    def _change(self, resource: Resource, old: Object, new: Object, subresource: str) -> Object:
        subresource = "status" if subresource == "approval" else subresource  # both write the status
        if subresource == "finalize":
            new = old | {"spec": new.get("spec")}
            return self._commit(resource, old, new if dig(new, "spec", "finalizers") or not is_deleting(old) else None)
        if subresource:
            noted = {name: meta(new)[name] for name in ("annotations", "finalizers", "labels") if name in meta(new)}
            new = replaced(old, (subresource,), new.get(subresource)) | {"metadata": meta(old) | noted}
        elif "status" in old:
            new = new | {"status": old["status"]}
        if new.get("spec") != old.get("spec"):
            new = replaced(new, ("metadata", "generation"), meta(old).get("generation", 0) + 1)
        new = new | {"metadata": meta(new) | {k: meta(old)[k] for k in ("uid", "creationTimestamp", "resourceVersion") if k in meta(old)}}
        if new == old:
            return old
        held_before = bool(meta(old).get("finalizers"))
        if is_deleting(new) and held_before and not meta(new).get("finalizers") and not meta(new).get("deletionGracePeriodSeconds"):
            return self._commit(resource, old, None)
        return self._commit(resource, old, new)

    def _delete(self, resource: Resource, old: Object, propagation: str, grace_period: int | None) -> Object:
        finalizers = list(meta(old).get("finalizers") or ())
        if (added := {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)) and added not in finalizers:
            finalizers.append(added)
        grace = 0
        if resource.plural == "pods" and dig(old, "spec", "nodeName"):
            grace = dig(old, "spec", "terminationGracePeriodSeconds", default=30) if grace_period is None else grace_period
        if not finalizers and not grace and not dig(old, "spec", "finalizers"):
            return self._commit(resource, old, None)
        marked = {"deletionTimestamp": meta(old).get("deletionTimestamp") or format_time(self.now()), "deletionGracePeriodSeconds": grace}
        new = old | {"metadata": meta(old) | marked | ({"finalizers": finalizers} if finalizers else {})}
        return old if new == old else self._commit(resource, old, new)

    def _act(self, resource: Resource, key: Key, body: Object, subresource: str) -> Object:
        """POST to a pod's binding or eviction."""
        self._trouble("create", resource, key)
        old = self._stored(resource, key)
        if subresource == "binding":
            if dig(old, "spec", "nodeName"):
                raise errors.conflict("pods/binding", key.name, f"pod {key.name} is already assigned to node \"{old['spec']['nodeName']}\"")
            self._commit(resource, old, replaced(old, ("spec", "nodeName"), dig(body, "target", "name")))
        elif subresource == "eviction":
            self._delete(resource, old, "", None)
        else:
            raise errors.path_not_found()
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def _commit(self, resource: Resource, old: Object | None, new: Object | None) -> Object:
        revision = len(self._history) + 1
        last = replaced(new or old or {}, ("metadata", "resourceVersion"), str(revision))
        objects = self._objects.setdefault(resource, {})
        if new is None:
            del objects[key_of(last)]
        else:
            objects[key_of(last)] = last
        self._history.append(Record(revision, resource, old, None if new is None else last, last))
        self._changed.set()
        self._changed = asyncio.Event()
        return last


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch applied, sharing what did not change. Source: RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _check_version(resource: Resource, old: Object, version: str | None) -> None:
    if version and version != meta(old).get("resourceVersion"):
        raise errors.conflict(resource.group_resource, key_of(old).name, errors.MODIFIED)


def _event(record: Record, namespace: str, labels: str, fields: str) -> WatchEvent | None:
    """What a watch with this selection shows of a change: an object that leaves the selection is DELETED."""
    was = record.old is not None and _selected(record.old, namespace, labels, fields)
    is_now = record.new is not None and _selected(record.new, namespace, labels, fields)
    if was or is_now:
        return WatchEvent("MODIFIED" if was and is_now else "ADDED" if is_now else "DELETED", record.last)
    return None


def _selected(obj: Object, namespace: str, labels: str, fields: str) -> bool:
    if namespace and meta(obj).get("namespace") != namespace:
        return False
    if labels and not parse_label_selector(labels).matches(labels_of(obj)):
        return False
    return all((str(dig(obj, *path.split("."), default="")) == value) is (operator == "=") for path, operator, value in parse_field_selector(fields))
